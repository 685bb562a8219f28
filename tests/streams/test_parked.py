"""Parked events: rated when their price arrives, exactly as if it had been there at once."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

import schemas
from rater.statement import statement_to_json
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.maintenance import jobs, parked
from streams.maintenance.parked import retry_parked
from streams.operations.files import rate_file
from streams.runtime.worker import Worker
from streams.store.ledger import Ledger, StoreErrors
from streams.store.parked import count_parked
from streams.store.statements import read_statement
from tests import oracle
from tests.conftest import (
    Event,
    Log,
    amd,
    assert_rows,
    call,
    comparable,
    dial,
    rows_by_oracle,
    rows_of,
    text,
)

VERSION = """
[[tariff]]
name = "standard"
valid_from = 2011-01-01T00:00:00Z
valid_until = 2012-01-01T00:00:00Z

[[tariff.price]]
line = "calls"
unit = "minute"
rate = 0.02

[[tariff.price]]
line = "campaign_calls"
unit = "second"
rate = 0.0001
first = 30
following = 6

[[tariff.price]]
line = "texts"
unit = "segment"
rate = 0.01

[[tariff.price]]
line = "carrier_fees"
unit = "segment"
rate = 0.003

[[tariff.price]]
line = "ai_voice_detection"
unit = "call"
rate = 0.02
start = "answer"
"""
EARLY = {"dialed_at": "2011-06-10T12:00:00Z", "answered_at": None}
EVENTS: list[Event] = [
    call(id="call-1", **EARLY, ended_at="2011-06-10T12:03:01Z"),
    call(id="call-1", **EARLY, ended_at="2011-06-10T12:59:01Z"),  # a conflict: the first stands
    call(id="call-2", account_id="O'Hara", **EARLY, ended_at="2011-06-10T12:00:00Z"),
    dial(**EARLY, ended_at="2011-06-10T12:00:31Z"),
    amd(id="amd-1", **EARLY),
    amd(id="amd-2", dialed_at=EARLY["dialed_at"], answered_at="2011-06-10T12:00:05Z"),
    text(id="text-1", sent_at="2011-06-10T12:00:00Z", segments=None, body="€" * 200),
    text(id="text-2", sent_at="2011-06-10T12:00:00Z", segments=None, body="é" * 400),
    text(id="text-3", sent_at="2011-06-10T12:00:00Z"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A book that does not reach back to the events."""
    folder = tmp_path / "tariff"
    shutil.copytree(schemas.SAMPLE_TARIFF.parent, folder)
    return folder / "sample.toml"


def add_version(file: Path) -> Book:
    file.write_text(file.read_text() + VERSION)
    return load_book(file)


def waiting(ledger: Ledger) -> list[tuple[str, int]]:
    return [
        (reason, count)
        for reason, count in ledger.query(
            "SELECT reason, count() FROM parked FINAL WHERE resolved = 0 GROUP BY reason ORDER BY 1"
        )
    ]


def test_parked_events_are_rated_when_their_version_arrives_as_by_the_oracle(
    any_ledger: Ledger, file: Path
) -> None:
    log = Log(EVENTS)
    any_ledger.write(log.batch(load_book(file)))
    assert rows_of(any_ledger) == {}
    assert count_parked(any_ledger) == len(EVENTS)
    assert waiting(any_ledger) == [("no_version", len(EVENTS))]

    book = add_version(file)
    assert retry_parked(any_ledger, book) == (len(EVENTS), {"acme", "O'Hara"})
    assert count_parked(any_ledger) == 0
    expected = oracle.rate_lines(EVENTS, oracle.load_book(file))
    rows = rows_of(any_ledger)
    assert_rows(rows, rows_by_oracle(expected, [], ["2011-06"]))
    for account in ("acme", "O'Hara"):
        statement = read_statement(any_ledger, book, account, datetime(2011, 6, 1).date())
        assert comparable(statement_to_json(statement)) == expected.statement(account, "2011-06")

    assert retry_parked(any_ledger, book) == (0, set())
    any_ledger.write(log.batch(book))  # read again, its price there by now
    assert retry_parked(any_ledger, book) == (0, set())
    assert_rows(rows_of(any_ledger), rows)


def test_without_a_price_a_retry_changes_nothing(ledger: Ledger, file: Path) -> None:
    book = load_book(file)
    ledger.write(Log(EVENTS).batch(book))
    before = ledger.query("SELECT * FROM parked FINAL ORDER BY ALL")
    assert retry_parked(ledger, book) == (0, set())
    assert ledger.query("SELECT * FROM parked FINAL ORDER BY ALL") == before
    assert rows_of(ledger) == {}


def test_a_correction_stays_parked_though_its_price_is_there(ledger: Ledger, book: Book) -> None:
    ledger.write(Log([call(revision=1), call()]).batch(book))
    assert retry_parked(ledger, book) == (0, set())
    assert waiting(ledger) == [("correction", 1)]


def test_more_events_than_one_query_takes_are_all_rated(
    ledger: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked, "RETRIED_AT_ONCE", 4)
    ledger.write(Log(EVENTS).batch(load_book(file)))
    assert retry_parked(ledger, add_version(file))[0] == len(EVENTS)
    assert count_parked(ledger) == 0


def test_events_that_still_have_no_price_do_not_hold_up_the_ones_that_have(
    ledger: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked, "RETRIED_AT_ONCE", 2)
    events = [
        call(id=f"call-{n}", dialed_at=f"201{n % 2}-06-10T12:00:00Z", answered_at=None)
        | {"ended_at": f"201{n % 2}-06-10T12:01:00Z"}
        for n in range(6)
    ]
    ledger.write(Log(events).batch(load_book(file)))
    assert retry_parked(ledger, add_version(file)) == (3, {"acme"})
    assert [name[3] for name in sorted(rows_of(ledger))] == ["call-1", "call-3", "call-5"]
    assert waiting(ledger) == [("no_version", 3)]


def test_a_crash_between_the_rows_and_the_mark_rates_once(
    ledger: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write(Log(EVENTS).batch(load_book(file)))
    book = add_version(file)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parked, "resolve_parked", crash)
        with pytest.raises(KeyboardInterrupt):
            retry_parked(ledger, book)
    rows = rows_of(ledger)
    assert count_parked(ledger) == len(EVENTS)
    assert retry_parked(ledger, book)[0] == len(EVENTS)
    assert rows_of(ledger) == rows
    assert count_parked(ledger) == 0


def test_a_text_of_very_many_segments_is_rated_when_its_price_arrives(
    ledger: Ledger, file: Path
) -> None:
    event = text(sent_at="2011-06-10T12:00:00Z", segments=None, body="x" * 153 * 300)
    ledger.write(Log([event]).batch(load_book(file)))
    assert retry_parked(ledger, add_version(file)) == (1, {"acme"})
    assert {row[3:5] for row in rows_of(ledger).values()} == {(0, 300)}


def test_two_files_of_one_name_do_not_take_each_others_parked_events(
    ledger: Ledger, file: Path
) -> None:
    """As `rater rate --store` does on day-1/events.jsonl and then on day-2/events.jsonl."""
    book, now = load_book(file), datetime(2026, 11, 1, tzinfo=UTC)
    for day in (1, 2):
        path = file.parent / f"day-{day}" / "events.jsonl"
        path.parent.mkdir()
        path.write_bytes(orjson.dumps(EVENTS[0] | {"id": f"call-{day}"}) + b"\n")
        ledger.write(rate_file(path, "json", "acme", book, now, lambda done, batch: None))
    assert count_parked(ledger) == 2


async def test_what_waits_is_rated_again_when_prices_may_have_changed_and_at_no_other_time(
    idle_worker: Worker, ledger: Ledger, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under each book twice: the second time for what was being rated as the book came."""
    old = load_book(file)
    ledger.write(Log(EVENTS).batch(old))
    tried: list[Book] = []

    def retry(ledger: Ledger, book: Book) -> tuple[int, set[str]]:
        tried.append(book)
        return retry_parked(ledger, book)

    monkeypatch.setattr(jobs, "retry_parked", retry)
    maintenance = idle_worker.maintenance
    for book in (old, add_version(file)):
        maintenance._book_file.book = book
        for _ in range(5):
            await maintenance._retry_parked()
        assert tried == [book, book]
        tried.clear()
    assert count_parked(ledger) == 0


def refuse(ledger: Ledger, *ids: str) -> None:
    """The store takes no row of these events."""
    names = ", ".join(f"'{name}'" for name in ids)
    ledger.command(f"ALTER TABLE rated ADD CONSTRAINT refused CHECK event_id NOT IN ({names})")


def test_a_parked_event_that_the_store_refuses_holds_up_no_other(
    any_ledger: Ledger, file: Path
) -> None:
    early = [
        call(id=f"call-{n}", account_id=f"a-{n}", **EARLY, ended_at="2011-06-10T12:01:00Z")
        for n in range(20)
    ]
    any_ledger.write(Log(early).batch(load_book(file)))
    book = add_version(file)
    refuse(any_ledger, "call-7", "call-8")
    for retried in (18, 0):
        assert retry_parked(any_ledger, book)[0] == retried
        assert {name[3] for name in rows_of(any_ledger)} == {
            f"call-{n}" for n in range(20) if n not in (7, 8)
        }
        assert count_parked(any_ledger) == 2
    any_ledger.command("ALTER TABLE rated DROP CONSTRAINT refused")
    assert retry_parked(any_ledger, book) == (2, {"a-7", "a-8"})


def test_a_store_that_refuses_all_parked_events_is_told_so(any_ledger: Ledger, file: Path) -> None:
    early = [
        call(id=f"call-{n}", **EARLY, ended_at="2011-06-10T12:01:00Z")
        for n in range(parked.REFUSED_MOST + 2)
    ]
    any_ledger.write(Log(early).batch(load_book(file)))
    refuse(any_ledger, *(event["id"] for event in early))
    with pytest.raises(StoreErrors):
        retry_parked(any_ledger, add_version(file))
    assert count_parked(any_ledger) == len(early)
