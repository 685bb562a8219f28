"""What a month will come to: what is fixed exactly, usage by the pace of each weekday.

Amounts are nanos. Pure: whoever asks says which day it is and what each day before it cost.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from rater.money import divide_half_even
from rater.months import next_month

WEEKS = 8  # whose days say what a weekday costs
MONTHS_BEFORE = 2  # that have the days of these weeks
DAYS_LEAST = 7  # complete days of usage, below which nothing is foretold


class DayCost(NamedTuple):
    """What was spent on a day, in nanos, with tax: on usage, or `is_fixed`, on what is charged by
    the month. `dearest` is the dearest minute of it, where that was asked for."""

    month: date
    day: date
    is_fixed: bool
    cost: int
    dearest: int = 0


class Forecast(NamedTuple):
    """The month's end: least, likely and most, in nanos."""

    low: int
    likely: int
    high: int


def foretell(days: Iterable[DayCost], month: date, today: date) -> Forecast | None:
    """What a month will come to, by its days and those before; None while too few are known, or
    once it is over."""
    if today >= next_month(month):
        return None
    costs: defaultdict[date, int] = defaultdict(int)
    fixed = 0
    for one in days:
        if one.is_fixed:
            fixed += one.cost * (one.month == month)
        else:
            costs[one.day] += one.cost
    return forecast(month, today, costs, fixed, min(costs)) if costs else None


def forecast(
    month: date, today: date, days: Mapping[date, int], fixed: int, first: date
) -> Forecast | None:
    """The whole month's cost, told on a day of it; None while too few days are known.

    `days` has what usage cost on each day (one that is left out cost nothing), `fixed` the month's
    recurring charges, `first` the account's first day of usage. Each day to come costs what its
    weekday did in the last eight weeks: the mean is likely, the quartiles are the range. What was
    spent today counts, and stands for the day where it is more already.
    """
    past = [today - timedelta(days=back) for back in range(1, WEEKS * 7 + 1)]
    known = [day for day in past if day >= first]
    if len(known) < DAYS_LEAST:
        return None
    spent = sum(cost for day, cost in days.items() if month <= day < today)
    low = likely = high = fixed + spent
    day = today
    while day < next_month(month):
        alike = sorted(days.get(one, 0) for one in known if one.weekday() == day.weekday())
        alike = alike or sorted(days.get(one, 0) for one in known)
        least = days.get(day, 0)  # of today, what is spent
        low += max(least, _quartile(alike, 1))
        likely += max(least, divide_half_even(sum(alike), len(alike)))
        high += max(least, _quartile(alike, 3))
        day += timedelta(days=1)
    return Forecast(min(low, likely), likely, max(high, likely))


def _quartile(ordered: list[int], which: int) -> int:
    """The first or third quartile of what is in order, between its neighbours by their weights."""
    position = (len(ordered) - 1) * which
    index, weight = divmod(position, 4)
    if not weight:
        return ordered[index]
    return ordered[index] + divide_half_even((ordered[index + 1] - ordered[index]) * weight, 4)
