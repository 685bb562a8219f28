"""Budgets: which thresholds are reached and not yet told, and what a runaway is. Virtual time."""

from datetime import date, timedelta

import pytest

from rater.budgets import (
    Alert,
    Budget,
    Minute,
    What,
    alerts_of,
    is_runaway,
    standing_of,
    usual_of,
)
from rater.forecast import DayCost
from rater.money import NANOS

NOVEMBER = date(2026, 11, 1)
HOUR_US = 3_600_000_000
OFFICE = Budget("acme", "office", 100 * NANOS)


def day(number: int, dollars: int, *, fixed: bool = False, dearest: int = 0) -> DayCost:
    """A day of November, counted from its first; October's are at and below 0."""
    at = NOVEMBER + timedelta(days=number - 1)
    return DayCost(at.replace(day=1), at, fixed, dollars * NANOS, dearest * NANOS)


def told(days: list[DayCost], today: int, known: set[str], **more: int) -> list[Alert]:
    """What is new on a day of November; it is known from then on."""
    standing = standing_of(days, NOVEMBER, NOVEMBER + timedelta(days=today - 1))
    minute = Minute(more["at_us"], more["cost"] * NANOS) if more else None
    alerts = alerts_of(OFFICE, NOVEMBER, standing, minute, known)
    known |= {alert.alert_id for alert in alerts}
    return alerts


def names(alerts: list[Alert]) -> list[str]:
    return [f"{alert.what} {alert.percent}" for alert in alerts]


REACHED = [
    # spent of $100 | actual
    (0,               []),
    (49,              []),
    (50,              ["actual 50"]),
    (74,              ["actual 50"]),
    (75,              ["actual 50", "actual 75"]),
    (100,             ["actual 50", "actual 75", "actual 100"]),
    (900,             ["actual 50", "actual 75", "actual 100"]),
]  # fmt: skip


@pytest.mark.parametrize(("spent", "actual"), REACHED)
def test_a_threshold_is_reached_by_what_is_spent(spent: int, actual: list[str]) -> None:
    assert names(told([day(3, spent)], 3, set())) == actual


def test_the_last_nano_reaches_a_threshold_and_none_less_does() -> None:
    for less, reached in ((1, []), (0, ["actual 50"])):
        days = [day(3, 50)._replace(cost=50 * NANOS - less)]
        assert names(told(days, 3, set())) == reached


def test_each_threshold_is_told_once_a_month() -> None:
    """Day after day $4 of $100: usage goes on, and each of six is told on one day."""
    known: set[str] = set()
    days: list[DayCost] = []
    on: dict[str, int] = {}
    for number in range(1, 31):
        days.append(day(number, 4))
        for _ in range(3):  # asked again and again
            for name in names(told(days, number, known)):
                assert name not in on
                on[name] = number
    # A forecast needs a week: then the month will come to $120.
    assert on == {
        "forecast 50": 8, "forecast 75": 8, "forecast 100": 8,
        "actual 50": 13, "actual 75": 19, "actual 100": 25,
    }  # fmt: skip


def test_the_next_month_tells_anew_and_so_does_another_amount() -> None:
    standing = standing_of([day(3, 60)], NOVEMBER, NOVEMBER + timedelta(days=2))
    (first,) = alerts_of(OFFICE, NOVEMBER, standing, None, set())
    (again,) = alerts_of(OFFICE, NOVEMBER, standing, None, set())
    assert first.alert_id == again.alert_id
    others = [
        alerts_of(OFFICE, date(2026, 12, 1), standing, None, set())[0],
        alerts_of(OFFICE._replace(amount=110 * NANOS), NOVEMBER, standing, None, set())[0],
        alerts_of(OFFICE._replace(name="other"), NOVEMBER, standing, None, set())[0],
        alerts_of(OFFICE._replace(account_id="globex"), NOVEMBER, standing, None, set())[0],
        alerts_of(OFFICE._replace(lines=("calls",)), NOVEMBER, standing, None, set())[0],
    ]
    assert len({one.alert_id for one in (first, *others)}) == 6


def test_what_is_fixed_counts_as_spent_and_is_no_pace() -> None:
    days = [day(1, 60, fixed=True), *(day(number, 1) for number in range(-20, 4))]
    standing = standing_of(days, NOVEMBER, date(2026, 11, 3))
    assert standing.spent == 63 * NANOS
    assert standing.foretold is not None
    assert standing.foretold.likely == 90 * NANOS


def test_a_budget_that_nothing_was_used_of_tells_nothing() -> None:
    assert told([], 20, set()) == []


# ------------------------------------------------------------------ runaway

USUAL = [
    # dearest minute of the days before | usual
    ([],                                  0),
    ([5],                                 0),
    ([5, 5, 5],                           0),  # of seven days most had none
    ([5, 5, 5, 5],                        5),
    ([1, 2, 3, 4, 5, 6, 7],               4),
    ([1, 1, 1, 1, 1, 1, 900],             1),  # one bad day is no custom
]  # fmt: skip


@pytest.mark.parametrize(("dearest", "usual"), USUAL)
def test_the_usual_minute_is_the_middle_one_of_a_week(dearest: list[int], usual: int) -> None:
    days = [day(10 - back, 20, dearest=cost) for back, cost in enumerate(dearest, 1)]
    eighth = day(2, 20, dearest=1_000)  # a day more than a week before
    assert usual_of([eighth, *days], date(2026, 11, 10)) == usual * NANOS


RUNAWAY = [
    # minute  usual  budget | is one
    (5,       1,     100,     True),    # five times the usual, and a hundredth of the budget
    (4,       1,     100,     False),
    (5,       1,     501,     False),   # what is little of the budget hurts nobody
    (1,       0,     100,     True),    # without a past the budget alone says
    (0,       0,     100,     False),
    (500,     100,   100,     True),
    (499,     100,   100,     False),
]  # fmt: skip


@pytest.mark.parametrize(("minute", "usual", "budget", "is_one"), RUNAWAY)
def test_a_runaway_is_far_above_its_own_past(
    minute: int, usual: int, budget: int, is_one: bool
) -> None:
    assert is_runaway(minute * NANOS, usual * NANOS, budget * NANOS) is is_one


def test_a_runaway_is_told_once_an_hour_while_it_lasts() -> None:
    known: set[str] = set()
    days = [day(number, 1, dearest=1) for number in range(-20, 1)]
    hours = []
    for minute in range(180):
        at_us = 500_000 * HOUR_US + minute * 60_000_000
        hours += [minute // 60 for _ in told(days, 1, known, at_us=at_us, cost=9)]
    assert hours == [0, 1, 2]


def test_a_usual_minute_is_no_runaway_and_a_dear_one_says_both() -> None:
    days = [day(number, 1, dearest=2) for number in range(-20, 1)]
    assert told(days, 1, set(), at_us=HOUR_US, cost=9) == []
    (alert,) = told(days, 1, set(), at_us=HOUR_US, cost=10)
    assert (alert.what, alert.spent, alert.usual) == (What.RUNAWAY, 10 * NANOS, 2 * NANOS)
    assert alert.minute_us == HOUR_US
