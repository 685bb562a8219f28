"""Rating: an event and the tariff book give charges, or the reason why it must wait for a price.

What usages of one shape have in common is looked up once and remembered, within bounds, by
whoever rates (`Memo`): their prices, month and taxes until the next edge in time (`Shape`), their
terms under a price and what a quantity costs by them (`Pricing`). `find_price` and `Price.bill` say
what is remembered.
"""

from collections.abc import Callable
from datetime import date
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from rater.charge import Charge, Cost, Terms, new_charge
from rater.event_rows import facts_of, identity_of, usage_of
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.lines import CALL_LINES
from rater.months import month_bounds_us, month_of
from rater.price import Bill, Price, Prices, View, find_by_prefix
from rater.tariff import Account, Book, Memo, Span
from rater.tax import NO_TABLE, TaxRule
from rater.usage import Dims, RowFacts, Usage


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


def rate(event: Event, book: Book, memo: Memo | None = None) -> list[Charge] | Parked:
    """The charges of an event, one for each line of its usage; none for the monthly kinds.

    `memo` is what was remembered of this book, by this caller alone. Pure and total: no clock, no
    I/O, never raises on an event. If one line has no price the whole event is parked.
    Source: docs/rules.md, Prices; docs/architecture.md, law 4.
    """
    if event.revision:
        return Parked(
            Wait.CORRECTION, f"revision {event.revision} corrects an event; not built yet"
        )
    usage = usage_of(event)
    if usage is None:
        return []
    priced = price_usage(event.account_id, event.kind, usage, book, memo or Memo())
    if isinstance(priced, Parked):
        return priced
    own = (
        event.account_id, identity_of(event), 0, event.id, *facts_of(event),
        usage.at_us, usage.answered_us, usage.ended_us,
    )  # fmt: skip
    return [new_charge((*own, terms, cost)) for terms, cost in priced]


def price_usage(
    account_id: str, kind: str, usage: Usage, book: Book, memo: Memo
) -> list[tuple[Terms, Cost]] | Parked:
    """What a usage costs on each of its lines; or, where one of them has no price, why it waits."""
    account = book.account(account_id, usage.at_us)
    shape = find_shape(book, memo, account, kind, usage)
    if isinstance(shape, Parked):
        return shape
    priced = []
    for line in shape.lines:
        price = find_by_prefix(line.view, usage.number)
        if price is None:
            return _no_price(account, line.line, usage.dims, usage.number)
        pricing = line.pricing(
            price, book, memo, account=account, kind=kind, usage=usage, shape=shape
        )
        priced.append((pricing.terms, pricing.cost(usage)))
    return priced


# What is remembered of a book


class Shape(NamedTuple):
    """What holds for usages that only numbers and quantities tell apart, until an edge in time."""

    from_us: int
    until_us: int
    month: date
    version: str
    lines: tuple["PricedLine", ...]


Quantity = tuple[int, int]  # raw seconds, segments
States = tuple[str, str]  # of a usage's origin and its termination
NO_STATES: States = ("", "")


class PricedLine(NamedTuple):
    """A line's prices and taxes for a shape's usages."""

    line: str
    view: View
    tax_rule: Callable[[States], TaxRule]
    pricings: dict[int, "Pricing"]  # by the price's id

    def pricing(
        self,
        price: Price,
        book: Book,
        memo: Memo,
        *,
        account: Account,
        kind: str,
        usage: Usage,
        shape: Shape,
    ) -> "Pricing":
        """What such usages of this price have in common; remembered."""
        pricing = self.pricings.get(id(price))
        if pricing is None:
            memo.make_room()
            terms = terms_of(
                usage, price, kind=kind, line=self.line, month=shape.month, account=account,
                version=shape.version, currency=book.currency,
            )  # fmt: skip
            terms = memo.terms.setdefault(terms, terms)
            pricing = self.pricings[id(price)] = Pricing(
                terms, price, price.why_free(usage), self.tax_rule, book, memo
            )
        return pricing


class Pricing:
    """A shape's usages under one price: their terms, and what a quantity costs."""

    __slots__ = (
        "_costs", "_counts_segments", "_free", "_memo", "_tax_rule", "by_states", "price", "terms",
    )  # fmt: skip

    def __init__(
        self,
        terms: Terms,
        price: Price,
        free: str,
        tax_rule: Callable[[States], TaxRule],
        book: Book,
        memo: Memo,
    ) -> None:
        self.terms = terms
        self.price = price
        self._free = free
        self._tax_rule = tax_rule
        self.by_states = book.taxes is not None and terms.line in CALL_LINES
        usage = KINDS[terms.kind].usage
        self._counts_segments = usage is not None and usage.quantity is not None
        self._memo = memo
        self._costs: dict[States, dict[Quantity, Cost]] = {}

    def cost(self, usage: Usage) -> Cost:
        """What follows from a usage's quantity."""
        states = (usage.origin, usage.termination) if self.by_states else NO_STATES
        return self.cost_of((self.price.raw_seconds(usage), usage.segments), states)

    def cost_of(self, quantity: Quantity, states: States) -> Cost:
        """What follows from a quantity; `states` are NO_STATES unless they matter."""
        costs = self.costs(states)
        cost = costs.get(quantity)
        if cost is None:
            raw_seconds, segments = quantity
            bill = self.price.bill_unless(self._free, raw_seconds, segments)
            self._memo.make_room()
            cost = costs[quantity] = cost_of(
                segments if self._counts_segments else 0, bill, self._tax_rule(states)
            )
        return cost

    def costs(self, states: States) -> dict[Quantity, Cost]:
        """What is remembered of quantities, by the states of a usage's parties if they matter."""
        costs = self._costs.get(states)
        if costs is None:
            rule = self._tax_rule(states)
            key = (id(self.price), id(rule), self._free, self._counts_segments)
            self._memo.make_room()
            costs = self._costs[states] = self._memo.costs.setdefault(key, {})
        return costs


def find_shape(book: Book, memo: Memo, account: Account, kind: str, usage: Usage) -> Shape | Parked:
    """By what a usage is priced, or what is missing."""
    at_us = usage.at_us
    key = (
        id(account), kind, usage.lines, usage.dims, usage.status, usage.dialed,
        usage.answered_us is None,
    )  # fmt: skip
    shapes: tuple[Shape, ...] = memo.shapes.get(key, ())
    for shape in shapes:
        if shape.from_us <= at_us < shape.until_us:
            return shape
    span = find_span(book, account, at_us)
    if isinstance(span, Parked):
        return span
    month = month_of(at_us, account.zone)
    edges = [(span.from_us, span.until_us), month_bounds_us(month, account.zone)]
    lines = []
    for line in usage.lines:
        tax_rule = partial(_tax_rule, book, account, line, at_us)
        any_rule = tax_rule(NO_STATES)  # the table's edges are the same whatever the states are
        edges.append((any_rule.from_us, any_rule.until_us))
        view = _view(memo, span.prices, line, usage.dims)
        lines.append(PricedLine(line, view, tax_rule, {}))
    starts, ends = zip(*edges, strict=True)
    shape = Shape(max(starts), min(ends), month, span.version, tuple(lines))
    memo.make_room(usage.dims)
    memo.shapes[key] = (shape, *shapes)
    return shape


def _view(memo: Memo, prices: Prices, line: str, dims: Dims) -> View:
    """The prices' probes, which accounts share: to make them takes a millisecond."""
    key = (id(prices), line, dims)
    view: View | None = memo.views.get(key)
    if view is None:
        memo.make_room(dims)
        view = memo.views[key] = prices.view(line, dims)
    return view


# What is looked up


def find_span(book: Book, account: Account, at_us: int) -> Span | Parked:
    """The prices of the account's tariff that hold at an instant, or what is missing."""
    tariff = book.tariffs.get(account.tariff)
    if tariff is None:
        return Parked(
            Wait.NO_TARIFF, f"tariff {account.tariff!r} is not in the book; add it and reload"
        )
    return tariff.at(at_us, account.zone) or Parked(
        Wait.NO_VERSION,
        f"tariff {tariff.name!r} has no version at the event's time; add one valid then",
    )


def find_price(
    book: Book, account: Account, line: str, dims: Dims, number: str, at_us: int
) -> tuple[str, Price] | Parked:
    """The version label and the price that holds at an instant, or what is missing."""
    span = find_span(book, account, at_us)
    if isinstance(span, Parked):
        return span
    price = span.prices.find(line, dims, number)
    return (span.version, price) if price else _no_price(account, line, dims, number)


def _no_price(account: Account, line: str, dims: Dims, number: str) -> Parked:
    matched = " ".join(word for word in dims[:2] if isinstance(word, str))
    # A prefix says enough to add a row; the whole number belongs in no message.
    where = f" to {number[:5]}" if number.startswith("+") else ""
    return Parked(
        Wait.NO_PRICE,
        f"tariff {account.tariff!r}: no price for {line} {matched}{where}; "
        "add a prefix or a fallback row",
    )


def _tax_rule(book: Book, account: Account, line: str, at_us: int, states: States) -> TaxRule:
    if book.taxes is None:
        return NO_TABLE
    return book.taxes.in_zone(account.zone).rule(line, at_us, account.address, *states)


# The parts of a charge


def terms_of(
    usage: Usage, price: Price, *,
    kind: str, line: str, month: date, account: Account, version: str, currency: str,
) -> Terms:  # fmt: skip
    (direction, media, device, sender, carrier, registered, _, _, number_type, product,
     recorded) = (answer or "" for answer in usage.dims)  # fmt: skip
    return Terms(
        month, line, kind, direction, media, device, sender, carrier, registered, number_type,
        product, recorded, usage.dialed, usage.status,
        price.unit, price.rate, price.per, price.connection_fee,
        currency, account.tariff, version, account.zone.key,
    )  # fmt: skip


def cost_of(segments: int, bill: Bill, tax_rule: TaxRule) -> Cost:
    taxes = tax_rule.on(bill.charge)
    return Cost(
        segments, bill.raw_seconds, bill.billed_seconds, bill.billed, bill.charge,
        taxes.federal, taxes.state, taxes.local, taxes.status, taxes.rule, bill.rule,
    )  # fmt: skip


def charge_of(
    usage: Usage, price: Price, bill: Bill, book: Book, *,
    account_id: str, event_id: str, identity: str, facts: RowFacts,
    month: date, kind: str, version: str,
) -> Charge:  # fmt: skip
    """The ledger row of one line's usage billed apart from any event: of what stood in a month."""
    account = book.account(account_id, usage.at_us)
    (line,) = usage.lines
    return Charge(
        account_id, identity, 0, event_id, *facts,
        usage.at_us, usage.answered_us, usage.ended_us,
        terms_of(
            usage, price, kind=kind, line=line, month=month, account=account, version=version,
            currency=book.currency,
        ),
        cost_of(0, bill, _tax_rule(book, account, line, usage.at_us, NO_STATES)),
    )  # fmt: skip
