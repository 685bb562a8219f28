"""Billable time: the minute rule, and increments in general."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.billable import billed_minutes, billed_seconds
from tests.rater.make import modest

MINUTES = [
    # seconds | billed minutes
    (0,         1),
    (1,         1),
    (59,        1),
    (60,        1),
    (61,        2),  # "1'1'' will be counted as 2 minutes"
    (119,       2),
    (120,       2),
    (121,       3),
    (3_600,     60),
    (3_601,     61),
    (86_400,    1_440),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "minutes"), MINUTES)
def test_a_started_minute_counts(seconds: int, minutes: int) -> None:
    assert billed_minutes(seconds) == minutes


INCREMENTS = [
    # seconds  first  next  minimum | billed
    (0,           60,   60,       0,     60),
    (60,          60,   60,       0,     60),
    (61,          60,   60,       0,    120),
    (0,           30,    6,       0,     30),
    (10,          30,    6,       0,     30),
    (30,          30,    6,       0,     30),
    (31,          30,    6,       0,     36),
    (36,          30,    6,       0,     36),
    (37,          30,    6,       0,     42),
    (0,            6,    6,       0,      6),
    (6,            6,    6,       0,      6),
    (7,            6,    6,       0,     12),
    (61,           6,    6,       0,     66),
    (0,            1,    1,       0,      1),
    (1,            1,    1,       0,      1),
    (61,           1,    1,       0,     61),
    (5,            1,    1,      30,     30),
    (30,           1,    1,      30,     30),
    (31,           1,    1,      30,     31),
    (61,          60,   60,      90,    120),
    (61,          60,    1,       0,     61),
    (181,        180,   60,       0,    240),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "first", "following", "minimum", "billed"), INCREMENTS)
def test_a_started_increment_counts(
    seconds: int, first: int, following: int, minimum: int, billed: int
) -> None:
    assert billed_seconds(seconds, first=first, following=following, minimum=minimum) == billed


def test_a_negative_duration_raises() -> None:
    with pytest.raises(ValueError, match="-1 s is negative"):
        billed_seconds(-1)


@modest
@given(
    st.integers(0, 90_000), st.integers(1, 300), st.integers(1, 300), st.integers(0, 300)
)  # fmt: skip
def test_an_increment_is_never_lost_nor_given_twice(
    seconds: int, first: int, following: int, minimum: int
) -> None:
    billed = billed_seconds(seconds, first=first, following=following)
    assert billed >= max(seconds, first)
    assert billed - following < seconds or billed == first
    assert (billed - first) % following == 0
    held = billed_seconds(seconds, first=first, following=following, minimum=minimum)
    assert held == max(billed, minimum)
