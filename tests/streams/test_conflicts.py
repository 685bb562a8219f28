"""Conflicts: one identity stands once, whatever month, line or kind its other rows have."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from shutil import copy
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

import schemas
from rater.kinds import KINDS
from rater.tariff import Book, History
from streams.ingest.startup import check_tables
from streams.maintenance import conflicts
from streams.maintenance.audit import Audit, audit_lately, audit_ledger
from streams.maintenance.conflicts import find_conflicts, in_parts, resolve_conflicts
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
    dial,
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


# ------------------------------------------------------------------ one record, two books

EDGE = "2026-10-01T02:00:00Z"  # September in New York, October in UTC
EDGE_CALL = {"dialed_at": EDGE, "answered_at": None, "ended_at": "2026-10-01T02:00:30Z"}
EDGE_AMD = {"dialed_at": EDGE, "answered_at": EDGE}
IN_SEPTEMBER, IN_OCTOBER = "America/New_York", "UTC"


def in_zone(book: Book, zone: str) -> Book:
    """The same book, but for the zone of the account of the tests."""
    account = replace(book.account("acme", 0), zone=ZoneInfo(zone))
    accounts = book.accounts | {"acme": History((), (account,))}
    return Book(book.currency, book.tariffs, accounts, book.taxes)


TWO_BOOKS: list[tuple[str, list[Event], list[tuple[int, str]], list[tuple[str, str]]]] = [
    # what                          | the log  | record read, and the zone then  | charged
    ("read again under another zone",
     [call(**EDGE_CALL)], [(0, IN_SEPTEMBER), (0, IN_OCTOBER)],
     [("2026-09", "calls")]),
    ("the other way round: no row tells which was first",
     [call(**EDGE_CALL)], [(0, IN_OCTOBER), (0, IN_SEPTEMBER)],
     [("2026-09", "calls")]),
    ("both parts of a text",
     [text(sent_at=EDGE)], [(0, IN_SEPTEMBER), (0, IN_OCTOBER)],
     [("2026-09", "carrier_fees"), ("2026-09", "texts")]),
    ("a detection",
     [amd(**EDGE_AMD)], [(0, IN_OCTOBER), (0, IN_SEPTEMBER)],
     [("2026-09", "ai_voice_detection")]),
    ("a campaign's call",
     [dial(**EDGE_CALL)], [(0, IN_OCTOBER), (0, IN_SEPTEMBER)],
     [("2026-09", "campaign_calls")]),
    ("sent again: the first in the log, though its month is later",
     [call(**EDGE_CALL), call(**EDGE_CALL)], [(1, IN_SEPTEMBER), (0, IN_OCTOBER)],
     [("2026-10", "calls")]),
    ("a detection of the same call",
     [amd(**EDGE_AMD), amd(id="amd-2", **EDGE_AMD)], [(0, IN_OCTOBER), (1, IN_SEPTEMBER)],
     [("2026-10", "ai_voice_detection")]),
    ("two contents, and the first of them in two months",
     [call(**EDGE_CALL), call(**LONG_AGO, ended_at=ONCE)],
     [(0, IN_OCTOBER), (1, IN_SEPTEMBER), (0, IN_SEPTEMBER)],
     [("2026-09", "calls")]),
    ("a campaign's call that is told as a call too",
     [dial(id="call-1"), call()], [(0, IN_SEPTEMBER), (1, IN_SEPTEMBER)],
     [("2026-08", "campaign_calls")]),
    ("a call that is told as a campaign's call a year later",
     [call(), dial(id="call-1", **LONG_AGO, ended_at=ONCE)], [(0, IN_SEPTEMBER), (1, IN_SEPTEMBER)],
     [("2026-08", "calls")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("log", "reads", "expected"), [case[1:] for case in TWO_BOOKS], ids=[c[0] for c in TWO_BOOKS]
)
def test_one_identity_is_charged_once_whatever_books_it_was_rated_under(
    ledger: Ledger,
    book: Book,
    log: list[Event],
    reads: list[tuple[int, str]],
    expected: list[tuple[str, str]],
) -> None:
    """In either order of reading; in the second one all copies are merged."""

    def unsettled() -> tuple[int, int]:
        """Findings and conflicts of an audit."""
        audit = audit_ledger(ledger, [])
        checks = [finding.check for finding in audit.findings]
        return checks.count("unsettled"), audit.figures["conflicts"]

    for merged in (False, True):
        for record, zone in reads[::-1] if merged else reads:
            ledger.write(Log(log).batch(in_zone(book, zone), [[record]]))
        if merged:
            ledger._writer.command("OPTIMIZE TABLE rated FINAL")
        assert len(charged(ledger)) > len(expected)
        assert unsettled() == (1, 1)
        resolve_conflicts(ledger, *ledger.take_written())
        assert charged(ledger) == expected
        assert unsettled() == (0, 1)
        for table in ("rated", "accepted", "losers"):
            ledger._writer.command(f"TRUNCATE TABLE {table}")


@pytest.mark.parametrize("again", range(3), ids=str)
def test_in_whatever_order_one_is_read_and_resolved_the_end_is_the_same(
    ledger: Ledger, book: Book, again: int
) -> None:
    """Each step is one more read, under a book drawn by chance, and now and then a resolving."""
    chance = Random(again)
    log = Log([call(**EDGE_CALL), text(sent_at=EDGE), amd(**EDGE_AMD), call(**EDGE_CALL)])
    reads = [(record, zone) for record in range(4) for zone in (IN_SEPTEMBER, IN_OCTOBER)]
    for record, zone in chance.sample(reads, len(reads)) + chance.choices(reads, k=4):
        ledger.write(log.batch(in_zone(book, zone), [[record]]))
        if chance.random() < 0.4:
            resolve_conflicts(ledger, *ledger.take_written()[:1])
    resolve_conflicts(ledger)
    assert charged(ledger) == [
        ("2026-09", line) for line in ("ai_voice_detection", "calls", "carrier_fees", "texts")
    ]


def test_what_only_seems_to_be_one_identity_is_charged_as_what_it_is(
    ledger: Ledger, book: Book
) -> None:
    """A text may have a call's id, and so may a detection of that call and its recording."""
    log = [call(), text(id="call-1"), amd(id="call-1", call_id="call-1"), recording(id="call-1")]
    ledger.write(Log(log).batch(book))
    before = charged(ledger)
    assert resolve_conflicts(ledger) == resolve_conflicts(ledger, *ledger.take_written()) == []
    assert charged(ledger) == before
    assert [line for _, line in before] == ["ai_voice_detection", "calls", "carrier_fees", "texts"]


def test_rows_that_no_view_has_seen_are_found_all_the_same(ledger: Ledger, book: Book) -> None:
    """An insert that broke midway wrote `rated` and not `accepted`; then the zone changed."""
    log = Log([call(**EDGE_CALL)])
    ledger.write(log.batch(in_zone(book, IN_SEPTEMBER)))
    ledger._writer.command("TRUNCATE TABLE accepted")
    ledger.write(log.batch(in_zone(book, IN_OCTOBER)))
    (found,) = resolve_conflicts(ledger, *ledger.take_written())
    assert (found.event_id, found.lost, charged(ledger)) == ("call-1", (), [("2026-09", "calls")])


@pytest.mark.parametrize("version", ["version", "version - 1"], ids=["one record", "sent again"])
def test_one_content_on_two_lines_is_charged_on_the_first(
    ledger: Ledger, book: Book, version: str
) -> None:
    """As an engine would leave it that has come to price its kind on another line."""
    ledger.write(Log([call()]).batch(book))
    ledger._writer.command(
        f"INSERT INTO rated SELECT * REPLACE ('video_calls' AS line, {version} AS version)"
        " FROM rated"
    )
    assert len(charged(ledger)) == 2
    (found,) = resolve_conflicts(ledger, *ledger.take_written())
    assert (found.event_id, charged(ledger)) == ("call-1", [("2026-08", "calls")])


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
        assert resolve_conflicts(ledger, elsewhere) == []
    assert charged(ledger) == before
    resolve_conflicts(ledger, Span(at_ms, at_ms))
    assert charged(ledger) == expected
    resolve_conflicts(ledger, Span(at_ms, at_ms))
    resolve_conflicts(ledger)
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
    told = find_conflicts(ledger, part=span).conflicts
    monkeypatch.setattr(conflicts, "RECENT_TOGETHER", 1)
    parts = list(in_parts(ledger, span))
    assert len(parts) == 2  # as many as records; one of each
    audit = audit_lately(ledger, [], datetime(1970, 1, 1, tzinfo=UTC))
    assert audit.figures["conflicts"] == len(told)
    assert [finding.check for finding in audit.findings] == ["unsettled"] * (
        expected != charged(ledger)
    )
    assert resolve_conflicts(ledger, span) == told
    assert charged(ledger) == expected
    lost = [one.place[:3] for conflict in told for one in conflict.lost]
    assert ledger.query("SELECT topic, partition, offset FROM rejected") == lost


def test_a_part_of_the_log_is_cut_without_a_gap() -> None:
    assert Span(10, 19).cut(1) == Span(10, 19).cut(0) == [Span(10, 19)]
    assert Span(10, 19).cut(3) == [Span(10, 13), Span(14, 17), Span(18, 19)]
    assert Span(10, 11).cut(5) == [Span(10, 10), Span(11, 11)]


@pytest.mark.parametrize("month", [date(2013, 3, 1), date(2026, 8, 1)], ids=str)
def test_an_audit_of_either_month_finds_what_was_told_of_two(
    ledger: Ledger, book: Book, month: date
) -> None:
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    assert [one.event_id for one in find_conflicts(ledger, [month]).conflicts] == ["call-1"]
    assert find_conflicts(ledger, [OCTOBER]) == ([], [])


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


async def test_what_any_worker_wrote_is_settled_and_what_an_audit_finds_is_looked_at_again(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.maintenance.jobs.read_committed", nothing_committed)
    await idle_worker.maintenance.conflicts.run()
    ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE)]).batch(book))
    ledger.take_written()  # by another process, which was killed
    await idle_worker.maintenance.conflicts.run()
    assert charged(ledger) == [("2026-08", "calls")]
    ledger.command("TRUNCATE TABLE losers")
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
    today = [
        statement
        for path in sorted(schemas.MIGRATIONS.glob("00*.sql"))
        for statement in path.read_text().split(";\n")
        if "ADD COLUMN" in statement and "accepted" not in statement
    ]
    monkeypatch.setattr(schemas, "MIGRATIONS", old)
    ledger = make_ledger()
    for statement in today:  # the columns that are written today
        ledger.command(statement)
    return ledger


def test_what_was_accepted_before_a_migration_is_in_conflict_after_it(
    old_ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_ledger.write(Log([call(), call(**LONG_AGO, ended_at=ONCE), number()]).batch(book))
    monkeypatch.undo()
    migrations = [path.name for path in sorted(schemas.MIGRATIONS.glob("*.sql"))]
    assert old_ledger.migrate() == migrations[4:]
    check_tables(old_ledger)
    (conflict,) = resolve_conflicts(old_ledger)
    assert (conflict.event_id, [one.place.offset for one in conflict.lost]) == ("call-1", [1])
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
            resolve_conflicts(ledger, *ledger.take_written())
        assert_rows(rows_of(ledger), expected)
        for table in ("rated", "accepted", "losers"):
            ledger.command(f"TRUNCATE TABLE {table}")
