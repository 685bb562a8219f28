"""Conflicts across months: the first in the log stands, whatever month the others tell of."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copy
from typing import Any, NoReturn

import pyarrow as pa
import pytest

import schemas
from rater.kinds import KINDS
from rater.tariff import Book
from streams.ingest.startup import check_tables
from streams.maintenance import conflicts
from streams.maintenance.audit import Audit, audit_lately, audit_ledger
from streams.maintenance.conflicts import find_conflicts, in_parts, settle_conflicts
from streams.maintenance.jobs import AUDIT_WINDOW
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, add_columns
from streams.rows.log_position import Span, join_spans
from streams.runtime.worker import Worker
from streams.store.ledger import SPANS_GAP_MS, Ledger
from tests import oracle
from tests.conftest import (
    LOGGED_MS,
    Event,
    Log,
    MakeLedger,
    amd,
    assert_rows,
    call,
    number,
    recording,
    rows_by_oracle,
    rows_of,
    text,
)

OCTOBER = date(2026, 10, 1)
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
@pytest.mark.parametrize("looked_at", [0, 1], ids=["the first", "the last"])
def test_either_record_is_enough_to_settle_what_was_told_of_two(
    ledger: Ledger, book: Book, log: list[Event], expected: list[tuple[str, str]], looked_at: int
) -> None:
    ledger.write(Log(log).batch(book))
    at_ms = LOGGED_MS + looked_at
    before = charged(ledger)
    for elsewhere in (Span(0, LOGGED_MS - 1), Span(LOGGED_MS + 2, 2 * LOGGED_MS)):
        assert settle_conflicts(ledger, elsewhere) == []
    assert charged(ledger) == before
    settle_conflicts(ledger, Span(at_ms, at_ms))
    assert charged(ledger) == expected
    settle_conflicts(ledger, Span(at_ms, at_ms))
    settle_conflicts(ledger)
    assert charged(ledger) == expected


@pytest.mark.parametrize(("log", "expected"), [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_a_long_part_of_the_log_is_settled_in_parts(
    ledger: Ledger,
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    log: list[Event],
    expected: list[tuple[str, str]],
) -> None:
    ledger.write(Log(log).batch(book))
    span = Span(LOGGED_MS - 5, LOGGED_MS + 5)
    (whole,) = in_parts(ledger, span)
    assert whole == span
    told = find_conflicts(ledger, lately=span)
    monkeypatch.setattr(conflicts, "LATE_TOGETHER", 1)
    parts = in_parts(ledger, span)
    assert len(parts) == 2  # as many as records; one of each
    audit = audit_lately(ledger, [], datetime(1970, 1, 1, tzinfo=UTC))
    assert audit.figures["conflicts"] == len(told)
    assert [finding.check for finding in audit.findings] == ["unsettled"] * (
        expected != charged(ledger)
    )
    assert settle_conflicts(ledger, span) == told
    assert charged(ledger) == expected
    assert ledger.query("SELECT count() FROM rejected") == [(len(told),)]


def test_a_part_of_the_log_is_cut_without_a_gap() -> None:
    assert Span(10, 19).cut(1) == Span(10, 19).cut(0) == [Span(10, 19)]
    assert Span(10, 19).cut(3) == [Span(10, 13), Span(14, 17), Span(18, 19)]
    assert Span(10, 11).cut(5) == [Span(10, 10), Span(11, 11)]


@pytest.mark.parametrize("month", [date(2013, 3, 1), date(2026, 8, 1)], ids=str)
def test_an_audit_of_either_month_finds_what_was_told_of_two(
    ledger: Ledger, book: Book, month: date
) -> None:
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    assert [one.event_id for one in find_conflicts(ledger, [month])] == ["call-1"]
    assert find_conflicts(ledger, [OCTOBER]) == []


def test_a_ledger_tells_once_which_parts_of_the_log_were_written(
    ledger: Ledger, book: Book
) -> None:
    log = Log([call(), number(), recording(), call(id="late"), text(), call(to=None)])
    for n in (3, 4):
        kind, record = log.records[n]
        log.records[n] = (kind, record._replace(timestamp=LOGGED_MS + SPANS_GAP_MS + n))
    ledger.write(log.batch(book, [[2]]))
    ledger.write(log.batch(book, [[3], [4]]))
    ledger.write(log.batch(book, [[0], [1]]))
    ledger.write(log.batch(book, [[5]]))  # a dead letter
    later = LOGGED_MS + SPANS_GAP_MS
    assert ledger.take_written() == [Span(LOGGED_MS, LOGGED_MS + 2), Span(later + 3, later + 4)]
    make_months(ledger, book, [OCTOBER], as_of=datetime(2026, 11, 2, tzinfo=UTC))
    assert ledger.take_written() == []


def test_what_is_rated_together_is_of_its_first_record_to_its_last(book: Book) -> None:
    log = Log(call(id=f"c{n}") for n in range(4))
    batch = Batch()
    records = [record for _, record in log.records]
    stretches = [(0, records[1:3]), (1, records[:1]), (2, records[3:])]
    add_columns(batch, KINDS["call"], "usage.call.v1", stretches, book)
    assert (len(batch.blocks), batch.rated) == (1, [])
    assert batch.span() == Span(LOGGED_MS, LOGGED_MS + 3)
    assert Batch().span() is None


def test_parts_of_the_log_are_joined_where_they_touch_or_nearly() -> None:
    spans = [Span(50, 60), Span(0, 10), Span(5, 7), Span(14, 20), Span(61, 61)]
    assert join_spans(spans, 4) == [Span(0, 20), Span(50, 61)]
    assert join_spans(spans, 3) == [Span(0, 10), Span(14, 20), Span(50, 61)]
    assert join_spans([], 3) == []


async def test_a_worker_settles_what_was_written_before_it_and_then_what_it_writes(
    idle_worker: Worker, ledger: Ledger, book: Book
) -> None:
    log = Log([call(), call(**LONG_AGO, ended_at=ONCE), call(media="video", id="b"), call(id="b")])
    ledger.write(log.batch(book, [[0, 1]]))
    ledger.take_written()  # by another process
    await idle_worker.maintenance.conflicts.run()
    assert charged(ledger) == [("2026-08", "calls")]
    ledger.write(log.batch(book, [[2]]))
    await idle_worker.maintenance.conflicts.run()
    ledger.write(log.batch(book, [[3]]))
    assert len(charged(ledger)) == 3
    await idle_worker.maintenance.conflicts.run()
    assert charged(ledger) == [("2026-08", "calls"), ("2026-08", "video_calls")]


async def test_what_a_killed_worker_left_is_settled_once_an_audit_finds_it(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.maintenance.jobs.read_committed", nothing_committed)
    await idle_worker.maintenance.conflicts.run()
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    ledger.take_written()  # by another process
    await idle_worker.maintenance.conflicts.run()
    assert len(charged(ledger)) == 2
    await idle_worker.maintenance.audit.run()
    await idle_worker.maintenance.conflicts.run()
    assert charged(ledger) == [("2026-08", "calls")]


async def test_an_audit_goes_back_to_the_one_before(
    idle_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was away, or one so large that audits are rare, leaves nothing out."""
    monkeypatch.setattr("streams.maintenance.jobs.read_committed", nothing_committed)
    asked: list[timedelta] = []

    def audit(ledger: Ledger, months: list[date], since: datetime, **_: object) -> Audit:
        asked.append(datetime.now(UTC) - since)
        if len(asked) == 2:
            raise OSError("connection refused")
        return Audit([], {"conflicts": 0})

    monkeypatch.setattr("streams.maintenance.jobs.audit_lately", audit)
    idle_worker.maintenance.audit.audited_at -= 3 * AUDIT_WINDOW
    await idle_worker.maintenance.audit.run()
    idle_worker.maintenance.audit.audited_at -= 2 * AUDIT_WINDOW
    with pytest.raises(OSError, match="refused"):
        await idle_worker.maintenance.audit.run()
    await idle_worker.maintenance.audit.run()
    await idle_worker.maintenance.audit.run()
    assert [round(one / AUDIT_WINDOW, 2) for one in asked] == [3, 2, 2, 1]


async def nothing_committed(*_: object, **__: object) -> dict[tuple[str, int], int]:
    return {}


async def test_a_worker_that_stops_settles_what_it_wrote_last(
    idle_worker: Worker, ledger: Ledger, book: Book
) -> None:
    await idle_worker.maintenance.conflicts.run()
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    await idle_worker.maintenance.conflicts.run_last()
    assert charged(ledger) == [("2026-08", "calls")]


async def test_what_a_store_that_was_down_kept_from_being_settled_is_settled_later(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    await idle_worker.maintenance.conflicts.run()
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "search", raise_(OSError("connection refused")))
        with pytest.raises(OSError, match="refused"):
            await idle_worker.maintenance.conflicts.run()
    assert len(charged(ledger)) == 2
    await idle_worker.maintenance.conflicts.run()
    assert charged(ledger) == [("2026-08", "calls")]


def raise_(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


@pytest.fixture
def old_ledger(make_ledger: MakeLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger as it was when an aggregate kept the identities; its next migration is ours."""
    old = tmp_path / "old"
    old.mkdir()
    for path in schemas.MIGRATIONS.glob("000[1-4]*.sql"):
        copy(path, old)
    today = (schemas.MIGRATIONS / "0008_facts.sql").read_text().split(";\n")
    monkeypatch.setattr(schemas, "MIGRATIONS", old)
    ledger = make_ledger()
    for statement in today:
        if "ALTER TABLE" in statement:  # the columns that are written today
            ledger._writer.command(statement)
    return ledger


def test_what_was_accepted_before_a_migration_is_in_conflict_after_it(
    old_ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE), number()]).batch(book))
    monkeypatch.undo()
    migrations = [path.name for path in sorted(schemas.MIGRATIONS.glob("*.sql"))]
    assert old_ledger.migrate() == migrations[4:]
    check_tables(old_ledger)
    (conflict,) = settle_conflicts(old_ledger)
    assert (conflict.event_id, [place.offset for place in conflict.lost]) == ("call-1", [1])
    assert charged(old_ledger) == [("2026-08", "calls")]
    assert audit_ledger(old_ledger, []).findings == []


def test_identical_inserts_stay_even_where_a_table_would_swallow_them(ledger: Ledger) -> None:
    ledger.command(
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
                ledger.command("OPTIMIZE TABLE rated FINAL")
            settle_conflicts(ledger, *ledger.take_written())
        assert_rows(rows_of(ledger), expected)
        for table in ("rated", "accepted", "losers"):
            ledger.command(f"TRUNCATE TABLE {table}")
