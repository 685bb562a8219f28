"""Rating: an event and the tariff book give charges, or the reason why it must wait for a price."""

from enum import StrEnum
from typing import NamedTuple, Protocol

from rater.charge import Charge
from rater.events import Dims, Event, Usage
from rater.months import month_of
from rater.price import Bill, Price, Prices
from rater.tariff import Account, Book
from rater.tax import UNKNOWN


class Wait(StrEnum):
    """Why an event is parked. The values are on the wire and in metrics: never rename one."""

    CORRECTION = "correction"  # a revision above 0, until corrections are built
    NO_TARIFF = "no_tariff"  # the account's tariff is not in the book
    NO_VERSION = "no_version"  # no version of the tariff holds at the event's time
    NO_PRICE = "no_price"  # the version has no price that matches


class Parked(NamedTuple):
    """An event that cannot be priced yet: a price that is missing is not zero."""

    reason: Wait
    message: str


def rate(event: Event, book: Book) -> list[Charge] | Parked:
    """The charges of an event, one for each of its usages; none for the monthly kinds.

    Pure and total: no clock, no I/O, never raises on an event. If one usage has no price the whole
    event is parked. Source: domain.md, Prices; design.md, law 4.
    """
    if event.revision:
        return Parked(
            Wait.CORRECTION, f"revision {event.revision} corrects an event; not built yet"
        )
    account = book.account(event.account_id)
    charges = []
    for usage in event.usages():
        found = find_price(book, account, usage.line, usage.dims, usage.number, usage.at_us)
        if isinstance(found, Parked):
            return found
        version, price = found
        bill = price.bill(usage)
        charges.append(make_charge(event, usage, account, book, version, price, bill))
    return charges


def find_price(
    book: Book,
    account: Account,
    line: str,
    dims: Dims,
    number: str,
    at_us: int,
) -> tuple[str, Price] | Parked:
    """The version label and the price that holds at an instant, or what is missing."""
    tariff = book.tariffs.get(account.tariff)
    if tariff is None:
        return Parked(
            Wait.NO_TARIFF, f"tariff {account.tariff!r} is not in the book; add it and reload"
        )
    span: tuple[str, Prices] | None = tariff.at(at_us)
    if span is None:
        return Parked(
            Wait.NO_VERSION,
            f"tariff {tariff.name!r} has no version at the event's time; add one valid then",
        )
    version, prices = span
    price = prices.find(line, dims, number)
    if price is None:
        matched = " ".join(word for word in dims[:2] if isinstance(word, str))
        # A prefix says enough to add a row; the whole number belongs in no message.
        where = f" to {number[:5]}" if number.startswith("+") else ""
        return Parked(
            Wait.NO_PRICE,
            f"tariff {tariff.name!r}: no price for {line} {matched}{where}; "
            "add a prefix or a fallback row",
        )
    return version, price


class Charged(Protocol):
    """What owns a charge: an event, or a thing that stood in a month."""

    @property
    def account_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def revision(self) -> int: ...
    def identity(self) -> str: ...


def make_charge(
    event: Charged,
    usage: Usage,
    account: Account,
    book: Book,
    version: str,
    price: Price,
    bill: Bill,
) -> Charge:
    """The ledger row of a priced usage, its taxes beside it."""
    direction, media, device, sender, carrier, registered, *_ = usage.dims
    from_: str = getattr(event, "from_", "")
    to: str = getattr(event, "to", "") or usage.number
    taxes = UNKNOWN
    if book.taxes is not None:
        taxes = book.taxes.on(bill.charge, usage.line, usage.at_us, account.address, from_, to)
    return Charge(
        event.account_id,
        month_of(usage.at_us, account.zone),
        usage.line,
        event.identity(),
        event.revision,
        event.kind,
        event.id,
        direction or "",
        from_,
        to,
        getattr(event, "group_id", None) or "",
        getattr(event, "campaign_id", None) or "",
        getattr(event, "call_id", None) or "",
        usage.at_us,
        usage.answered_us,
        usage.ended_us,
        usage.status,
        media or "",
        device or "",
        sender or "",
        carrier or "",
        registered or "",
        usage.segments if usage.line in ("texts", "carrier_fees") else 0,
        bill.raw_seconds,
        bill.billed_seconds,
        bill.billed,
        price.unit,
        price.rate,
        price.per,
        price.connection_fee,
        bill.charge,
        taxes.federal,
        taxes.state,
        taxes.local,
        taxes.status,
        taxes.rule,
        book.currency,
        account.tariff,
        version,
        bill.rule,
    )
