"""Why a month costs more or less than another: volume, mix, prices, fixed items, taxes.

The causes add up to the difference exactly. Amounts are nanos; quantities are seconds of what is
timed, else what the line counts. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from rater.lines import LINES, TAXES
from rater.money import divide_half_even

_LINES = {line.name: line for line in LINES}


class GroupSum(NamedTuple):
    """What was charged of one line and direction under one rule (`prices` tells rules apart)."""

    line: str
    direction: str
    prices: str
    quantity: int
    charge: int


class Cause(NamedTuple):
    """A part of a difference. `what` is volume, mix, prices, fixed or taxes.

    `quantity` is how many more there were, where volume or fixed items are the cause.
    """

    what: str
    line: str
    direction: str
    quantity: int
    charge: int


def causes_of(before: Iterable[GroupSum], after: Iterable[GroupSum]) -> list[Cause]:
    """The causes of a difference, the weightiest first; those of nothing are left out.

    Of each line: volume is how many more there were at the average price of before; prices are what
    the same destinations and kinds cost more a unit; mix is the rest, for other ones were chosen.
    """
    had, has = _by_line(before), _by_line(after)
    causes: list[Cause] = []
    for key in had.keys() | has.keys():
        causes += _of_line(*key, had[key], has[key])
    found = [cause for cause in causes if cause.charge]
    return sorted(found, key=lambda cause: (-abs(cause.charge), cause))


Groups = dict[str, tuple[int, int]]  # prices: quantity, charge


def _by_line(groups: Iterable[GroupSum]) -> defaultdict[tuple[str, str], Groups]:
    lines: defaultdict[tuple[str, str], Groups] = defaultdict(dict)
    for group in groups:
        quantity, charge = lines[group.line, group.direction].get(group.prices, (0, 0))
        lines[group.line, group.direction][group.prices] = (
            quantity + group.quantity,
            charge + group.charge,
        )
    return lines


def _of_line(line: str, direction: str, had: Groups, has: Groups) -> Iterable[Cause]:
    quantity, charge = _sum(had)
    quantity_now, charge_now = _sum(has)
    more, dearer = quantity_now - quantity, charge_now - charge
    if line == TAXES:
        yield Cause("taxes", line, direction, 0, dearer)
        return
    if _LINES[line].monthly:
        yield Cause("fixed", line, direction, more, dearer)
        return
    if not quantity or not quantity_now:
        yield Cause("volume", line, direction, more, dearer)
        return
    volume = _nearest(more * Fraction(charge, quantity))
    dearer_each = [
        cost - many * Fraction(had[name][1], had[name][0])
        for name, (many, cost) in has.items()
        if name in had and had[name][0]
    ]
    prices = _nearest(sum(dearer_each, Fraction()))
    yield Cause("volume", line, direction, more, volume)
    yield Cause("prices", line, direction, 0, prices)
    yield Cause("mix", line, direction, 0, dearer - volume - prices)


def _nearest(amount: Fraction) -> int:
    return divide_half_even(amount.numerator, amount.denominator)


def _sum(groups: Groups) -> tuple[int, int]:
    return sum(many for many, _ in groups.values()), sum(cost for _, cost in groups.values())
