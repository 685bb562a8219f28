"""A place is used again: another file by the same name, a topic that was made anew."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from rater.kinds import KINDS
from rater.reject import Reason
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.kafka.log import Chunk
from streams.kafka.log import Span as Stretch
from streams.maintenance.audit import audit_lately, audit_ledger
from streams.maintenance.conflicts import resolve_conflicts
from streams.maintenance.parked import retry_parked
from streams.operations import reconcile
from streams.operations.files import rate_file
from streams.rows.batch import Batch, add_records
from streams.rows.log_position import Place, hash_of_record
from streams.store.ledger import Ledger
from streams.store.letters import Selection, list_letters, read_contents
from streams.store.outcomes import Covered, lives_of
from streams.store.parked import count_parked
from tests.conftest import Event, Logged, call, rows_of

CALLS = "usage.call.v1"
LOGGED_MS = 1_793_923_200_000  # 2026-11-06T00:00:00Z
DAY_MS = 86_400_000
PRICES = {  # of a call, by what it begins with
    "before": {"+1": "0.01"},
    "mid": {"+1": "0.01", "+33": "0.5"},
    "after": {"+1": "0.01", "+33": "0.5", "+49": "0.5"},
}


@pytest.fixture
def books(tmp_path: Path) -> dict[str, Book]:
    books = {}
    for name, prices in PRICES.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(
            'currency = "USD"\n[accounts.default]\ntariff = "t"\nzone = "UTC"\n'
            '[[tariff]]\nname = "t"\nvalid_from = 2012-01-01T00:00:00Z\n'
            + "".join(
                f'[[tariff.price]]\nline = "calls"\nunit = "minute"\nprefix = "{prefix}"\n'
                f"rate = {rate}\n"
                for prefix, rate in prices.items()
            )
        )
        books[name] = load_book(path)
    return books


def day(name: str, abroad: str) -> list[Event | bytes]:
    """A call that has no price at first, a line that is no event, a call that has a price."""
    two_minutes = {"dialed_at": "2026-11-05T10:00:00Z", "ended_at": "2026-11-05T10:01:01Z"}
    event = call(answered_at=None, **two_minutes)
    return [
        event | {"id": f"{name}-abroad", "to": abroad},
        f'{{"id": "{name}-bad"'.encode(),
        event | {"id": f"{name}-ok", "to": "+14155550101"},
    ]


DAYS = [day("d1", "+33145550101"), day("d2", "+4930555010")]


def rate_day(ledger: Ledger, path: Path, lines: list[Event | bytes], book: Book, n: int) -> None:
    raw = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    path.write_bytes(b"\n".join(raw))
    now = datetime(2026, 11, 6 + n, tzinfo=UTC)
    ledger.write(rate_file(path, "json", "default", book, now, lambda done, batch: None))


def log_day(ledger: Ledger, lines: list[Event | bytes], book: Book, logged_ms: int) -> None:
    """As a worker writes it: offsets from 0 on, at once and in two batches."""
    records = [
        Logged(n, logged_ms + n, None, line if isinstance(line, bytes) else orjson.dumps(line))
        for n, line in enumerate(lines)
    ]
    for some in (records[:2], records[2:]):
        if some:
            batch = Batch()
            add_records(batch, KINDS["call"], CALLS, 0, some, book)
            ledger.write(batch)


def charged(ledger: Ledger) -> str:
    ((charge,),) = ledger.query("SELECT toString(sum(charge)) FROM rated_rows")
    return str(charge)


@pytest.mark.parametrize("retries", [["after"], ["mid", "after"]])
@pytest.mark.parametrize("of", ["file", "topic"])
def test_what_waits_and_what_was_rejected_at_a_place_that_is_used_again_is_all_there(
    ledger: Ledger, books: dict[str, Book], tmp_path: Path, of: str, retries: list[str]
) -> None:
    for n, lines in enumerate(DAYS):
        for _ in range(2):  # and each is read twice
            if of == "file":
                rate_day(ledger, tmp_path / "cdr.jsonl", lines, books["before"], n)
            else:
                log_day(ledger, lines, books["before"], LOGGED_MS + n * DAY_MS)
        assert count_parked(ledger) == (n + 1 if len(retries) == 1 else 1)
        retry_parked(ledger, books[retries[min(n, len(retries) - 1)]] if n or len(retries) > 1
                     else books["before"])  # fmt: skip
    retry_parked(ledger, books["after"])
    letters = list_letters(ledger, Selection(), 9)
    contents = read_contents(ledger, letters)
    assert [contents[letter.key()].value for letter in letters] == [DAYS[1][1], DAYS[0][1]]
    assert count_parked(ledger) == 0
    assert charged(ledger) == "2.04"
    assert audit_ledger(ledger, []).findings == []


def test_a_conflict_at_a_place_that_is_used_again_has_a_letter_of_its_own(
    ledger: Ledger, books: dict[str, Book], tmp_path: Path
) -> None:
    for n in range(2):
        one = call(id=f"d{n}", to="+14155550101")
        lines: list[Event | bytes] = [one, one | {"to": "+14155550102"}]
        for _ in range(2):
            rate_day(ledger, tmp_path / "cdr.jsonl", lines, books["after"], n)
            resolve_conflicts(ledger)
    letters = list_letters(ledger, Selection(reason=Reason.CONFLICT), 9)
    assert {letter.message.split("'")[1] for letter in letters} == {"d0", "d1"}
    assert len(letters) == 2


def test_letters_and_parked_events_of_before_there_was_a_hash_are_found_and_rated(
    ledger: Ledger, books: dict[str, Book]
) -> None:
    log_day(ledger, DAYS[0], books["before"], LOGGED_MS)
    for table in ("parked", "rejected"):
        for statement in (
            f"CREATE TABLE old AS {table}",
            f"INSERT INTO old SELECT * REPLACE (0 AS record_hash) FROM {table}",
            f"EXCHANGE TABLES old AND {table}",
            "DROP TABLE old",
        ):
            ledger.command(statement)
    log_day(ledger, DAYS[1], books["before"], LOGGED_MS + DAY_MS)
    assert count_parked(ledger) == 2
    assert len(list_letters(ledger, Selection(), 9)) == 2
    assert retry_parked(ledger, books["after"])[0] == 2
    assert (count_parked(ledger), charged(ledger)) == (0, "2.04")


def test_the_migration_may_stop_anywhere_and_be_run_again(ledger: Ledger, book: Book) -> None:
    log_day(ledger, DAYS[0], book, LOGGED_MS)
    before = rows_of(ledger)
    (path,) = schemas.MIGRATIONS.glob("0012_*.sql")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        if statement.strip():
            ledger.command(statement)
    assert rows_of(ledger) == before
    assert audit_ledger(ledger, []).findings == []


# ------------------------------------------------------------------ receipts


def test_a_record_that_was_lost_after_the_topic_was_made_anew_is_found(
    ledger: Ledger, book: Book
) -> None:
    """Its offset has an outcome already, of the topic's life before."""
    since = datetime.now(UTC) - timedelta(hours=1)
    for n, lines in enumerate(DAYS):
        log_day(ledger, lines, book, LOGGED_MS + n * DAY_MS)

    def audits() -> list[list[tuple[str, str]]]:
        committed = {(CALLS, 0): 3}
        found = [
            audit_ledger(ledger, [], committed=committed),
            audit_lately(ledger, [date(2026, 11, 1)], since, committed=committed),
        ]
        assert [audit.figures["records"] for audit in found] == [6, 6]
        return [[(one.check, one.where) for one in audit.findings] for audit in found]

    assert audits() == [[], []]
    ledger.command(
        "ALTER TABLE accepted DELETE WHERE event_id = 'd2-ok' SETTINGS mutations_sync = 2"
    )
    assert audits() == [[("outcomes", f"{CALLS} 0")]] * 2


def test_what_was_committed_beyond_the_receipts_of_the_topic_as_it_is_now_is_found(
    ledger: Ledger, book: Book
) -> None:
    log_day(ledger, [call(id=f"c{n}") for n in range(9)], book, LOGGED_MS)
    log_day(ledger, [call(id=f"d{n}") for n in range(3)], book, LOGGED_MS + DAY_MS)
    assert audit_ledger(ledger, [], committed={(CALLS, 0): 3}).findings == []
    (finding,) = audit_ledger(ledger, [], committed={(CALLS, 0): 5}).findings
    assert finding.check == "committed"
    assert "receipts end at 3: 2 records" in finding.message


def test_an_audit_of_what_came_lately_reads_nothing_of_the_topics_life_before(
    ledger: Ledger, book: Book
) -> None:
    log_day(ledger, [call(id=f"c{n}") for n in range(9)], book, LOGGED_MS)
    for statement in (
        "CREATE TABLE aged AS receipts",
        "INSERT INTO aged SELECT * REPLACE ('2026-01-01 00:00:00' AS written_at) FROM receipts",
        "EXCHANGE TABLES aged AND receipts",
    ):
        ledger.command(statement)
    log_day(ledger, [call(id=f"d{n}") for n in range(3)], book, LOGGED_MS + DAY_MS)
    audit = audit_lately(ledger, [], datetime.now(UTC) - timedelta(hours=1))
    assert (audit.figures["records"], audit.findings) == (3, [])


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=4),
    st.data(),
)
def test_lives_are_told_apart_however_often_parts_are_read_again(
    lives: list[list[int]], data: st.DataObject
) -> None:
    """Each life is some receipts, one after the other, of so many records a millisecond apart."""
    receipts, lengths, now_ms = [], [], 1
    for sizes in lives:
        total = sum(sizes)
        firsts = [sum(sizes[:n]) for n in range(len(sizes))]
        spans = list(zip(firsts, sizes, strict=True))
        again = data.draw(st.lists(st.sampled_from(spans), max_size=3))
        longer = data.draw(st.lists(st.sampled_from(firsts), max_size=2))
        spans += again + [(first, total - first) for first in longer]
        receipts += [
            Covered("t", 0, first, first + size - 1, now_ms + first, now_ms + first + size - 1)
            for first, size in spans
        ]
        lengths.append(total)
        now_ms += total + 1
    found = lives_of(data.draw(st.permutations(receipts)))
    assert [life.end() for life in found] == lengths
    assert [life.receipts[0].first_offset for life in found] == [0] * len(lives)


# ------------------------------------------------------------------ reconcile


def test_a_reconciliation_compares_the_topic_as_it_is_now(ledger: Ledger, book: Book) -> None:
    for n, lines in enumerate(DAYS):
        log_day(ledger, lines, book, LOGGED_MS + n * DAY_MS)
    # And an event of before, sent again with other content to where it lay.
    again: list[Event | bytes] = [*DAYS[1], call(id="d3")]
    log_day(ledger, again, book, LOGGED_MS + 2 * DAY_MS)
    records: list[Any] = [
        Logged(n, LOGGED_MS + 2 * DAY_MS + n, None,
               line if isinstance(line, bytes) else orjson.dumps(line))
        for n, line in enumerate(again)
    ]  # fmt: skip
    report = reconcile.Report(9)
    stretch = Stretch(KINDS["call"], CALLS, 0, 0, len(records))
    chunk = Chunk(0, len(records), records)
    reconcile._compare(report, ledger, book, stretch, chunk)
    assert (report.records, report.examples) == (4, {})


def test_the_hash_of_a_files_line_is_its_own_and_of_a_record_of_kafka_its_time_too() -> None:
    file, topic = Place("file:/a", 0, 1, 5), Place("usage.call.v1", 0, 1, 5)
    assert hash_of_record(file, b"x") == hash_of_record(file._replace(logged_ms=6), b"x")
    assert hash_of_record(file, b"x") != hash_of_record(file, b"y")
    assert hash_of_record(topic, b"x") != hash_of_record(topic._replace(logged_ms=6), b"x")
