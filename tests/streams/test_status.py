"""The furthest status of a text stands, whatever the order of arrival."""

from itertools import permutations
from pathlib import Path

import orjson
import pytest

from rater.kinds import KINDS
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.maintenance.conflicts import resolve_conflicts
from streams.rows.batch import Batch, add_columns, add_records
from streams.rows.identity import charged_rows
from streams.store.ledger import Ledger
from tests import oracle
from tests.conftest import Logged, rows_by_oracle, rows_of, text

TEXTS = "usage.text.v1"
LOGGED_MS = 1_793_923_200_000
BOOK = """
currency = "USD"
[accounts.default]
tariff = "t"
zone = "UTC"
[[tariff]]
name = "t"
valid_from = 2012-01-01T00:00:00Z
[[tariff.price]]
line = "texts"
unit = "segment"
rate = 0.01
free = ["failed", "undelivered"]
[[tariff.price]]
line = "carrier_fees"
unit = "segment"
rate = 0.003
"""
# What was told, in any order; and what stands of it.
TOLD = [
    (("sent",), "sent", "0.013"),
    (("sent", "failed"), "failed", "0.003"),
    (("sent", "undelivered"), "undelivered", "0.003"),
    (("sent", "delivered"), "delivered", "0.013"),
    (("failed", "delivered"), "delivered", "0.013"),
    (("sent", "failed", "delivered"), "delivered", "0.013"),
    (("sent", "sent", "undelivered"), "undelivered", "0.003"),
    (("undelivered", "received"), "received", "0.013"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "tariff.toml"
    path.write_text(BOOK)
    return path


def batch_of(id_: str, statuses: tuple[str, ...], book: Book, *, by_column: bool) -> Batch:
    batch = Batch()
    records = [
        Logged(n, LOGGED_MS + n, None, orjson.dumps(text(id=id_, status=status, segments=1)))
        for n, status in enumerate(statuses)
    ]
    if by_column:
        add_columns(batch, KINDS["text"], TEXTS, [(0, records)], book)
    else:
        add_records(batch, KINDS["text"], TEXTS, 0, records, book)
    return batch


@pytest.mark.parametrize("by_column", [False, True])
def test_the_furthest_status_is_charged_in_any_order_of_arrival(
    ledger: Ledger, file: Path, by_column: bool
) -> None:
    book, expected = load_book(file), {}
    told = []
    for statuses, stands, charge in TOLD:
        for order in sorted(set(permutations(statuses))):
            name = "-".join(order)
            expected[name] = (stands, charge)
            ledger.write(batch_of(name, order, book, by_column=by_column))
            told += [text(id=name, status=status, segments=1) for status in order]
    assert resolve_conflicts(ledger) == []
    for _ in range(2):
        rows = ledger.query(
            "SELECT event_id, max(event_status), toString(sum(charge)) FROM rated_rows GROUP BY 1"
        )
        assert {row[0]: row[1:] for row in rows} == expected
        ledger.command("OPTIMIZE TABLE rated FINAL")
    by_oracle = oracle.rate_lines(told, oracle.load_book(file))
    assert rows_of(ledger) == rows_by_oracle(by_oracle, ["acme"], ["2026-08"])


@pytest.mark.parametrize(("statuses", "stands", "charge"), TOLD)
def test_of_a_files_rows_the_furthest_status_is_summed(
    file: Path, statuses: tuple[str, ...], stands: str, charge: str
) -> None:
    book = load_book(file)
    for order in permutations(statuses):
        rows = charged_rows(batch_of("t", order, book, by_column=False).rated)
        assert {row.charge.terms.event_status for row in rows} == {stands}
        total = sum(row.charge.cost.charge for row in rows)
        assert total == int(charge.replace("0.0", "")) * 10 ** (9 - len(charge) + 2)


def test_of_two_contents_the_furthest_status_stands_and_the_other_is_a_dead_letter(
    ledger: Ledger, file: Path
) -> None:
    book = load_book(file)
    first, later = text(id="t", status="sent", segments=1), text(id="t", segments=3)
    records = [
        Logged(n, LOGGED_MS + n, None, orjson.dumps(event))
        for n, event in enumerate((first, later | {"status": "delivered"}))
    ]
    batch = Batch()
    add_columns(batch, KINDS["text"], TEXTS, [(0, records)], book)
    ledger.write(batch)
    (conflict,) = resolve_conflicts(ledger)
    assert (conflict.stands.offset, [lost.place.offset for lost in conflict.lost]) == (1, [0])
    assert ledger.query("SELECT toString(sum(charge)) FROM rated_rows") == [("0.039",)]
