"""Reading the ledger: statements, months, products, the throughput. Everything is its rows' sum.

Exact reads use FINAL (inside the views); parameters are bound.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rater.charge import format_us
from rater.events import to_us
from rater.money import format_nanos, parse_nanos
from rater.statement import Basis, Statement, Sums, basis_of, make_statement
from rater.tariff import Book
from streams.store.ledger import Ledger

THROUGHPUT_WINDOW_S = 10


def read_statement(ledger: Ledger, book: Book, account_id: str, month: date) -> Statement:
    """The statement of an account's month as of now. An unknown account has an empty one.

    Its zone, currency and plan are those of its rows; the book says them where there are none.
    """
    now = datetime.now(UTC)
    rows = ledger.query(
        "SELECT line, direction, media, registered, row_count, billed, billed_seconds, segments,"
        " charge, tax, taxed_count FROM statement_lines"
        " WHERE account_id = {account:String} AND month = {month:Date}",
        {"account": account_id, "month": month},
    )
    sums = [Sums._make((*row[:8], nanos(row[8]), nanos(row[9]), row[10])) for row in rows]
    held = ledger.query(
        "SELECT zone, currency, tariff FROM rated_rows"
        " WHERE account_id = {account:String} AND month = {month:Date} AND status != 'voided'"
        " GROUP BY zone, currency, tariff ORDER BY max(occurred_at)",
        {"account": account_id, "month": month},
    )
    account = book.account(account_id, book.month_bounds_us(account_id, month)[0])
    basis = basis_of(
        [(zone, currency, tariff) for zone, currency, tariff in held],
        Basis(account.zone.key, book.currency, (account.tariff,)),
    )
    return make_statement(
        sums,
        account_id=account_id,
        month=month,
        as_of=format_us(to_us(now) // 1000 * 1000),
        **basis._asdict(),
    )


def read_products(ledger: Ledger, account_id: str, month: date) -> list[dict[str, str]]:
    """The subscriptions of the month, for the second tab."""
    rows = ledger.query(
        "SELECT product, rated_rows.identity, charge, occurred_at FROM rated_rows"
        " LEFT JOIN (SELECT account_id, thing, event_id, product FROM states FINAL"
        " WHERE account_id = {account:String} AND kind = 'subscription') AS things"
        " ON things.account_id = rated_rows.account_id AND things.thing = rated_rows.identity"
        " AND things.event_id = rated_rows.event_id"
        " WHERE rated_rows.account_id = {account:String} AND month = {month:Date}"
        " AND line = 'subscriptions' AND status != 'voided' ORDER BY product, identity",
        {"account": account_id, "month": month},
    )
    return [
        {"product": product, "subscription_id": identity, "charge": format_nanos(nanos(charge))}
        for product, identity, charge, _ in rows
    ]


def read_months(ledger: Ledger, account_id: str) -> list[date]:
    """The months in which an account has rows, newest first."""
    rows = ledger.query(
        "SELECT DISTINCT month FROM rated WHERE account_id = {account:String} ORDER BY month DESC",
        {"account": account_id},
    )
    return [row[0] for row in rows]


def read_throughput(ledger: Ledger) -> float:
    """Records a second that got their outcome, over the last ten seconds, of all workers."""
    rows = ledger.query(
        "SELECT sum(records) FROM receipts"
        " WHERE written_at > now64(3) - toIntervalSecond({window:UInt32})",
        {"window": THROUGHPUT_WINDOW_S},
    )
    return float(rows[0][0]) / THROUGHPUT_WINDOW_S


def read_charge(ledger: Ledger, account_id: str, event_id: str) -> list[dict[str, Any]]:
    """Every row of an event: what a dispute needs to see why it costs what it does."""
    names = (
        "line", "event_id", "month", "direction", "occurred_at", "answered_at", "ended_at",
        "event_status", "raw_seconds", "billed_seconds", "billed", "unit", "unit_price", "per",
        "charge", "tax_federal", "tax_state", "tax_local", "tax_rule", "tariff", "tariff_version",
        "zone", "rule", "topic", "partition", "offset",
    )  # fmt: skip
    rows = ledger.query(
        f"SELECT {', '.join(names)} FROM rated_rows WHERE account_id = {{account:String}}"
        " AND (event_id = {event:String} OR identity = {event:String}) ORDER BY month, line",
        {"account": account_id, "event": event_id},
    )
    return [{name: _json(value) for name, value in zip(names, row, strict=True)} for row in rows]


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_nanos(nanos(value))
    if isinstance(value, datetime):
        return format_us(to_us(value.replace(tzinfo=value.tzinfo or UTC)))
    return f"{value:%Y-%m}" if isinstance(value, date) else value


def nanos(amount: Decimal) -> int:
    return parse_nanos(amount)
