"""The walk through everything: what was lost, of whatever table and age, is found by its end."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from rater.tariff import Book
from streams.maintenance.jobs import WALK_EVERY_S
from streams.maintenance.news import News
from streams.maintenance.walk import ROUND_EVERY, WalkJob, step_accounts, step_receipts
from streams.rows.log_position import Span
from streams.store.ledger import Ledger
from tests.conftest import LOGGED_MS, Log, call, number

NOW = datetime(2026, 11, 28, 12, 0, 0, 500_000, tzinfo=UTC)
TURN = timedelta(seconds=WALK_EVERY_S)
AGED = """
INSERT INTO receipts SELECT * REPLACE (toDateTime64('2026-03-10 10:00:00', 3, 'UTC') AS written_at)
FROM receipts
"""


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql + " SETTINGS mutations_sync = 2")


def old_ledger(ledger: Ledger, book: Book) -> None:
    """A ledger of six accounts that was written in March."""
    events = [call(id=f"c{n}", account_id=f"account-{n % 6}") for n in range(24)]
    log = Log([*events, call(id="parked", revision=1), number()])
    ledger.write(log.batch(book, [list(range(8)), list(range(8, 16)), list(range(16, 25)), [25]]))
    kind, last = log.records[24]
    for n in (26, 27):  # behind what is of another topic
        bad = last._replace(offset=n - 1, timestamp=LOGGED_MS + n, value=b"{")
        log.records.append((kind, bad))
    ledger.write(log.batch(book, [[26, 27]]))
    ledger.command("CREATE TABLE aged AS receipts")
    ledger.command(AGED.replace("INTO receipts", "INTO aged"))
    ledger.command("EXCHANGE TABLES aged AND receipts")


def walks(ledger: Ledger) -> list[WalkJob]:
    return [
        WalkJob("accounts", ledger, partial(step_accounts, records=5)),
        WalkJob("receipts", ledger, step_receipts),
    ]


def walk(ledger: Ledger, jobs: list[WalkJob], begins: datetime, turns: int) -> set[str]:
    """What they tell in so many turns, in virtual time."""
    found: set[str] = set()
    for turn in range(turns):
        for job in jobs:
            found |= {one.check for one in job.turn(begins + turn * TURN)}
    return found


LOSSES = [
    # deleted of a table                                     | told as
    ("rated DELETE WHERE event_id = 'c7'",                     {"rows"}),
    ("rated DELETE WHERE account_id = 'account-5'",            {"rows"}),
    ("states DELETE WHERE 1",                                  {"rows"}),
    ("accepted DELETE WHERE event_id = 'c7'",                  {"outcomes"}),
    ("parked DELETE WHERE 1",                                  {"outcomes"}),
    ("rejected DELETE WHERE offset = 26",                      {"outcomes"}),
    ("receipts DELETE WHERE first_offset = 8",                 {"gap"}),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "told"), LOSSES)
def test_what_was_lost_of_an_old_table_is_found_within_a_round(
    ledger: Ledger, book: Book, loss: str, told: set[str]
) -> None:
    old_ledger(ledger, book)
    jobs = walks(ledger)
    assert walk(ledger, jobs, NOW, 15) == set()
    run(ledger, f"ALTER TABLE {loss}")
    assert walk(ledger, jobs, NOW + ROUND_EVERY, 15) == told
    # It is shown until the part is looked at again, and clean.
    assert {one.check for job in jobs for one in job.findings()} == told
    ledger.command("TRUNCATE TABLE counterfoils")
    ledger.command("TRUNCATE TABLE receipts")
    assert walk(ledger, jobs, NOW + 2 * ROUND_EVERY, 15) == set()
    assert [finding for job in jobs for finding in job.findings()] == []


def test_a_superseded_row_that_is_named_no_more_is_named_again(ledger: Ledger, book: Book) -> None:
    moved = {name: call()[name].replace("-08-", "-07-") for name in ("dialed_at", "ended_at")}
    ledger.write(Log([call(), call(**moved, answered_at=None)]).batch(book))
    walk(ledger, walks(ledger), NOW, 3)
    assert ledger.query("SELECT count() FROM losers") == [(1,)]
    ledger.command("TRUNCATE TABLE losers")
    walk(ledger, walks(ledger), NOW + ROUND_EVERY, 3)
    assert ledger.query("SELECT count() FROM losers") == [(1,)]


def test_a_walk_goes_on_where_another_was_stopped_and_begins_again_a_day_later(
    ledger: Ledger, book: Book
) -> None:
    old_ledger(ledger, book)
    looked_at: list[str] = []

    def step(ledger: Ledger, after: str, now: datetime) -> object:
        looked_at.append(after)
        if len(looked_at) == 3:
            raise OSError("read timed out")
        return step_accounts(ledger, after, now, records=5)

    def turns(count: int, now: datetime) -> None:
        job = WalkJob("accounts", ledger, step)  # type: ignore[arg-type]
        for turn in range(count):
            job.turn(now + turn * TURN)

    turns(2, NOW)
    with pytest.raises(OSError, match="timed out"):
        turns(1, NOW + 2 * TURN)
    turns(10, NOW + 3 * TURN)
    assert looked_at[2] == looked_at[3]  # what failed is looked at again
    parts = looked_at[:3] + looked_at[4:]
    assert (parts[0], sorted(set(parts)), len(parts)) == ("", parts, 4)
    before = len(looked_at)
    turns(2, NOW + ROUND_EVERY - TURN * 3)
    assert len(looked_at) == before
    turns(1, NOW + ROUND_EVERY)
    assert looked_at[before:] == [""]


def test_news_are_the_receipts_of_any_worker_and_leave_nothing_out(
    ledger: Ledger, book: Book
) -> None:
    log = Log(call(id=f"c{n}") for n in range(8))
    now = datetime.now(UTC)
    news = News("conflicts", ledger)
    assert news.read(now) == []
    ledger.write(log.batch(book, [[0, 1]]))
    assert news.read(now) == [Span(LOGGED_MS, LOGGED_MS + 1)]
    assert news.read(now) == []
    news.done()
    ledger.write(log.batch(book, [[2, 3], [4]]))
    assert news.read(now) == [Span(LOGGED_MS + 2, LOGGED_MS + 4)]
    # It is killed before it is done; another one goes on from what was kept, with some overlap.
    another = News("conflicts", ledger)
    assert another.read(now) == [Span(LOGGED_MS, LOGGED_MS + 4)]
    another.done()
    assert News("conflicts", ledger).read(now + timedelta(hours=3)) == [
        Span(LOGGED_MS, LOGGED_MS + 4)
    ]
