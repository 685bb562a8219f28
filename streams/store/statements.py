"""Reading the ledger: statements, months, products, traffic. Everything is its rows' sum.

Exact reads use FINAL (inside the views); parameters are bound.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from rater.charge import format_us
from rater.instants import in_utc, to_us
from rater.kinds import KINDS
from rater.lines import LINES, Tab
from rater.money import format_nanos, parse_nanos
from rater.months import month_of, next_month
from rater.statement import Basis, Statement, Sums, TaxSums, Waiting, basis_of, make_statement
from rater.tariff import Book
from streams.store.ledger import Ledger

TRAFFIC_WINDOW_S = 10
PRODUCTS = [line.name for line in LINES if line.tab is Tab.PRODUCTS]


# Each charge once; a price of nothing and a free status alike are free. Levels stand as in LEVELS.
_SUMS = """
SELECT line, direction, media, registered,
    countIf(status != 'voided'),
    countIf(status != 'voided' AND charge = 0),
    sumIf(billed, charge != 0),
    sumIf(billed_seconds, charge != 0),
    sumIf(segments, charge != 0),
    sum(charge),
    sum(tax_federal), sum(tax_state), sum(tax_local),
    countIf(tax_federal != 0), countIf(tax_state != 0), countIf(tax_local != 0),
    countIf(tax_federal + tax_state + tax_local != 0),
    countIf(tax_status = 'unknown' AND charge != 0),
    groupUniqArrayIf(tax_rule, tax_federal + tax_state + tax_local != 0)
FROM rated_rows
WHERE account_id = {account:String} AND month = {month:Date}
GROUP BY line, direction, media, registered
"""
# An event waits in the month of its own time, as it will be rated.
_AT = ", ".join(
    f"parseDateTime64BestEffortOrNull(JSONExtractString(event, '{name}'), 6, 'UTC')"
    for name in dict.fromkeys(name for kind in KINDS.values() for name in kind.starts())
)
_WAITING = f"""
SELECT reason, count(), min(logged_at) FROM parked FINAL
WHERE account_id = {{account:String}} AND resolved = 0
    AND toUnixTimestamp64Micro(coalesce({_AT}, toDateTime64(logged_at, 6, 'UTC')))
        BETWEEN {{from:Int64}} AND {{until:Int64}} - 1
GROUP BY reason ORDER BY reason
"""
_FIRST_TOLD = """
SELECT minOrNull(at) FROM (
    SELECT toNullable(min(month)) AS at FROM rated
    WHERE account_id = {account:String} HAVING count() > 0
    UNION ALL
    SELECT toNullable(toStartOfMonth(min(from_at))) FROM states
    WHERE account_id = {account:String} HAVING count() > 0
)
"""


def read_statement(ledger: Ledger, book: Book, account_id: str, month: date) -> Statement:
    """The statement of an account's month as of now; of nothing where there is nothing.

    Its zone, currency and plan are those of its rows; the book says them where there are none.
    `why_no_statement` says whether such a month is one at all.
    """
    now = datetime.now(UTC)
    rows = ledger.query(_SUMS, {"account": account_id, "month": month})
    from_us, until_us = book.month_bounds_us(account_id, month)
    waiting = ledger.query(_WAITING, {"account": account_id, "from": from_us, "until": until_us})
    basis = read_basis(ledger, book, account_id, month)
    return make_statement(
        [_sums(*row) for row in rows],
        account_id=account_id,
        month=month,
        as_of=format_us(to_us(now) // 1000 * 1000),
        waiting=[
            Waiting(reason, count, format_us(to_us(in_utc(since))))
            for reason, count, since in waiting
        ],
        **basis._asdict(),
    )


def read_basis(ledger: Ledger, book: Book, account_id: str, month: date) -> Basis:
    """By what a month's charges were made: of its rows, or of the book where it has none."""
    held = ledger.query(
        "SELECT zone, currency, tariff FROM rated_rows"
        " WHERE account_id = {account:String} AND month = {month:Date} AND status != 'voided'"
        " GROUP BY zone, currency, tariff ORDER BY max(occurred_at)",
        {"account": account_id, "month": month},
    )
    account = book.account(account_id, book.month_bounds_us(account_id, month)[0])
    return basis_of(
        [(zone, currency, tariff) for zone, currency, tariff in held],
        Basis(account.zone.key, book.currency, (account.tariff,)),
    )


def _sums(*row: Any) -> Sums:
    charge, levels, counts = row[9], row[10:13], row[13:16]
    taxed, unknown, rules = row[16:]
    tax = TaxSums(tuple(map(nanos, levels)), tuple(counts), taxed, unknown, tuple(rules))
    return Sums._make((*row[:9], nanos(charge), tax))


def why_no_statement(ledger: Ledger, book: Book, statement: Statement) -> str:
    """Why an empty statement is none, or "" where it is one: an account that is known has one of
    each month from its first until the current one, whether or not it used anything.
    """
    account_id, month = statement.account_id, statement.month
    if not statement.is_empty():
        return ""
    ((first,),) = ledger.query(_FIRST_TOLD, {"account": account_id})
    now_us = to_us(datetime.now(UTC))
    now = month_of(now_us, book.account(account_id, now_us).zone)
    if first is None and (account_id not in book.accounts or account_id == "default"):
        return f"no account {account_id!r}: it has no usage, and the price book does not name it"
    if first is None or month < first:
        since = f"its first is {first:%Y-%m}" if first else "it has none yet"
        if month != now:
            return f"account {account_id!r} has no usage in {month:%Y-%m}; {since}"
    elif month > now:
        return f"{month:%Y-%m} has not begun for account {account_id!r}; it is {now:%Y-%m} there"
    return ""


def read_products(ledger: Ledger, account_id: str, month: date) -> list[dict[str, str | None]]:
    """The subscriptions of the month, for the second tab.

    Each is charged on the first of a month, in the account's zone, until it has ended.
    """
    rows = ledger.query(
        # In a part of its own: a join of the view itself asks for the right to all its columns.
        "SELECT product, charges.identity, charge, zone, things.from_at, things.until_at FROM"
        " (SELECT identity, event_id, charge, zone FROM rated_rows"
        " WHERE account_id = {account:String} AND month = {month:Date}"
        " AND line IN {lines:Array(String)} AND status != 'voided') AS charges"
        " LEFT JOIN (SELECT thing, event_id, product, from_at, until_at FROM states FINAL"
        " WHERE account_id = {account:String} AND kind = 'subscription') AS things"
        " ON things.thing = charges.identity AND things.event_id = charges.event_id"
        " ORDER BY product, identity",
        {"account": account_id, "month": month, "lines": PRODUCTS},
    )
    return [
        {
            "product": product,
            "subscription_id": identity,
            "charge": format_nanos(nanos(charge)),
            "since": _day(since, zone),
            "next_billing": None if until else f"{next_month(month):%Y-%m-%d}",
        }
        for product, identity, charge, zone, since, until in rows
    ]


def _day(at: datetime, zone: str) -> str:
    """The day of an instant, by the clocks of a zone."""
    return f"{in_utc(at).astimezone(ZoneInfo(zone or 'UTC')):%Y-%m-%d}"


def read_months(ledger: Ledger, account_id: str) -> list[date]:
    """The months in which an account has rows, newest first."""
    rows = ledger.query(
        "SELECT DISTINCT month FROM rated WHERE account_id = {account:String} ORDER BY month DESC",
        {"account": account_id},
    )
    return [row[0] for row in rows]


def read_traffic(ledger: Ledger, account_id: str, month: date) -> float:
    """Events a second of one account's month that are rated, over the last ten seconds.

    By the broker's clock, so it falls to 0 while a worker is behind. An event of several lines is
    one. It reads the account's rows alone: nobody is told of another's traffic.
    """
    rows = ledger.query(
        "SELECT uniqExact(topic, partition, offset) FROM rated"
        " WHERE account_id = {account:String} AND month = {month:Date}"
        " AND logged_at > now64(3) - toIntervalSecond({window:UInt32})",
        {"account": account_id, "month": month, "window": TRAFFIC_WINDOW_S},
    )
    return float(rows[0][0]) / TRAFFIC_WINDOW_S


def nanos(amount: Decimal) -> int:
    return parse_nanos(amount)
