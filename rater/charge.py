"""A charge: one line's price of one event, with all that explains it. One row of the ledger."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from rater.money import format_nanos
from rater.tuples import by_fields

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Terms(NamedTuple):
    """The columns that a usage's shape and its price fix: many charges share one object."""

    month: date
    line: str
    kind: str
    direction: str
    media: str
    device: str
    sender: str
    carrier: str
    registered: str
    number_type: str
    product: str
    recorded: str
    dialed: bool
    event_status: str
    unit: str
    unit_price: int
    per: int
    connection_fee: int
    currency: str
    tariff: str
    tariff_version: str
    zone: str  # by which the month was told: the account's when it happened
    status: str = "rated"


class Cost(NamedTuple):
    """The columns that follow from the quantity: charges of the same cost share one object."""

    segments: int
    raw_seconds: int
    billed_seconds: int
    billed: int
    charge: int
    tax_federal: int
    tax_state: int
    tax_local: int
    tax_status: str
    tax_rule: str
    rule: str
    stood_us: int = 0  # of an asset in the month, where that decides its charge

    def tax(self) -> int:
        return self.tax_federal + self.tax_state + self.tax_local


class Charge(NamedTuple):
    """Money is nanos, instants are microseconds since the epoch, text that is absent is "".

    (account_id, month, line, identity, revision) is the row's key: made from the event alone, so
    writing a row twice changes nothing.
    """

    account_id: str
    identity: str
    revision: int
    event_id: str
    from_: str
    to: str
    group_id: str
    campaign_id: str
    call_id: str
    user_id: str
    team: str
    verdict: str
    encoding: str
    occurred_us: int
    answered_us: int | None
    ended_us: int | None
    terms: Terms
    cost: Cost

    def columns(self) -> dict[str, Any]:
        """All of the row, by column."""
        own = dict(zip(self._fields[:-2], self, strict=False))
        return own | self.terms._asdict() | self.cost._asdict()

    def changed(self, **columns: Any) -> "Charge":
        """The same with other values in some columns."""
        terms = {name: columns.pop(name) for name in Terms._fields if name in columns}
        cost = {name: columns.pop(name) for name in Cost._fields if name in columns}
        return self._replace(
            terms=self.terms._replace(**terms), cost=self.cost._replace(**cost), **columns
        )


new_charge = by_fields(Charge)

MONEY = ("unit_price", "connection_fee", "charge", "tax_federal", "tax_state", "tax_local")


def format_us(at_us: int) -> str:
    """An instant as RFC 3339 in UTC: exact, with as many decimals as it has."""
    instant = _EPOCH + timedelta(microseconds=at_us)
    text = instant.strftime("%Y-%m-%dT%H:%M:%S")
    if instant.microsecond:
        text += f".{instant.microsecond:06d}".rstrip("0")
    return text + "Z"


def charge_to_json(charge: Charge) -> dict[str, Any]:
    """A rated row as JSON, with exact decimals as strings. Source: docs/conventions.md."""
    row = charge.columns()
    row["month"] = f"{charge.terms.month:%Y-%m}"
    row["from"] = row.pop("from_")
    for name in ("occurred", "answered", "ended"):
        at_us = row.pop(f"{name}_us")
        row[f"{name}_at"] = None if at_us is None else format_us(at_us)
    for name in MONEY:
        row[name] = format_nanos(row[name])
    return row
