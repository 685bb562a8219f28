"""What is billed by the month: numbers, recordings, subscriptions, from what stood in it.

An event tells the state of a thing. An end once told stands, and among ends the last in the log;
the month's charges are made from what stood, [from, until), so making them twice changes nothing.
"""

from collections.abc import Iterable, Set
from datetime import date
from typing import NamedTuple

from rater.charge import Charge
from rater.money import divide_half_even
from rater.price import Bill
from rater.rate import Parked, charge_of, find_price
from rater.tariff import Book
from rater.usage import RowFacts, State, Usage


class Telling(NamedTuple):
    """A state as an event told it, and where in the log."""

    account_id: str
    kind: str
    event_id: str
    position: int  # the order of the log
    state: State


def settle(tellings: Iterable[Telling]) -> list[Telling]:
    """The telling that stands for each thing.

    The same event told twice counts as it was told first. Then, an end beats none, and a later
    place in the log an earlier one. Source: docs/rules.md, Numbers, recordings, subscriptions.
    """
    first: dict[tuple[str, str, str], Telling] = {}
    for telling in tellings:
        key = (telling.account_id, telling.kind, telling.event_id)
        if key not in first or telling.position < first[key].position:
            first[key] = telling
    standing: dict[tuple[str, str, str], Telling] = {}
    for telling in first.values():
        key = (telling.account_id, telling.kind, telling.state.thing)
        if key not in standing or _weight(telling) > _weight(standing[key]):
            standing[key] = telling
    return list(standing.values())


def _weight(telling: Telling) -> tuple[bool, int]:
    return telling.state.until_us is not None, telling.position


class MonthlyCharge(NamedTuple):
    """A month's charge of a thing, and the telling it was made from."""

    charge: Charge
    telling: Telling


def charge_month(
    tellings: Iterable[Telling],
    month: date,
    book: Book,
    *,
    as_of_us: int,
    charged: Set[tuple[str, str, str]] = frozenset(),
) -> tuple[list[MonthlyCharge], list[tuple[Telling, Parked]]]:
    """The month's charges of the things that stood in it, and those that have no price.

    Of an asset without a line, such as a campaign, nothing is charged.
    The plan, zone and address are those of the first instant at which it stood in the month.
    Owned at any time in the month costs the whole month, unless the price says `prorate`. A number
    released and acquired again in one month is charged once. A month that has not begun by `as_of`
    in the account's zone has none. `charged` names (account, line,
    identity) of rows that were made before: what did not stand after all becomes a row of $0.
    """
    stood: dict[tuple[str, str, str], list[Telling]] = {}
    absent: dict[tuple[str, str, str], Telling] = {}
    for telling in settle(one for one in tellings if one.state.line):
        key = (telling.account_id, telling.state.line, telling.state.billed_as)
        bounds = _bounds(telling, month, book)
        from_us, until_us = _within(telling.state, bounds)
        if bounds[0] > as_of_us:
            continue
        if from_us < until_us:
            stood.setdefault(key, []).append(telling)
        elif key in charged:
            absent[key] = telling
    charges, unpriced = [], []
    for same in stood.values():
        same.sort(key=lambda telling: telling.state.from_us)
        made = _charge(same, month, book)
        if isinstance(made, Parked):
            unpriced.append((same[0], made))
        else:
            charges.append(MonthlyCharge(made, max(same, key=_weight)))
    for key, telling in absent.items():
        if key not in stood:
            made = _charge([telling], month, book, stood=False)
            if not isinstance(made, Parked):
                charges.append(MonthlyCharge(made, telling))
    return charges, unpriced


def _bounds(telling: Telling, month: date, book: Book) -> tuple[int, int]:
    return book.month_bounds_us(telling.account_id, month)


def _within(state: State, bounds: tuple[int, int]) -> tuple[int, int]:
    start_us, end_us = bounds
    until_us = end_us if state.until_us is None else min(state.until_us, end_us)
    return max(state.from_us, start_us), until_us


def _together_us(spans: Iterable[tuple[int, int]]) -> int:
    """Microseconds in which at least one of the spans, ordered by their start, stood."""
    total_us = reached_us = 0
    for since_us, until_us in spans:
        total_us += max(0, until_us - max(since_us, reached_us))
        reached_us = max(reached_us, until_us)
    return total_us


def _charge(same: list[Telling], month: date, book: Book, *, stood: bool = True) -> Charge | Parked:
    telling = same[0]
    state = telling.state
    bounds = _bounds(telling, month, book)
    start_us, end_us = bounds
    return charge_asset(
        telling.account_id,
        telling.event_id,
        state.billed_as,
        RowFacts(to=state.number, call_id=state.call_id, user_id=state.user_id, team=state.team),
        kind=telling.kind,
        usage=Usage(
            (state.line,),
            state.dims,
            state.number,
            min(max(state.from_us, start_us), end_us - 1),
            ended_us=state.until_us,
        ),
        seconds=state.seconds,
        month=month,
        book=book,
        stood_us=_together_us(_within(one.state, bounds) for one in same) if stood else None,
    )


def charge_asset(
    account_id: str,
    event_id: str,
    identity: str,
    facts: RowFacts,
    *,
    kind: str,
    usage: Usage,
    seconds: int,
    month: date,
    book: Book,
    stood_us: int | None,
) -> Charge | Parked:
    """A month's charge of an asset that stood in it for `stood_us`; None: it did not stand, $0.

    `usage` says on which line, for which number and since when in the month; `seconds` are those
    that were recorded, for a price by time.
    """
    account = book.account(account_id, usage.at_us)
    (line,) = usage.lines
    found = find_price(book, account, line, usage.dims, usage.number, usage.at_us)
    if isinstance(found, Parked):
        return found
    version, price = found
    bill = price.bill_quantity(seconds)
    if stood_us is None:
        bill = Bill(bill.raw_seconds, 0, 0, 0, f"{bill.rule}; did not stand in the month: $0")
    elif price.prorate:
        start_us, end_us = book.month_bounds_us(account_id, month)
        share = f"; {stood_us // 1_000_000} of {(end_us - start_us) // 1_000_000} s of the month"
        prorated = divide_half_even(bill.charge * stood_us, end_us - start_us)
        bill = bill._replace(charge=prorated, rule=bill.rule + share)
    charge = charge_of(
        usage, price, bill, book, account_id=account_id, event_id=event_id, identity=identity,
        facts=facts, month=month, kind=kind, version=version,
    )  # fmt: skip
    if stood_us is None:
        return charge.changed(status="voided")
    return charge.changed(stood_us=stood_us)
