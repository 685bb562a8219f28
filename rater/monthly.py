"""What is billed by the month: numbers, recordings, subscriptions, from what stood in it.

An event tells the state of a thing. An end once told stands, and among ends the last in the log;
the month's charges are made from what stood, [from, until), so making them twice changes nothing.
"""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from rater.charge import Charge
from rater.events import State, Usage
from rater.money import divide_half_even
from rater.months import month_bounds_us
from rater.price import Bill
from rater.rate import Parked, find_price, make_charge
from rater.tariff import Book


class Telling(NamedTuple):
    """A state as an event told it, and where in the log."""

    account_id: str
    kind: str
    event_id: str
    position: int  # the order of the log
    state: State


class _Owner(NamedTuple):
    """The event's side of a monthly charge, as `make_charge` reads it."""

    account_id: str
    kind: str
    id: str
    thing: str
    call_id: str
    revision: int = 0

    def identity(self) -> str:
        return self.thing


def settle(tellings: Iterable[Telling]) -> list[Telling]:
    """The telling that stands for each thing.

    The same event told twice counts as it was told first. Then, an end beats none, and a later
    place in the log an earlier one. Source: domain.md, Numbers, recordings, subscriptions.
    """
    first: dict[tuple[str, str, str], Telling] = {}
    for telling in tellings:
        key = (telling.account_id, telling.kind, telling.event_id)
        if key not in first or telling.position < first[key].position:
            first[key] = telling
    standing: dict[tuple[str, str, str], Telling] = {}
    for telling in first.values():
        key = (telling.account_id, telling.kind, telling.state.thing)
        if key not in standing or _stands_over(telling, standing[key]):
            standing[key] = telling
    return list(standing.values())


def _stands_over(one: Telling, other: Telling) -> bool:
    return (one.state.until_us is not None, one.position) > (
        other.state.until_us is not None,
        other.position,
    )


def charge_month(
    tellings: Iterable[Telling], month: date, book: Book
) -> tuple[list[Charge], list[tuple[Telling, Parked]]]:
    """The month's charges of the things that stood in it, and those that have no price.

    Owned at any time in the month costs the whole month, unless the price says `prorate`. A number
    released and acquired again in one month is charged once.
    """
    by_key: dict[tuple[str, str, str], list[Telling]] = {}
    for telling in settle(tellings):
        zone = book.account(telling.account_id).zone
        start_us, end_us = month_bounds_us(month, zone)
        from_us, until_us = _within(telling.state, start_us, end_us)
        if from_us < until_us:
            key = (telling.account_id, telling.state.line, telling.state.billed_as)
            by_key.setdefault(key, []).append(telling)
    charges, unpriced = [], []
    for same in by_key.values():
        same.sort(key=lambda telling: telling.state.from_us)
        charged = _charge(same, month, book)
        if isinstance(charged, Parked):
            unpriced.append((same[0], charged))
        else:
            charges.append(charged)
    return charges, unpriced


def _within(state: State, start_us: int, end_us: int) -> tuple[int, int]:
    until_us = end_us if state.until_us is None else min(state.until_us, end_us)
    return max(state.from_us, start_us), until_us


def _charge(same: list[Telling], month: date, book: Book) -> Charge | Parked:
    telling = same[0]
    state = telling.state
    account = book.account(telling.account_id)
    start_us, end_us = month_bounds_us(month, account.zone)
    at_us = max(state.from_us, start_us)
    found = find_price(book, account, state.line, state.dims, state.number, at_us)
    if isinstance(found, Parked):
        return found
    version, price = found
    bill = price.bill_quantity(state.seconds)
    if price.prorate:
        stood_us = sum(
            until_us - from_us
            for from_us, until_us in (_within(one.state, start_us, end_us) for one in same)
        )
        share = f"; {stood_us // 1_000_000} of {(end_us - start_us) // 1_000_000} s of the month"
        bill = Bill(
            *bill[:3],
            divide_half_even(bill.charge * stood_us, end_us - start_us),
            bill.rule + share,
        )
    owner = _Owner(
        telling.account_id, telling.kind, telling.event_id, state.billed_as, state.call_id
    )
    usage = Usage(state.line, state.dims, state.number, at_us, ended_us=state.until_us)
    return make_charge(owner, usage, account, book, version, price, bill)
