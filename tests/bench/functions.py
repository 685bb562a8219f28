"""The steps of the line as functions: `make bench-functions` (pytest-benchmark).

Each figure is of one thread on this machine; compare the rows of one run. 200 prefixes stand beside
200,000: finding a price costs the same with both, loading them is in proportion.
"""

import random
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rater.decode import decode
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.rate import find_price, rate
from rater.tariff import Book, Memo
from rater.tariff_file import load_book
from schemas import SAMPLE_TARIFF
from streams.rows.batch import Batch, PartitionRecords, add_columns
from streams.store.columns import _block_columns
from tests.bench.traffic import RECEIVED_MS, make_events, records_of

Benchmark = Callable[..., Any]  # pytest-benchmark's fixture: takes a function and its arguments

EVENTS = 20_000  # of which each kind has some
ROUNDS_OF_LOADING = 3
NUMBERS = 1_000

DECK = """\
currency = "USD"

[accounts.default]
tariff = "deck"
zone = "UTC"

[[tariff]]
name = "deck"
valid_from = 2025-01-01T00:00:00Z

[[tariff.price]]
line = "calls"
unit = "minute"
rate = 0.95

[[tariff.price]]
line = "calls"
match = { direction = "outbound" }
unit = "minute"
prefixes = "deck.csv"
"""
AT_US = 1_770_000_000_000_000  # in February 2026
OUTBOUND = ("outbound", "voice", None, None, None, None, "geographic", "geographic", None, None)


def write_deck(folder: Path, count: int) -> list[str]:
    """A tariff with so many prefixes of 4 to 11 digits, in deck.toml; which they are."""
    chance = random.Random(count)
    prefixes: set[str] = set()
    while len(prefixes) < count:
        digits = chance.randrange(4, 12)
        prefixes.add(f"+{chance.randrange(10 ** (digits - 1), 10**digits)}")
    ordered = sorted(prefixes)
    rows = [
        f"{prefix},0.{chance.randrange(10, 9_999):04d},{chance.choice(('', '', '', '0.01'))},Place"
        for prefix in ordered
    ]
    head = "prefix,rate,connection_fee,description"
    (folder / "deck.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    (folder / "deck.toml").write_text(DECK, encoding="utf-8")
    return ordered


@pytest.fixture(scope="module")
def records() -> dict[str, list[SimpleNamespace]]:
    """Simulated records of every kind that the traffic has."""
    return records_of(make_events(EVENTS, 1))


@pytest.fixture(scope="module")
def sample() -> Book:
    return load_book(SAMPLE_TARIFF)


KIND_NAMES = ("call", "text", "dial", "amd", "recording", "number")
TOGETHER = ("call", "text", "dial", "amd")  # those that are priced by event
TOGETHER_EVENTS = 1_000


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_decode(benchmark: Benchmark, records: dict[str, list[SimpleNamespace]], kind: str) -> None:
    """One event of the kind from its bytes."""
    values = cycle([record.value for record in records[kind]])
    event = benchmark(lambda: decode(KINDS[kind], next(values), RECEIVED_MS * 1000))
    assert isinstance(event, Event)


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_rate(
    benchmark: Benchmark, records: dict[str, list[SimpleNamespace]], sample: Book, kind: str
) -> None:
    """One event of the kind by the sample tariff; what rating remembers is there after a while."""
    decoded = [decode(KINDS[kind], record.value, RECEIVED_MS * 1000) for record in records[kind]]
    events = cycle([event for event in decoded if isinstance(event, Event)])
    memo = Memo()
    assert isinstance(benchmark(lambda: rate(next(events), sample, memo)), list)


@pytest.mark.parametrize("kind", TOGETHER)
def test_rated_together(
    benchmark: Benchmark, records: dict[str, list[SimpleNamespace]], sample: Book, kind: str
) -> None:
    """A thousand events of the kind, as the worker takes them: from bytes to a block of rows."""
    stretches = [(0, records[kind][:TOGETHER_EVENTS])]
    memo = Memo()
    batch = benchmark(lambda: _batch_of(kind, stretches, sample, memo))
    assert sum(len(block.usage.ids) for block in batch.blocks) == TOGETHER_EVENTS


@pytest.mark.parametrize("kind", TOGETHER)
def test_columns(
    benchmark: Benchmark, records: dict[str, list[SimpleNamespace]], sample: Book, kind: str
) -> None:
    """The rows of a thousand events of the kind to Arrow's columns."""
    batch = _batch_of(kind, [(0, records[kind][:TOGETHER_EVENTS])], sample, Memo())
    columns = benchmark(_block_columns, batch.blocks)
    assert len(columns["charge"]) >= TOGETHER_EVENTS


def _batch_of(kind: str, ranges: Sequence[PartitionRecords], book: Book, memo: Memo) -> Batch:
    batch = Batch()
    add_columns(batch, KINDS[kind], f"usage.{kind}.v1", ranges, book, memo)
    return batch


@pytest.mark.parametrize("count", [200, 200_000])
def test_load_book(benchmark: Any, tmp_path: Path, count: int) -> None:
    """A tariff and its deck from the files."""
    write_deck(tmp_path, count)
    book = benchmark.pedantic(load_book, [tmp_path / "deck.toml"], rounds=ROUNDS_OF_LOADING)
    assert len(book.tariffs["deck"].versions[0].prices) == count + 1


@pytest.mark.parametrize("count", [200, 200_000])
def test_find_price(benchmark: Benchmark, tmp_path: Path, count: int) -> None:
    """The price of one call, half of them to numbers that only the fallback row matches."""
    prefixes = write_deck(tmp_path, count)
    book = load_book(tmp_path / "deck.toml")
    chance = random.Random(1)
    known = [f"{prefix}{'5' * (15 - len(prefix))}" for prefix in chance.choices(prefixes, k=500)]
    numbers = cycle([*known, *(f"+9{chance.randrange(10**10)}" for _ in range(500))])
    account = book.account("acme", AT_US)
    found = benchmark(lambda: find_price(book, account, "calls", OUTBOUND, next(numbers), AT_US))
    assert isinstance(found, tuple)
