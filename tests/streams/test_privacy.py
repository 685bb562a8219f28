"""What is forgotten, and what stays as it was: on both ways to the store."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import orjson
import pytest

from rater.budgets import Budget, alerts_of, standing_of
from rater.forecast import DayCost
from rater.kinds import KINDS
from rater.money import NANOS
from rater.statement import statement_to_json
from rater.tariff import Book
from streams.maintenance.conflicts import resolve_conflicts
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, add_records
from streams.store import privacy
from streams.store.alerts import Attempt, write_alerts, write_attempts
from streams.store.budgets import set_budget
from streams.store.ledger import Ledger
from streams.store.statements import read_statement
from tests.conftest import LOGGED_MS, ROOT, SAMPLES, Event, Log, Logged, call, campaign, text

AUGUST, SEPTEMBER, OCTOBER = date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1)
OF_SEPTEMBER = {
    "dialed_at": "2026-09-10T12:00:00Z", "answered_at": None, "ended_at": "2026-09-10T12:01:01Z",
}  # fmt: skip
BEFORE_PRICES = OF_SEPTEMBER | {
    "dialed_at": "1999-09-10T12:00:00Z", "ended_at": "1999-09-10T12:01:01Z",
}  # fmt: skip
AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


def write(ledger: Ledger, book: Book, events: Sequence[Event]) -> Log:
    log = Log(events)
    ledger.write(log.batch(book))
    return log


def money(ledger: Ledger, book: Book, account: str, month: date) -> object:
    """A statement without what tells when it was read."""
    statement = statement_to_json(read_statement(ledger, book, account, month))
    return {name: statement[name] for name in ("lines", "total", "usage_total", "products_total")}


# a party          | cut
CUT = [
    ("+12125550100",  "+1212"),
    ("+442079460999", "+4420"),
    ("911",           "911"),
    ("60606",         "60606"),
    ("anonymous",     "anonymous"),
    ("client:alice",  "client:"),
    ("sip:a@host",    "sip:"),
]  # fmt: skip


def test_numbers_of_months_before_are_cut_and_nothing_else_changes(
    any_ledger: Ledger, book: Book
) -> None:
    old = [call(id=f"c{n}", **{"from": party}) for n, (party, _) in enumerate(CUT)]
    write(any_ledger, book, [*old, text(), call(id="later", **OF_SEPTEMBER)])
    before = [money(any_ledger, book, "acme", month) for month in (AUGUST, SEPTEMBER)]
    others = "SELECT * EXCEPT (from_number, to_number) FROM rated ORDER BY ALL"
    rows = any_ledger.query(others)
    counts = privacy.count_whole_numbers(any_ledger, SEPTEMBER)
    assert counts == {AUGUST: len(CUT) + 2}
    privacy.cut_numbers(any_ledger, AUGUST)
    assert privacy.count_whole_numbers(any_ledger, SEPTEMBER) == {}
    assert any_ledger.query(others) == rows
    assert [money(any_ledger, book, "acme", month) for month in (AUGUST, SEPTEMBER)] == before
    cut = dict(any_ledger.query("SELECT event_id, from_number FROM rated WHERE line = 'calls'"))
    assert [cut[f"c{n}"] for n in range(len(CUT))] == [short for _, short in CUT]
    assert cut["later"] == "+12125550100"
    assert any_ledger.query("SELECT DISTINCT to_number FROM rated WHERE month = '2026-08-01'") == [
        ("+1310",)
    ]


def test_an_event_sent_again_after_its_numbers_were_cut_is_no_conflict(
    any_ledger: Ledger, book: Book
) -> None:
    log = write(any_ledger, book, [call(), text()])
    privacy.cut_numbers(any_ledger, AUGUST)
    before = money(any_ledger, book, "acme", AUGUST)
    for event in (call(), text(status="delivered")):
        log.append(event)
    any_ledger.write(log.batch(book))
    resolve_conflicts(any_ledger)
    assert any_ledger.query("SELECT count() FROM rejected") == [(0,)]
    assert any_ledger.query("SELECT count() FROM losers") == [(0,)]
    assert money(any_ledger, book, "acme", AUGUST) == before
    privacy.cut_numbers(any_ledger, AUGUST)  # of the copies too
    assert privacy.count_whole_numbers(any_ledger, SEPTEMBER) == {}


def test_recurring_charges_are_made_as_before_after_numbers_are_cut(
    any_ledger: Ledger, book: Book
) -> None:
    write(any_ledger, book, [sample() for sample in SAMPLES.values()])
    make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
    before = money(any_ledger, book, "acme", AUGUST)
    privacy.cut_numbers(any_ledger, AUGUST)
    make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
    assert money(any_ledger, book, "acme", AUGUST) == before


def refuse(ledger: Ledger, book: Book, account: str, offset: int) -> None:
    """A dead letter by its key, and one by what its event says."""
    bad = orjson.dumps(call(account_id=account, direction="sideways"))
    records = [Logged(offset, LOGGED_MS, account.encode(), b"{bad"),
               Logged(offset + 1, LOGGED_MS, None, bad)]  # fmt: skip
    batch = Batch()
    add_records(batch, KINDS["call"], "usage.call.v1", 0, records, book)
    ledger.write(batch)


def park(ledger: Ledger, book: Book, account: str) -> None:
    """An event of before the book's first prices."""
    log = Log([call(id=f"parked-{account}", account_id=account, **BEFORE_PRICES)])
    batch = log.batch(book)
    assert batch.parked
    ledger.write(batch)


def test_old_dead_letters_and_parked_events_that_were_rated_are_forgotten(
    any_ledger: Ledger, book: Book
) -> None:
    refuse(any_ledger, book, "acme", 10)
    park(any_ledger, book, "acme")
    park(any_ledger, book, "waits")
    later = datetime.now(UTC) + timedelta(days=1)
    any_ledger.command(
        "INSERT INTO parked SELECT * REPLACE (1 AS resolved) FROM parked WHERE account_id = 'acme'"
    )
    earlier = later - timedelta(days=2)
    assert privacy.count_old_letters(any_ledger, earlier) == 0
    assert privacy.count_old_parked(any_ledger, earlier) == 0
    assert privacy.count_old_letters(any_ledger, later) == 2
    assert privacy.count_old_parked(any_ledger, later) == 2
    privacy.forget_letters(any_ledger, later)
    privacy.forget_parked(any_ledger, later)
    assert any_ledger.query("SELECT count() FROM rejected") == [(0,)]
    assert any_ledger.query("SELECT account_id FROM parked") == [("waits",)]


def of_account(ledger: Ledger, account: str) -> dict[str, int]:
    """How many rows of each table say the account's name anywhere."""
    tables = [one.table for one in privacy.plan_erasure(ledger, account, charges=True)]
    return {
        table: ledger.query(
            f"SELECT count() FROM {table} FINAL"
            " WHERE position(toString(tuple(*)), {name:String}) > 0",
            {"name": account},
        )[0][0]
        for table in tables
    }


def write_two_accounts(ledger: Ledger, book: Book) -> None:
    events = [
        sample(account_id=account, user_id=f"person-{account}", id=f"{kind}-{account}")
        for account in ("acme", "globex")
        for kind, sample in SAMPLES.items()
    ]
    write(ledger, book, [*events, campaign(id="named", account_id="acme", name="Jane's list")])
    for offset, account in enumerate(("acme", "globex")):
        budget = Budget(account, "all", NANOS, user_id=f"person-{account}")
        set_budget(ledger, budget, AS_OF)
        days = [DayCost(AUGUST, AUGUST, False, NANOS)]
        (alert, *_) = alerts_of(budget, AUGUST, standing_of(days, AUGUST, AUGUST), None, set())
        write_alerts(ledger, [(alert, f"of person-{account}")], "USD", AS_OF)
        write_attempts(ledger, [Attempt(account, alert.alert_id, "topic", 1, True, "")], AS_OF)
        park(ledger, book, account)
        refuse(ledger, book, account, 100 + 10 * offset)


@pytest.mark.parametrize("charges", [False, True])
def test_an_account_is_erased_and_no_other(any_ledger: Ledger, book: Book, charges: bool) -> None:
    write_two_accounts(any_ledger, book)
    make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
    other = of_account(any_ledger, "globex"), money(any_ledger, book, "globex", AUGUST)
    before = money(any_ledger, book, "acme", AUGUST)
    plan = privacy.plan_erasure(any_ledger, "acme", charges=charges)
    assert all(one.rows for one in plan if one.table != "losers")
    privacy.erase(any_ledger, "acme", plan)
    left = of_account(any_ledger, "acme")
    assert (left["parked"], left["rejected"]) == (0, 0)
    if charges:
        assert sum(left.values()) == 0
    else:
        assert money(any_ledger, book, "acme", AUGUST) == before
        make_months(any_ledger, book, [AUGUST], as_of=AS_OF)
        assert money(any_ledger, book, "acme", AUGUST) == before
        assert of_account(any_ledger, "person-acme") == dict.fromkeys(left, 0)
        assert of_account(any_ledger, "Jane") == dict.fromkeys(left, 0)
        named = any_ledger.query(
            "SELECT DISTINCT from_number, to_number FROM rated"
            " WHERE account_id = 'acme' AND line != 'phone_numbers'"  # the account's own
        )
        assert named == [("", "")]
    now = of_account(any_ledger, "globex"), money(any_ledger, book, "globex", AUGUST)
    assert now == other
    privacy.erase(any_ledger, "acme", plan)  # again, as after a request that broke off


def test_sums_that_change_while_numbers_are_cut_stop_it(
    any_ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(any_ledger, book, [call()])
    mutate = privacy._mutate

    def mutate_and_write(*args: object) -> None:
        mutate(*args)  # type: ignore[arg-type]
        write(any_ledger, book, [call(id="beside")])

    monkeypatch.setattr(privacy, "_mutate", mutate_and_write)
    with pytest.raises(privacy.PrivacyError, match=r"keys or sums of 2026-08 changed"):
        privacy.cut_numbers(any_ledger, AUGUST)
    assert Decimal(0) < any_ledger.query("SELECT sum(charge) FROM rated")[0][0]


def test_no_table_with_an_account_is_left_out_of_what_is_erased(ledger: Ledger) -> None:
    with_account = ledger.query(
        "SELECT table FROM system.columns WHERE database = currentDatabase()"
        " AND name = 'account_id' AND table IN (SELECT name FROM system.tables"
        " WHERE database = currentDatabase() AND engine NOT LIKE '%View')"
    )
    erased = {one.table for one in privacy.plan_erasure(ledger, "acme", charges=True)}
    assert erased == {table for (table,) in with_account} | {"rejected"}


# ------------------------------------------------------------------ what the page says


def test_the_page_names_each_column_of_each_table_once(ledger: Ledger) -> None:
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    named = sorted((table, column) for table, some in rows for column in re.findall(r"\w+", some))
    there = ledger.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND table IN ("
        " SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND engine NOT LIKE '%View') ORDER BY table, name"
    )
    assert named == there
