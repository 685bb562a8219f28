"""Monthly lines from what events told, in the ledger: late ends, other orders, made again."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from clickhouse_connect.driver.binding import format_query_value

from rater.months import parse_month
from rater.statement import statement_to_json
from rater.tariff import Book
from streams.maintenance import jobs
from streams.maintenance import recurring as monthly
from streams.maintenance.jobs import Changes, MonthsJob
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch
from streams.rows.changed import Changed
from streams.runtime.worker import Worker
from streams.store.ledger import Ledger, StoreErrors
from streams.store.statements import read_statement
from tests import oracle
from tests.conftest import (
    CHICAGO,
    LOS_ANGELES,
    NEW_YORK,
    Log,
    assert_rows,
    comparable,
    number,
    recording,
    rows_by_oracle,
    rows_of,
    subscription,
)

MONTHS = ("2026-07", "2026-08", "2026-09", "2026-10")
AUGUST, SEPTEMBER, OCTOBER = date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1)
AS_OF = datetime(2026, 11, 2, tzinfo=UTC)


def make_all(ledger: Ledger, book: Book, as_of: datetime = AS_OF) -> None:
    make_months(ledger, book, [parse_month(month) for month in MONTHS], as_of=as_of)


def charged(ledger: Ledger) -> list[tuple[str, str, str, str]]:
    """Month, line, charge and status of every monthly row."""
    return [
        (month, line, charge, status)
        for month, line, charge, status in ledger.query(
            "SELECT formatDateTime(month, '%Y-%m') AS m, line, toString(charge), status"
            " FROM rated_rows ORDER BY m, line, identity"
        )
    ]


def assert_as_by_oracle(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, events: list[Mapping[str, Any]]
) -> None:
    expected = oracle.rate_lines(events, oracle_book)
    assert_rows(rows_of(ledger), rows_by_oracle(expected, ["acme"], MONTHS))
    for month in MONTHS:
        statement = statement_to_json(read_statement(ledger, book, "acme", parse_month(month)))
        assert comparable(statement) == expected.statement("acme", month)


def test_a_month_made_twice_is_the_same_month(any_ledger: Ledger, book: Book) -> None:
    any_ledger.write(Log([number(), recording(), subscription()]).batch(book))
    first = make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
    before = any_ledger.query("SELECT * FROM rated_rows ORDER BY ALL")
    assert first[:2] == (3, set())
    assert make_months(any_ledger, book, [AUGUST], as_of=AS_OF) == first
    assert any_ledger.query("SELECT * FROM rated_rows ORDER BY ALL") == before
    assert charged(any_ledger) == [
        ("2026-08", "phone_numbers", "1", "rated"),
        ("2026-08", "recording_storage", "0.002", "rated"),
        ("2026-08", "subscriptions", "49", "rated"),
    ]


def test_an_end_told_late_takes_back_the_months_after_it(
    any_ledger: Ledger, book: Book, oracle_book: oracle.Book
) -> None:
    log = Log([number(), recording(), subscription()])
    any_ledger.write(log.batch(book))
    make_all(any_ledger, book)
    assert len(charged(any_ledger)) == 9
    end = "2026-09-20T00:00:00Z"
    log.append(number(id="n2", released_at=end))
    log.append(recording(id="r2", deleted_at=end))
    log.append(subscription(id="s2", ended_at=end))
    any_ledger.write(log.batch(book, [[3], [4], [5]]))
    make_all(any_ledger, book)
    rows = charged(any_ledger)
    assert [row for row in rows if row[0] == "2026-10"] == [
        ("2026-10", "phone_numbers", "0", "voided"),
        ("2026-10", "recording_storage", "0", "voided"),
        ("2026-10", "subscriptions", "0", "voided"),
    ]
    assert {row[3] for row in rows if row[0] != "2026-10"} == {"rated"}
    assert_as_by_oracle(any_ledger, book, oracle_book, log.events)


ACQUIRED = "2026-08-10T12:00:00Z"
TALES: list[tuple[str, list[dict[str, Any]]]] = [
    # each event is told after the one before it
    ("an end, then the earlier state again", [
        number(released_at="2026-09-02T00:00:00Z"), number(id="n2"),
    ]),
    ("two ends: the last in the log, though it is the earlier instant", [
        number(released_at="2026-10-02T00:00:00Z"),
        number(id="n2", released_at="2026-08-20T00:00:00Z"),
    ]),
    ("two ends: the last in the log, the later instant", [
        number(released_at="2026-08-20T00:00:00Z"),
        number(id="n2", released_at="2026-10-02T00:00:00Z"),
    ]),
    ("an event id told twice counts as told first", [
        recording(duration_s=60), recording(duration_s=6_000),
    ]),
    ("an event id told again of another recording", [
        recording(), recording(recording_id="R2"),
    ]),
    ("an event id told again of another recording, and once more of the first", [
        recording(), recording(recording_id="R2"), recording(),
    ]),
    ("an event id told again of another number", [
        number(), number(number=LOS_ANGELES),
    ]),
    ("an event id told again of an earlier month", [
        number(acquired_at="2026-09-20T00:00:00Z"), number(),
    ]),
    ("another event about the same recording", [
        recording(duration_s=60), recording(id="r2", duration_s=6_000),
    ]),
    ("a number released and acquired again in one month is one number", [
        number(released_at="2026-08-12T00:00:00Z"),
        number(id="n2", acquired_at="2026-08-20T00:00:00Z"),
    ]),
    ("a number acquired and released at once never stood", [
        number(released_at=ACQUIRED),
    ]),
    ("a subscription that changed its product", [
        subscription(product="office-phone"), subscription(id="s2", product="power-dialer"),
    ]),
    ("a recording deleted at the edge of New York's month", [
        recording(deleted_at="2026-09-01T04:00:00Z"),
    ]),
    ("a recording deleted a microsecond after the edge", [
        recording(deleted_at="2026-09-01T04:00:00.000001Z"),
    ]),
    ("a number acquired in the last microsecond of the month", [
        number(acquired_at="2026-09-01T03:59:59.999999Z"),
    ]),
    ("a recording told again as stored in a later month", [
        recording(), recording(id="r2", stored_at="2026-10-10T00:00:00Z"),
    ]),
    ("a recording told again as stored in an earlier month", [
        recording(), recording(id="r2", stored_at="2026-07-10T00:00:00Z"),
    ]),
    ("a recording of no seconds", [recording(duration_s=0)]),
    ("a thing that stands since the last century", [
        number(acquired_at="1999-01-01T00:00:00Z"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("tale", "events"), TALES, ids=[tale for tale, _ in TALES])
def test_what_stood_is_charged_as_by_the_oracle_in_either_order_of_writing(
    ledger: Ledger,
    book: Book,
    oracle_book: oracle.Book,
    tale: str,
    events: list[dict[str, Any]],
) -> None:
    log = Log(events)
    ledger.write(log.batch(book))
    make_all(ledger, book)
    assert_as_by_oracle(ledger, book, oracle_book, log.events)
    run(ledger, "TRUNCATE TABLE rated")
    run(ledger, "TRUNCATE TABLE states")
    for place in reversed(range(len(events))):
        ledger.write(log.batch(book, [[place]]))
        make_all(ledger, book)
    assert_as_by_oracle(ledger, book, oracle_book, log.events)


async def test_what_changes_while_months_are_made_is_made_next(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording is told of just after its month was read, and before it is written."""
    monkeypatch.setattr(jobs, "open_months", lambda now: [AUGUST])
    log = Log([number(), recording(), subscription()])
    await idle_worker.maintenance.months.run()
    await idle_worker._writer._write([], log.batch(book, [[0]]))
    query = Ledger.query

    def told_meanwhile(self: Ledger, sql: str, *parameters: Any) -> Any:
        rows = query(self, sql, *parameters)
        if "FROM states" in sql:
            monkeypatch.undo()
            monkeypatch.setattr(jobs, "open_months", lambda now: [AUGUST])
            batch = log.batch(book, [[1]])
            asyncio.run_coroutine_threadsafe(idle_worker._writer._write([], batch), loop).result()
        return rows

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Ledger, "query", told_meanwhile)
    await idle_worker.maintenance.months.run()
    assert [row[1] for row in charged(ledger)] == ["phone_numbers"]
    await idle_worker.maintenance.months.run()
    assert [row[1] for row in charged(ledger)] == ["phone_numbers", "recording_storage"]


async def test_what_changed_is_made_once_the_store_answers_again(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "open_months", lambda now: [AUGUST])
    await idle_worker.maintenance.months.run()
    await idle_worker._writer._write([], Log([number()]).batch(book))

    def down(self: Ledger, *_: Any) -> None:
        raise OSError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "query", down)
        with pytest.raises(OSError, match="refused"):
            await idle_worker.maintenance.months.run()
    await idle_worker.maintenance.months.run()
    assert [row[1] for row in charged(ledger)] == ["phone_numbers"]


# Nothing of these is told again: their charges must stay as they were made.
OF_OTHERS = [
    number(id="other-n", number=CHICAGO),
    recording(id="other-r", recording_id="other"),
    subscription(id="other-s", subscription_id="other"),
]


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql)


def test_a_month_that_has_not_begun_for_the_account_has_no_lines(
    ledger: Ledger, book: Book
) -> None:
    ledger.write(Log([number(), number(id="n2", account_id="globex")]).batch(book))
    between = datetime(2026, 9, 1, 2, tzinfo=UTC)  # September in UTC, still August in New York
    make_months(ledger, book, [SEPTEMBER], as_of=between)
    rows = ledger.query("SELECT account_id, month FROM rated_rows")
    assert rows == [("globex", SEPTEMBER)]


@pytest.mark.parametrize(("together", "sizes"), [(20_000, [5]), (2, [2, 2, 1])])
def test_accounts_are_written_together(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch, together: int, sizes: list[int]
) -> None:
    """One insert for each account would be as many inserts as there are accounts."""
    events = [number(id=f"n{n}", account_id=f"account-{n}") for n in range(5)]
    ledger.write(Log(events).batch(book))
    written: list[int] = []

    def write(self: Ledger, batch: Batch) -> None:
        written.append(len(batch.rated))
        put(self, batch)

    put = Ledger.write
    monkeypatch.setattr(Ledger, "write", write)
    monkeypatch.setattr(monthly, "ROWS_TOGETHER", together)
    assert make_months(ledger, book, [AUGUST], as_of=AS_OF).rows == 5
    assert written == sizes
    assert len(rows_of(ledger)) == 5


CHANGES: list[tuple[Changed, list[tuple[str, str]]]] = [
    # changed                                           | made
    (Changed(set(), set()),                              []),
    (Changed(set(), {"globex"}),                         [("globex", NEW_YORK), ("globex", "R")]),
    (Changed({("globex", "R")}, set()),                  [("globex", "R")]),
    (Changed({("acme", "R")}, {"globex"}),               [("globex", NEW_YORK), ("globex", "R")]),
    (Changed({("acme", NEW_YORK), ("globex", "R")}, set()), [("acme", NEW_YORK), ("globex", "R")]),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "made"), CHANGES)
def test_only_what_changed_is_made(
    any_ledger: Ledger, book: Book, changed: Changed, made: list[tuple[str, str]]
) -> None:
    others = {"id": "n2", "account_id": "globex"}
    any_ledger.write(Log([number(), number(**others), recording(**others)]).batch(book))
    rows, _, _ = make_months(any_ledger, book, [AUGUST], as_of=AS_OF, changed=changed)
    assert rows == len(made)
    assert any_ledger.query("SELECT account_id, identity FROM rated_rows ORDER BY ALL") == made


PARAMETER_BYTES_MAX = 131_072  # http_max_field_value_size of a server


@pytest.mark.parametrize("letter", ["a", "'", "\\", "é", "漢", "😀"])
def test_changes_are_told_in_parts_that_fit_in_a_query(letter: str) -> None:
    names = [f"{n:03}" + letter * 253 for n in range(500)]
    whole = Changed({(name, name) for name in names}, set(names[::2]))
    parts = list(whole.in_parts())
    again = Changed(set(), set())
    for part in parts:
        for value in part.parameters().values():
            assert len(format_query_value(value).encode()) < PARAMETER_BYTES_MAX
        again.merge(part)
    assert again == whole
    assert len(parts) < 40
    assert list(Changed(set(), set()).in_parts()) == []


async def test_a_part_that_fails_holds_up_no_other_and_is_made_again(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [f"account-{n}" for n in range(5)]
    monkeypatch.setattr("streams.rows.changed.PART_BYTES", 1)
    changes = Changes()
    job = MonthsJob(ledger, lambda: book, changes, "")
    await job.run()
    ledger.write(Log(number(id=one, account_id=one) for one in accounts).batch(book))
    changes.put_changed(Changed(set(), set(accounts)))
    ledger.command("ALTER TABLE rated ADD CONSTRAINT refused CHECK account_id != 'account-2'")
    for _ in range(2):
        with pytest.raises(StoreErrors):
            await job.run()
        assert {account for account, _ in changes.changed.things} == {"account-2"}
        assert changes.changed.accounts == {"account-2"}
        made = ledger.query("SELECT DISTINCT account_id FROM rated_rows ORDER BY 1")
        assert [name for (name,) in made] == [one for one in accounts if one != "account-2"]
    ledger.command("ALTER TABLE rated DROP CONSTRAINT refused")
    await job.run()
    assert changes.changed == Changed(set(), set())
    assert len(ledger.query("SELECT DISTINCT account_id FROM rated_rows")) == 5


@pytest.mark.parametrize(("tale", "events"), TALES, ids=[tale for tale, _ in TALES])
@pytest.mark.parametrize("backwards", [False, True])
async def test_a_worker_that_makes_what_changed_makes_what_stood(
    idle_worker: Worker,
    ledger: Ledger,
    book: Book,
    oracle_book: oracle.Book,
    tale: str,
    events: list[dict[str, Any]],
    backwards: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Event by event, in either order of writing, with what maintenance does between them."""
    months = [parse_month(month) for month in MONTHS]
    monkeypatch.setattr(jobs, "open_months", lambda now: months)
    log = Log([*events, *OF_OTHERS])
    places = range(len(log.events))
    for place in [None, *(reversed(places) if backwards else places)]:
        if place is not None:
            batch = log.batch(book, [[place]])
            await idle_worker._writer._write([], batch)
        await idle_worker.maintenance.months.run()
        await idle_worker.maintenance.conflicts.run()
        await idle_worker.maintenance.months.run()
    expected = oracle.rate_lines(log.events, oracle_book)
    rows = rows_of(ledger)
    with_earlier = sorted({*MONTHS, *(month for _, month, *_ in rows)})
    assert_rows(rows, rows_by_oracle(expected, ["acme"], with_earlier))


LATE = [
    # what is told, late                                              | months that are charged
    (number(acquired_at="2026-08-10T00:00:00Z"),                                ["08", "09", "10"]),
    (number(acquired_at="2026-08-10T00:00:00Z", released_at="2026-09-02T00:00:00Z"), ["08", "09"]),
    (recording(stored_at="2026-09-01T03:00:00Z"),          ["08", "09", "10"]),  # of August there
    (subscription(started_at="2026-09-10T00:00:00Z"),                           ["09", "10"]),
]  # fmt: skip


@pytest.mark.parametrize(("event", "months"), LATE, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("killed", [False, True])
async def test_what_is_told_of_months_ago_is_charged_in_each_month_since(
    idle_worker: Worker,
    ledger: Ledger,
    book: Book,
    event: dict[str, Any],
    months: list[str],
    killed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Open is what is not closed, and nothing is; told to a worker, or to one that was killed."""
    monkeypatch.setattr(jobs, "open_months", lambda now: [OCTOBER])
    batch = Log([event | {"account_id": "acme"}]).batch(book)
    if killed:
        ledger.write(batch)
    else:
        await idle_worker.maintenance.months.run()
        await idle_worker._writer._write([], batch)
    await idle_worker.maintenance.months.run()
    charged_in = [month for month, *_ in charged(ledger)]
    assert charged_in == [f"2026-{month}" for month in months]
    await idle_worker.maintenance.months.run()
    assert [month for month, *_ in charged(ledger)] == charged_in


async def test_an_end_that_is_told_late_takes_back_the_months_after_it(
    idle_worker: Worker, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "open_months", lambda now: [OCTOBER])
    stored = recording(stored_at="2026-07-10T00:00:00Z")
    log = Log([stored, stored | {"id": "ended", "deleted_at": "2026-08-10T00:00:00Z"}])
    for place in (0, 1):
        await idle_worker._writer._write([], log.batch(book, [[place]]))
        await idle_worker.maintenance.months.run()
    of_months = {month: charge for month, _, charge, _ in charged(ledger)}
    assert [month for month, charge in of_months.items() if charge != "0"] == ["2026-07", "2026-08"]


def test_a_row_names_the_place_in_the_log_that_it_was_made_from(ledger: Ledger, book: Book) -> None:
    log = Log([recording(), recording(id="r2")])
    ledger.write(log.batch(book))
    make_months(ledger, book, [AUGUST], as_of=AS_OF, topic_prefix="eu.")
    rows = ledger.query("SELECT topic, partition, offset, event_id, identity FROM rated_rows")
    assert rows == [("eu.usage.recording.v1", 0, 1, "r2", "R")]


def test_a_thing_before_every_tariff_is_counted_as_unpriced_and_not_free(
    ledger: Ledger, book: Book
) -> None:
    ledger.write(Log([number(acquired_at="2011-01-01T00:00:00Z")]).batch(book))
    long_ago = date(2011, 2, 1)
    unpriced = {(long_ago, ("acme", NEW_YORK))}
    assert make_months(ledger, book, [long_ago], as_of=AS_OF)[:2] == (0, unpriced)
    assert make_months(ledger, book, [AUGUST, long_ago], as_of=AS_OF)[:2] == (1, unpriced)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_thing_since_the_first_instant_of_the_calendar_does_not_stop_the_others(
    any_ledger: Ledger, book: Book, at: str
) -> None:
    events = [number(account_id="strange", acquired_at=at), number(), recording()]
    any_ledger.write(Log(events).batch(book))
    make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
    assert {row[:3] for row in charged(any_ledger)} >= {
        ("2026-08", "phone_numbers", "1"),
        ("2026-08", "recording_storage", "0.002"),
    }
