"""Single charges of an account, read back whole: by filters newest first, or all of one event.

Every filter is one of a list, bound as a parameter; a read is bounded by months, and its page by
`limit`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from rater.charge import MONEY, Charge, Cost, Terms
from rater.instants import in_utc, to_us
from rater.lines import TAXES
from rater.money import format_nanos
from rater.tax import LEVELS
from streams.store.ledger import Ledger
from streams.store.statements import nanos

# Columns of a charge that the ledger names otherwise.
NAMES = {
    "from_": "from_number",
    "to": "to_number",
    "occurred_us": "occurred_at",
    "answered_us": "answered_at",
    "ended_us": "ended_at",
}
_OWN, _TERMS, _COST = Charge._fields[:-2], Terms._fields, Cost._fields
_POSITION = ("topic", "partition", "offset", "logged_at")
COLUMNS = (*_OWN, *_TERMS, *_COST, *_POSITION)
_COLUMNS = ", ".join(NAMES.get(name, name) for name in COLUMNS)
TAX = "(tax_federal + tax_state + tax_local)"


class EventRow(NamedTuple):
    """A charge, and where in the log its event lies."""

    charge: Charge
    topic: str
    partition: int
    offset: int
    logged_at: datetime


class Filter(NamedTuple):
    """What a reader wants to see of an account; what is empty filters nothing.

    `line` may be the taxes, of one `level` or all: then charges that bear them. `least` is nanos,
    days are of the zone asked for.
    """

    months: tuple[date, ...]
    line: str = ""
    direction: str = ""
    media: str = ""
    registered: str = ""
    level: str = ""
    status: str = ""
    number: str = ""
    campaign: str = ""
    user: str = ""
    team: str = ""
    carrier: str = ""
    own: str = ""
    destination: str = ""
    first_us: int | None = None
    until_us: int | None = None
    least: int = 0


class FilterSum(NamedTuple):
    """What a filter's rows add up to, in nanos."""

    rows: int
    charge: int
    tax: int


class Group(NamedTuple):
    """A row of a breakdown. `quantity` is seconds of what is timed, else units."""

    name: str
    rows: int
    quantity: int
    charge: int
    tax: int


_OWN_NUMBER = "if(direction = 'inbound', to_number, from_number)"
_DESTINATION = "if(direction = 'inbound', from_number, to_number)"
# What a breakdown can go by: its name in an address, and what it is of a row.
GROUPINGS: Mapping[str, str] = {
    "day": "toString(toDate(occurred_at, {zone:String}))",
    "hour": "leftPad(toString(toHour(toTimeZone(occurred_at, {zone:String}))), 2, '0')",
    "campaign": "campaign_id",
    "user": "user_id",
    "team": "team",
    "number": _OWN_NUMBER,
    "destination": _DESTINATION,
    "carrier": "carrier",
    "direction": "direction",
    "status": "event_status",
}
_EQUAL = {
    "line": "line", "direction": "direction", "media": "media", "registered": "registered",
    "status": "event_status", "campaign": "campaign_id", "user": "user_id", "team": "team",
    "carrier": "carrier", "own": _OWN_NUMBER, "destination": _DESTINATION,
}  # fmt: skip


def where_of(account_id: str, chosen: Filter) -> tuple[str, dict[str, Any]]:
    """The condition of a filter, and its bound parameters."""
    parts = [
        "account_id = {account:String}",
        "month IN {months:Array(Date)}",
        "status != 'voided'",
    ]
    values: dict[str, Any] = {"account": account_id, "months": list(chosen.months)}
    for name, column in _EQUAL.items():
        value = getattr(chosen, name)
        if value and not (name == "line" and value == TAXES):
            parts.append(f"{column} = {{{name}:String}}")
            values[name] = value
    if chosen.line == TAXES:
        parts.append(f"{amount_of(chosen)} != 0")
    if chosen.number:
        parts.append("(from_number = {number:String} OR to_number = {number:String})")
        values["number"] = chosen.number
    for bound, sign, name in ((chosen.first_us, ">=", "first"), (chosen.until_us, "<", "until")):
        if bound is not None:
            parts.append(f"occurred_at {sign} fromUnixTimestamp64Micro({{{name}:Int64}})")
            values[name] = bound
    if chosen.least:
        parts.append(f"charge + {TAX} >= {{least:Decimal(38, 9)}}")
        values["least"] = format_nanos(chosen.least)
    return " AND ".join(parts), values


def amount_of(chosen: Filter) -> str:
    """What a filter's rows are added up by: their charge, or the taxes on it."""
    if chosen.line != TAXES:
        return "charge"
    return f"tax_{chosen.level}" if chosen.level in LEVELS else TAX


Cursor = tuple[int, str, str]  # the instant, line and identity of the last row of a page


def read_events(
    ledger: Ledger, account_id: str, chosen: Filter, *, before: Cursor | None, limit: int
) -> list[EventRow]:
    """Charges that a filter lets through, the newest first; those after `before`, where told.

    The keys first, then the rows of so many keys: most columns are read of these alone. Raises one
    of StoreErrors.
    """
    where, values = where_of(account_id, chosen)
    if before is not None:
        where += (
            " AND (occurred_at, line, identity) < (fromUnixTimestamp64Micro({at:Int64}),"
            " {last_line:String}, {last_identity:String})"
        )
        values |= dict(zip(("at", "last_line", "last_identity"), before, strict=True))
    keys = ledger.query(
        f"SELECT month, line, identity FROM rated_rows WHERE {where}"
        " ORDER BY occurred_at DESC, line DESC, identity DESC LIMIT {limit:UInt32}",
        values | {"limit": limit},
    )
    if not keys:
        return []
    rows = ledger.query(
        f"SELECT {_COLUMNS} FROM rated_rows WHERE account_id = {{account:String}}"
        " AND month IN {months:Array(Date)} AND line IN {lines:Array(String)}"
        " AND identity IN {identities:Array(String)}",
        {
            "account": account_id,
            "months": sorted({month for month, _, _ in keys}),
            "lines": sorted({line for _, line, _ in keys}),
            "identities": sorted({identity for _, _, identity in keys}),
        },
    )
    found = {key_of(row): row for row in map(_event_row, rows)}
    return [found[key] for key in keys if key in found]


def read_sum(ledger: Ledger, account_id: str, chosen: Filter) -> FilterSum:
    """What all rows that a filter lets through add up to. Raises one of StoreErrors."""
    where, values = where_of(account_id, chosen)
    ((rows, charge, tax),) = ledger.query(
        f"SELECT count(), sum(charge), sum({TAX}) FROM rated_rows WHERE {where}", values
    )
    return FilterSum(rows, nanos(charge), nanos(tax))


def read_breakdowns(
    ledger: Ledger, account_id: str, chosen: Filter, by: Sequence[str], zone: str
) -> dict[str, list[Group]]:
    """The sums of a filter's rows by each of some GROUPINGS, the dearest first.

    One question for all of them, so that each adds up to the same whatever is written meanwhile. Of
    taxes the charge is the tax. Raises KeyError for what is no grouping, one of StoreErrors.
    """
    where, values = where_of(account_id, chosen)
    names = [f"{GROUPINGS[name]} AS by_{index}" for index, name in enumerate(by)]
    columns = [f"by_{index}" for index in range(len(by))]
    # A row is of the set whose column it is grouped by: of that one `grouping` is 0.
    is_of = ", ".join(f"grouping({column})" for column in columns)
    rows = ledger.query(
        f"SELECT {', '.join(names)}, indexOf([{is_of}], 0) AS is_of, count(),"
        " sumIf(if(unit IN ('minute', 'second'), billed_seconds, billed), charge != 0),"
        f" sum({amount_of(chosen)}) AS amount, sum({TAX}) FROM rated_rows WHERE {where}"
        f" GROUP BY GROUPING SETS ({', '.join(f'({column})' for column in columns)})"
        " ORDER BY amount DESC, is_of, " + ", ".join(columns),
        values | {"zone": zone},
    )
    groups: dict[str, list[Group]] = {name: [] for name in by}
    for row in rows:
        index, count, quantity, amount, tax = row[len(by) :]
        groups[by[index - 1]].append(
            Group(row[index - 1], count, quantity, nanos(amount), nanos(tax))
        )
    return groups


def read_event(ledger: Ledger, account_id: str, event_id: str) -> list[EventRow]:
    """Every charge of an event, by its id or what it is charged as. Raises one of StoreErrors."""
    rows = ledger.query(
        f"SELECT {_COLUMNS} FROM rated_rows WHERE account_id = {{account:String}}"
        " AND (event_id = {event:String} OR identity = {event:String}) ORDER BY month, line",
        {"account": account_id, "event": event_id},
    )
    return list(map(_event_row, rows))


def read_legs(ledger: Ledger, account_id: str, month: date, group_id: str) -> list[EventRow]:
    """The legs of a forwarded call: charges of one group. Raises one of StoreErrors."""
    rows = ledger.query(
        f"SELECT {_COLUMNS} FROM rated_rows WHERE account_id = {{account:String}}"
        " AND month = {month:Date} AND group_id = {group:String} ORDER BY occurred_at, line",
        {"account": account_id, "month": month, "group": group_id},
    )
    return list(map(_event_row, rows))


class Outcome(NamedTuple):
    """An event that is not rated: `what` is parked or rejected, `message` why."""

    what: str
    kind: str
    reason: str
    message: str
    since: datetime
    topic: str
    partition: int
    offset: int


_OUTCOMES = """
SELECT 'parked', kind, reason, message, logged_at, topic, partition, offset FROM parked FINAL
WHERE account_id = {account:String} AND event_id = {event:String} AND resolved = 0
UNION ALL
SELECT 'rejected', kind, reason, message, logged_at, topic, partition, offset FROM refused
WHERE account_id = {account:String} AND event_id = {event:String}
LIMIT 20
"""


def read_outcomes(ledger: Ledger, account_id: str, event_id: str) -> list[Outcome]:
    """Where an event waits for a price, or was refused. Raises one of StoreErrors."""
    rows = ledger.query(_OUTCOMES, {"account": account_id, "event": event_id})
    return [Outcome(*row)._replace(since=in_utc(row[4])) for row in rows]


def key_of(row: EventRow) -> tuple[date, str, str]:
    return row.charge.terms.month, row.charge.terms.line, row.charge.identity


def cursor_of(row: EventRow) -> Cursor:
    """Where a page after this row begins."""
    return row.charge.occurred_us, row.charge.terms.line, row.charge.identity


def _event_row(row: Sequence[Any]) -> EventRow:
    values = iter(row)
    own = {name: _plain(name, next(values)) for name in _OWN}
    terms = Terms(**{name: _plain(name, next(values)) for name in _TERMS})
    cost = Cost(**{name: _plain(name, next(values)) for name in _COST})
    topic, partition, offset, logged_at = values
    return EventRow(
        Charge(**own, terms=terms, cost=cost), topic, partition, offset, in_utc(logged_at)
    )


def _plain(name: str, value: Any) -> Any:
    """A value of the store as a charge has it."""
    if name in MONEY:
        return nanos(value)
    if isinstance(value, datetime):
        return to_us(value.replace(tzinfo=value.tzinfo or UTC))
    return bool(value) if name == "dialed" else value
