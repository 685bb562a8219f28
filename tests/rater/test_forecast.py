"""What a month will come to: fixed items exactly, usage by each weekday's eight weeks."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.forecast import DAYS_LEAST, WEEKS, Forecast, forecast

MONTH = date(2026, 11, 1)  # a Sunday; its 30 days end on a Monday
FIRST = date(2026, 9, 1)


def spent(today: date, cost_of: dict[int, int]) -> dict[date, int]:
    """What each day before today cost, by its weekday."""
    days = [today - timedelta(days=back) for back in range(1, 120)]
    return {day: cost_of[day.weekday()] for day in days if day >= FIRST}


EVEN = dict.fromkeys(range(7), 10)
WEEK = {0: 10, 1: 10, 2: 10, 3: 10, 4: 10, 5: 0, 6: 0}  # nothing at weekends

CASES = [
    # today              | each day costs | fixed | is told
    (date(2026, 11, 1),    EVEN,            0,      300),
    (date(2026, 11, 30),   EVEN,            0,      300),
    (date(2026, 11, 15),   EVEN,            7,      307),
    (date(2026, 11, 1),    WEEK,            0,      210),
    (date(2026, 11, 28),   WEEK,            0,      210),
]  # fmt: skip


@pytest.mark.parametrize(("today", "cost_of", "fixed", "told"), CASES)
def test_what_is_even_goes_on_evenly(
    today: date, cost_of: dict[int, int], fixed: int, told: int
) -> None:
    assert forecast(MONTH, today, spent(today, cost_of), fixed, FIRST) == Forecast(told, told, told)


def test_the_range_is_the_middle_half_of_the_weekdays() -> None:
    today = date(2026, 11, 30)  # one day is to come, a Monday
    days = {today - timedelta(weeks=week): cost for week, cost in
            enumerate((10, 20, 30, 40, 50, 60, 70, 80), start=1)}  # fmt: skip
    in_month = sum(cost for day, cost in days.items() if day >= MONTH)
    told = forecast(MONTH, today, days, 0, FIRST)
    # Quartiles of 10 to 80 are 27.5 and 62.5, rounded half to even; the mean is 45.
    assert told == Forecast(in_month + 28, in_month + 45, in_month + 62)


def test_what_was_spent_today_counts_once_and_is_the_day_where_it_is_more() -> None:
    today = date(2026, 11, 30)
    days = spent(today, EVEN)
    assert forecast(MONTH, today, days | {today: 4}, 0, FIRST) == Forecast(300, 300, 300)
    assert forecast(MONTH, today, days | {today: 99}, 0, FIRST) == Forecast(389, 389, 389)


def test_too_few_days_foretell_nothing_and_older_ones_say_nothing() -> None:
    today = date(2026, 11, 20)
    first = today - timedelta(days=DAYS_LEAST - 1)
    assert forecast(MONTH, today, {first: 1}, 0, first) is None
    assert forecast(MONTH, today, {}, 0, today - timedelta(days=DAYS_LEAST)) is not None
    old = {today - timedelta(days=WEEKS * 7 + 1): 10**9}
    assert forecast(MONTH, today, old, 0, FIRST) == Forecast(0, 0, 0)


@given(
    st.dictionaries(st.integers(0, 80), st.integers(0, 10**12), max_size=80),
    st.integers(0, 29),
    st.integers(0, 10**12),
)
def test_the_range_holds_what_is_likely_and_never_less_than_what_was_spent(
    costs: dict[int, int], day: int, fixed: int
) -> None:
    today = MONTH + timedelta(days=day)
    days = {today - timedelta(days=back): cost for back, cost in costs.items()}
    told = forecast(MONTH, today, days, fixed, FIRST)
    assert told is not None
    already = fixed + sum(cost for one, cost in days.items() if one >= MONTH)
    assert already <= told.low <= told.likely <= told.high
