"""Conflicts across months: the first in the log stands, whatever month the others tell of."""

from datetime import date
from pathlib import Path
from shutil import copy
from typing import Any

import pyarrow as pa
import pytest

import schemas
from rater.tariff import Book
from streams import worker
from streams.audit import audit_ledger
from streams.conflicts import settle_conflicts
from streams.ledger import Ledger
from streams.startup import check_tables
from streams.worker import Worker
from tests import oracle
from tests.conftest import (
    Event,
    Log,
    MakeLedger,
    amd,
    assert_rows,
    call,
    number,
    rows_by_oracle,
    rows_of,
    text,
)

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
LONG_AGO = {"dialed_at": "2013-03-01T12:00:00Z", "answered_at": None}
ONCE = "2013-03-01T12:01:00Z"


def charged(ledger: Ledger) -> list[tuple[str, str]]:
    """Month and line of what is charged."""
    return sorted((name[1], name[2]) for name in rows_of(ledger))


CASES: list[tuple[str, list[Event], list[tuple[str, str]]]] = [
    # what                        | the log                                             | charged
    ("a twin in a closed month",
     [call(), call(**LONG_AGO, ended_at=ONCE)],
     [("2026-08", "calls")]),
    ("the first in a closed month",
     [call(**LONG_AGO, ended_at=ONCE), call()],
     [("2013-03", "calls")]),
    ("both parts of a text",
     [text(), text(sent_at="2013-03-01T12:00:00Z")],
     [("2026-08", "carrier_fees"), ("2026-08", "texts")]),
    ("one call detected in two months",
     [amd(), amd(id="amd-2", dialed_at=ONCE, answered_at=ONCE)],
     [("2026-08", "ai_voice_detection")]),
    ("the one that was answered counts",
     [amd(answered_at=None), amd(id="amd-2", dialed_at=ONCE, answered_at=ONCE)],
     [("2013-03", "ai_voice_detection")]),
    ("two calls detected in two months",
     [amd(), amd(id="amd-2", call_id="dial-2", dialed_at=ONCE, answered_at=ONCE)],
     [("2013-03", "ai_voice_detection"), ("2026-08", "ai_voice_detection")]),
]  # fmt: skip


@pytest.mark.parametrize(("log", "expected"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
@pytest.mark.parametrize("month", [date(2013, 3, 1), date(2026, 8, 1)], ids=str)
def test_either_month_is_enough_to_settle_what_was_told_of_two(
    ledger: Ledger, book: Book, log: list[Event], expected: list[tuple[str, str]], month: date
) -> None:
    ledger.write(Log(log).batch(book))
    settle_conflicts(ledger, [month])
    assert charged(ledger) == expected
    settle_conflicts(ledger, [month])
    settle_conflicts(ledger, [])
    assert charged(ledger) == expected


def test_a_ledger_tells_once_which_months_were_written_to(ledger: Ledger, book: Book) -> None:
    ledger.write(Log([call(), call(id="old", **LONG_AGO, ended_at=ONCE)]).batch(book))
    assert ledger.take_written_months() == {date(2013, 3, 1), date(2026, 8, 1)}
    assert ledger.take_written_months() == set()


async def test_a_worker_settles_what_late_events_were_written_to(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "open_months", lambda now: [OCTOBER, NOVEMBER])
    await idle_worker._settle_conflicts()
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    assert len(charged(ledger)) == 2
    await idle_worker._settle_conflicts()
    assert charged(ledger) == [("2026-08", "calls")]


@pytest.fixture
def old_ledger(make_ledger: MakeLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger as it was when an aggregate kept the identities; its next migration is ours."""
    old = tmp_path / "old"
    old.mkdir()
    for path in schemas.MIGRATIONS.glob("000[1-4]*.sql"):
        copy(path, old)
    monkeypatch.setattr(schemas, "MIGRATIONS", old)
    return make_ledger()


def test_what_was_accepted_before_a_migration_is_in_conflict_after_it(
    old_ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE), number()]).batch(book))
    monkeypatch.undo()
    migrations = [path.name for path in sorted(schemas.MIGRATIONS.glob("*.sql"))]
    assert old_ledger.migrate() == migrations[4:]
    check_tables(old_ledger)
    (conflict,) = settle_conflicts(old_ledger, [])
    assert (conflict.event_id, [place.offset for place in conflict.lost]) == ("call-1", [1])
    assert charged(old_ledger) == [("2026-08", "calls")]
    assert audit_ledger(old_ledger, []).findings == []


def test_identical_inserts_stay_even_where_a_table_would_swallow_them(ledger: Ledger) -> None:
    ledger._writer.command(
        "CREATE TABLE window (a UInt8) ENGINE = MergeTree ORDER BY a"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    for _ in range(2):
        ledger._insert("window", {"a": pa.array([1], pa.uint8())})
    assert ledger.query("SELECT count() FROM window") == [(2,)]


MONTHS = ("2026-08", "2026-09")
AUGUST = {"dialed_at": "2026-08-10T12:00:00Z", "answered_at": None}
SEPTEMBER = {"dialed_at": "2026-09-20T12:00:00Z", "answered_at": None}
ANSWERED = {"dialed_at": "2026-09-20T12:00:00Z", "answered_at": "2026-09-20T12:00:09Z"}

TALES: list[tuple[str, list[dict[str, Any]]]] = [
    ("a call sent again as of another month", [
        call(dialed_at=None, answered_at=None),
        call(dialed_at=None, answered_at=None, ended_at="2026-09-20T12:00:00Z"),
    ]),
    ("a call sent again as a video call", [call(), call(media="video")]),
    ("two detections of one call in two months: the first", [
        amd(id="d0", **AUGUST), amd(id="d1", **SEPTEMBER),
    ]),
    ("two detections of one call in two months: the answered one", [
        amd(id="d0", **AUGUST), amd(id="d1", **ANSWERED),
    ]),
    ("a detection in conflict, and another of the same call that was answered", [
        amd(id="d0", **AUGUST), amd(id="d0", **SEPTEMBER), amd(id="d1"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(("tale", "events"), TALES, ids=[tale for tale, _ in TALES])
def test_one_is_charged_in_either_order_of_writing(
    ledger: Ledger,
    book: Book,
    oracle_book: oracle.Book,
    tale: str,
    events: list[dict[str, Any]],
    merged: bool,
) -> None:
    log = Log(events)
    expected = rows_by_oracle(oracle.rate_lines(events, oracle_book), ["acme"], MONTHS)
    for order in (range(len(events)), reversed(range(len(events)))):
        for place in order:
            ledger.write(log.batch(book, [[place]]))
            if merged:
                ledger._writer.command("OPTIMIZE TABLE rated FINAL")
            settle_conflicts(ledger, [])
        assert_rows(rows_of(ledger), expected)
        for table in ("rated", "accepted", "losers"):
            ledger._writer.command(f"TRUNCATE TABLE {table}")
