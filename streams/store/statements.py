"""Reading the ledger: statements, with the traffic on them, months, products: its rows' sums.

Exact reads use FINAL (inside the views); parameters are bound.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from rater.charge import format_us
from rater.instants import in_utc, to_us
from rater.kinds import KINDS
from rater.lines import LINES, Tab
from rater.money import format_nanos, parse_nanos
from rater.months import month_of, next_month
from rater.statement import Basis, Statement, Sums, TaxSums, Waiting, basis_of, make_statement
from rater.tariff import Book
from streams.rows.changed import PART_BYTES, escaped_bytes
from streams.store.ledger import Ledger

T = TypeVar("T")

TRAFFIC_WINDOW_S = 10
PRODUCTS = [line.name for line in LINES if line.tab is Tab.PRODUCTS]


# What the log gave one row of: of an event's other lines none counts it again.
EVENT_LINES = sorted(
    {lines[0] for kind in KINDS.values() if kind.usage for lines in kind.usage.line_names()}
)
ASKED_AT_ONCE = 200  # accounts' months in one question: they travel in its address

# Each charge once; a price of nothing and a free status alike are free. Levels stand as in LEVELS.
# Grouped by what a month was charged by, too: so one question says both.
_SUMS = """
SELECT account_id, month, line, direction, media, registered,
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
    groupUniqArrayIf(tax_rule, tax_federal + tax_state + tax_local != 0),
    zone, currency, tariff, maxIf(occurred_at, status != 'voided') AS latest,
    countIf(line IN {event_lines:Array(String)}
        AND logged_at > now64(3) - toIntervalSecond({window:UInt32}))
FROM rated_rows
WHERE (account_id, month) IN {keys:Array(Tuple(String, Date))}
GROUP BY account_id, month, line, direction, media, registered, zone, currency, tariff
ORDER BY latest
"""
_COUNT, _BASIS, _LATEST = 4, 19, 22  # where in a row, after its account and month
# An event waits in the month of its own time, as it will be rated.
_AT = ", ".join(
    f"parseDateTime64BestEffortOrNull(JSONExtractString(event, '{name}'), 6, 'UTC')"
    for name in dict.fromkeys(name for kind in KINDS.values() for name in kind.starts())
)
_WAITING = f"""
SELECT account_id, one.2, reason, count(), min(logged_at) FROM (
    SELECT account_id, reason, logged_at,
        toUnixTimestamp64Micro(coalesce({_AT}, toDateTime64(logged_at, 6, 'UTC'))) AS at
    FROM parked FINAL WHERE account_id IN {{accounts:Array(String)}} AND resolved = 0)
ARRAY JOIN arrayFilter(one -> one.1 = account_id AND at BETWEEN one.3 AND one.4 - 1,
    {{bounds:Array(Tuple(String, Date, Int64, Int64))}}) AS one
GROUP BY account_id, one.2, reason ORDER BY reason
"""
# In a part of its own: a join of the view itself asks for the right to all its columns.
_PRODUCTS = """
SELECT charges.account_id, month, product, charges.identity, charge, zone, things.from_at,
    things.until_at
FROM (SELECT account_id, month, identity, event_id, charge, zone FROM rated_rows
    WHERE (account_id, month) IN {keys:Array(Tuple(String, Date))}
        AND line IN {lines:Array(String)} AND status != 'voided') AS charges
LEFT JOIN (SELECT account_id, thing, event_id, product, from_at, until_at FROM states FINAL
    WHERE account_id IN {accounts:Array(String)} AND kind = 'subscription') AS things
ON things.account_id = charges.account_id AND things.thing = charges.identity
    AND things.event_id = charges.event_id
ORDER BY product, identity
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


Key = tuple[str, date]  # an account and a month of its


def parts_of(asked: Sequence[T]) -> Iterator[list[T]]:
    """Accounts, or months of theirs, as many as one question takes: in number and in bytes."""
    part: list[T] = []
    size = 0
    for one in asked:
        added = escaped_bytes(one if isinstance(one, str) else str(one))
        if part and (len(part) == ASKED_AT_ONCE or size + added > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(one)
        size += added
    if part:
        yield part


class Standing(NamedTuple):
    """A statement, and how many of the account's own events a second were rated just now."""

    statement: Statement
    per_second: float


def read_statement(ledger: Ledger, book: Book, account_id: str, month: date) -> Statement:
    """The statement of an account's month as of now; of nothing where there is nothing.

    Its zone, currency and plan are those of its rows; the book says them where there are none.
    `why_no_statement` says whether such a month is one at all.
    """
    return read_standing(ledger, book, [(account_id, month)])[account_id, month].statement


def read_standing(ledger: Ledger, book: Book, keys: Sequence[Key]) -> dict[Key, Standing]:
    """The statements of several accounts' months, ASKED_AT_ONCE in one question.

    To plan a question takes many times longer than to add up one more account's rows.
    """
    told: dict[Key, Standing] = {}
    for some in parts_of(keys):
        told |= _read_standing(ledger, book, some)
    return told


def _read_standing(ledger: Ledger, book: Book, keys: list[Key]) -> dict[Key, Standing]:
    now = format_us(to_us(datetime.now(UTC)) // 1000 * 1000)
    rows: dict[Key, list[Any]] = {key: [] for key in keys}
    asked = {"keys": keys, "event_lines": EVENT_LINES, "window": TRAFFIC_WINDOW_S}
    for account_id, month, *row in ledger.query(_SUMS, asked):
        rows[account_id, month].append(row)
    waiting: dict[Key, list[Waiting]] = {key: [] for key in keys}
    bounds = [(*key, *book.month_bounds_us(*key)) for key in keys]
    asked = {"accounts": sorted({account_id for account_id, _ in keys}), "bounds": bounds}
    for account_id, month, reason, count, since in ledger.query(_WAITING, asked):
        told = Waiting(reason, count, format_us(to_us(in_utc(since))))
        waiting[account_id, month].append(told)
    standing: dict[Key, Standing] = {}
    for key, of_key in rows.items():
        basis = _basis(book, key, [row[_BASIS:_LATEST] for row in of_key if row[_COUNT]])
        statement = make_statement(
            [_sums(*row[:_BASIS]) for row in of_key],
            account_id=key[0],
            month=key[1],
            as_of=now,
            waiting=waiting[key],
            **basis._asdict(),
        )
        standing[key] = Standing(statement, sum(row[-1] for row in of_key) / TRAFFIC_WINDOW_S)
    return standing


def read_basis(ledger: Ledger, book: Book, account_id: str, month: date) -> Basis:
    """By what a month's charges were made: of its rows, or of the book where it has none."""
    held = ledger.query(
        "SELECT zone, currency, tariff FROM rated_rows"
        " WHERE account_id = {account:String} AND month = {month:Date} AND status != 'voided'"
        " GROUP BY zone, currency, tariff ORDER BY max(occurred_at)",
        {"account": account_id, "month": month},
    )
    return _basis(book, (account_id, month), held)


def _basis(book: Book, key: Key, held: Sequence[Sequence[str]]) -> Basis:
    """Of the (zone, currency, tariff) of a month's rows, the latest last; some may stand twice."""
    account = book.account(key[0], book.month_bounds_us(*key)[0])
    latest_first = dict.fromkeys((zone, currency, tariff) for zone, currency, tariff in held[::-1])
    return basis_of(
        [*latest_first][::-1], Basis(account.zone.key, book.currency, (account.tariff,))
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


Product = dict[str, str | None]


def read_products(ledger: Ledger, account_id: str, month: date) -> list[Product]:
    """The subscriptions of the month, for the second tab.

    Each is charged on the first of a month, in the account's zone, until it has ended.
    """
    return read_products_of(ledger, [(account_id, month)])[account_id, month]


def read_products_of(ledger: Ledger, keys: Sequence[Key]) -> dict[Key, list[Product]]:
    """The same of several accounts' months, ASKED_AT_ONCE in one question."""
    told: dict[Key, list[Product]] = {key: [] for key in keys}
    for some in parts_of(keys):
        accounts = sorted({account_id for account_id, _ in some})
        rows = ledger.query(_PRODUCTS, {"keys": some, "accounts": accounts, "lines": PRODUCTS})
        for account_id, month, product, identity, charge, zone, since, until in rows:
            one = {
                "product": product,
                "subscription_id": identity,
                "charge": format_nanos(nanos(charge)),
                "since": _day(since, zone),
                "next_billing": None if until else f"{next_month(month):%Y-%m-%d}",
            }
            told[account_id, month].append(one)
    return told


def _day(at: datetime, zone: str) -> str:
    """The day of an instant, by the clocks of a zone."""
    return f"{in_utc(at).astimezone(ZoneInfo(zone or 'UTC')):%Y-%m-%d}"


def read_months(ledger: Ledger, account_id: str) -> list[date]:
    """The months in which an account has rows, newest first."""
    return read_months_of(ledger, [account_id])[account_id]


def read_months_of(ledger: Ledger, accounts: Sequence[str]) -> dict[str, list[date]]:
    """The same of several accounts."""
    months: dict[str, list[date]] = {account: [] for account in accounts}
    for some in parts_of(accounts):
        for account, month in ledger.query(
            "SELECT DISTINCT account_id, month FROM rated"
            " WHERE account_id IN {accounts:Array(String)} ORDER BY month DESC",
            {"accounts": some},
        ):
            months[account].append(month)
    return months


def nanos(amount: Decimal) -> int:
    return parse_nanos(amount)
