"""Months in an account's zone: their edges, their length, and that none is missed or doubled."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.months import (
    month_bounds_us,
    month_of,
    months_before,
    next_month,
    parse_month,
    previous_month,
)
from tests.rater.make import modest, us, zone

HOUR_US = 3_600_000_000

EDGES = [
    # zone                 instant                          | month
    ("UTC",                "2026-01-31T23:59:59.999Z",        "2026-01"),
    ("UTC",                "2026-02-01T00:00:00Z",            "2026-02"),
    ("UTC",                "2026-02-01T00:00:00.001Z",        "2026-02"),
    ("UTC",                "2026-12-31T23:59:59.999999Z",     "2026-12"),
    ("UTC",                "2027-01-01T00:00:00Z",            "2027-01"),
    ("UTC",                "2028-02-29T23:59:59.999Z",        "2028-02"),  # a leap day
    ("UTC",                "2028-03-01T00:00:00Z",            "2028-03"),
    ("UTC",                "2026-02-28T23:59:59.999Z",        "2026-02"),
    ("America/New_York",   "2026-02-01T04:59:59.999Z",        "2026-01"),
    ("America/New_York",   "2026-02-01T05:00:00Z",            "2026-02"),
    ("America/New_York",   "2026-04-01T03:59:59.999Z",        "2026-03"),  # daylight saving
    ("America/New_York",   "2026-04-01T04:00:00Z",            "2026-04"),
    ("America/New_York",   "2026-11-01T03:59:59.999Z",        "2026-10"),  # it ends that night
    ("America/New_York",   "2026-11-01T04:00:00Z",            "2026-11"),
    ("America/New_York",   "2026-11-01T05:30:00Z",            "2026-11"),  # 01:30, twice
    ("America/New_York",   "2026-11-01T06:30:00Z",            "2026-11"),
    ("Asia/Kolkata",       "2026-01-31T18:29:59.999999Z",     "2026-01"),  # +05:30
    ("Asia/Kolkata",       "2026-01-31T18:30:00Z",            "2026-02"),
    ("Asia/Kathmandu",     "2026-01-31T18:14:59.999999Z",     "2026-01"),  # +05:45
    ("Asia/Kathmandu",     "2026-01-31T18:15:00Z",            "2026-02"),
    ("Pacific/Chatham",    "2026-01-31T10:14:59.999999Z",     "2026-01"),  # +13:45
    ("Pacific/Chatham",    "2026-01-31T10:15:00Z",            "2026-02"),
    ("Pacific/Kiritimati", "2026-01-31T09:59:59.999999Z",     "2026-01"),  # +14:00
    ("Pacific/Kiritimati", "2026-01-31T10:00:00Z",            "2026-02"),
    ("Pacific/Pago_Pago",  "2026-02-01T10:59:59.999999Z",     "2026-01"),  # -11:00
    ("Pacific/Pago_Pago",  "2026-02-01T11:00:00Z",            "2026-02"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "instant", "month"), EDGES)
def test_an_instant_lies_in_a_month_of_the_zone(name: str, instant: str, month: str) -> None:
    found = month_of(us(instant), zone(name))
    assert (f"{found:%Y-%m}", found.day) == (month, 1)


LENGTHS = [
    # zone                  month    | begins                  hours
    ("UTC",                 "2026-02", "2026-02-01T00:00:00Z",  672),
    ("UTC",                 "2028-02", "2028-02-01T00:00:00Z",  696),
    ("UTC",                 "2026-12", "2026-12-01T00:00:00Z",  744),
    ("America/New_York",    "2026-03", "2026-03-01T05:00:00Z",  743),  # an hour is missing
    ("America/New_York",    "2026-11", "2026-11-01T04:00:00Z",  721),  # an hour comes twice
    ("Australia/Lord_Howe", "2026-04", "2026-03-31T13:00:00Z",  720.5),
    ("Asia/Kolkata",        "2026-02", "2026-01-31T18:30:00Z",  672),
]  # fmt: skip


@pytest.mark.parametrize(("name", "month", "begins", "hours"), LENGTHS)
def test_a_month_is_as_long_as_its_zone_makes_it(
    name: str, month: str, begins: str, hours: float
) -> None:
    start_us, end_us = month_bounds_us(parse_month(month), zone(name))
    assert (start_us, (end_us - start_us) / HOUR_US) == (us(begins), hours)


NEIGHBOURS = [
    # month               next                previous
    (date(2026, 1, 1),   date(2026, 2, 1),   date(2025, 12, 1)),
    (date(2026, 2, 1),   date(2026, 3, 1),   date(2026, 1, 1)),
    (date(2026, 11, 1),  date(2026, 12, 1),  date(2026, 10, 1)),
    (date(2026, 12, 1),  date(2027, 1, 1),   date(2026, 11, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("month", "following", "before"), NEIGHBOURS)
def test_a_month_has_its_neighbours(month: date, following: date, before: date) -> None:
    assert (next_month(month), previous_month(month)) == (following, before)


def test_a_month_is_read_as_written() -> None:
    assert parse_month("2026-11") == date(2026, 11, 1)


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "11-2026", "2026-11-01", "26-11", "2026-1", "now"]
)
def test_what_is_no_month_raises(text: str) -> None:
    with pytest.raises(ValueError, match="YYYY-MM"):
        parse_month(text)


# Damascus and Amman moved their clocks at midnight of a month's first day.
ZONES = st.sampled_from(
    [
        "UTC", "America/New_York", "America/St_Johns", "Europe/London", "Asia/Kolkata",
        "Asia/Kathmandu", "Pacific/Chatham", "Pacific/Apia", "Australia/Lord_Howe",
        "Asia/Damascus", "Asia/Amman", "America/Sao_Paulo", "Africa/Cairo",
    ]
)  # fmt: skip
INSTANTS = st.integers(us("1995-01-01T00:00:00Z"), us("2037-01-01T00:00:00Z"))


@modest
@given(INSTANTS, ZONES)
def test_an_instant_lies_within_the_bounds_of_its_month(at_us: int, name: str) -> None:
    start_us, end_us = month_bounds_us(month_of(at_us, zone(name)), zone(name))
    assert start_us <= at_us < end_us


@modest
@given(st.dates(date(1995, 1, 1), date(2037, 1, 1)), ZONES)
def test_months_leave_no_gap_and_do_not_overlap(day: date, name: str) -> None:
    month = day.replace(day=1)
    start_us, end_us = month_bounds_us(month, zone(name))
    assert end_us == month_bounds_us(next_month(month), zone(name))[0]
    for at_us, expected in (
        (start_us - 1, previous_month(month)),
        (start_us, month),
        (end_us - 1, month),
        (end_us, next_month(month)),
    ):
        assert month_of(at_us, zone(name)) == expected


def test_the_months_before_one_are_told_nearest_first() -> None:
    before = [date(2026, 1, 1), date(2025, 12, 1), date(2025, 11, 1)]
    assert months_before(date(2026, 2, 1), 3) == before
    assert months_before(date(2026, 2, 1), 0) == []
