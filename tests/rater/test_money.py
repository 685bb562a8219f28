"""Money: integers of nano-dollars, exact in and out, rounded once in a function named for how."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.money import (
    ROUNDINGS,
    MoneyError,
    divide_half_even,
    format_cents,
    format_nanos,
    parse_nanos,
    to_cents,
)
from tests.rater.make import modest

DIVISIONS = [
    # numerator  denominator | half-even  half-up  up
    (0,                    7,          0,       0,  0),
    (1,                   60,          0,       0,  1),
    (29,                  60,          0,       0,  1),
    (30,                  60,          0,       1,  1),
    (31,                  60,          1,       1,  1),
    (60,                  60,          1,       1,  1),
    (61,                  60,          1,       1,  2),
    (3,                    2,          2,       2,  2),
    (5,                    2,          2,       3,  3),
    (7,                    2,          4,       4,  4),
    (1,                    3,          0,       0,  1),
    (2,                    3,          1,       1,  1),
    (25,                  10,          2,       3,  3),
    (10**30 + 1,       10**9,      10**21,  10**21, 10**21 + 1),
]  # fmt: skip


@pytest.mark.parametrize(("numerator", "denominator", "half_even", "half_up", "up"), DIVISIONS)
def test_a_division_rounds_once_by_the_rule_named(
    numerator: int, denominator: int, half_even: int, half_up: int, up: int
) -> None:
    rounded = {name: divide(numerator, denominator) for name, divide in ROUNDINGS.items()}
    assert rounded == {"half-even": half_even, "half-up": half_up, "up": up}


@pytest.mark.parametrize(("numerator", "rounded"), [(-1, 0), (-3, -2), (-5, -2), (-7, -4)])
def test_a_credit_rounds_half_even_too(numerator: int, rounded: int) -> None:
    assert divide_half_even(numerator, 2) == rounded


def test_a_division_by_nothing_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        divide_half_even(1, 0)


@modest
@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_half_even_is_what_decimal_calls_half_even(numerator: int, denominator: int) -> None:
    with localcontext() as context:
        context.prec = 100
        exact = Decimal(numerator) / Decimal(denominator)
        expected = int(exact.to_integral_value(ROUND_HALF_EVEN))
    assert divide_half_even(numerator, denominator) == expected


@modest
@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_tie_goes_to_the_even_neighbour(whole: int, half: int) -> None:
    # (whole + 1/2), written with a denominator of any even size
    rounded = divide_half_even((2 * whole + 1) * half, 2 * half)
    assert rounded == whole + whole % 2


AMOUNTS = [
    # written                 | nanos                  shown
    ("0",                       0,                     "0"),
    ("0.0085",                  8_500_000,             "0.0085"),
    ("0.0010",                  1_000_000,             "0.001"),
    ("0.000000001",             1,                     "0.000000001"),
    ("0.010",                   10_000_000,            "0.01"),
    ("2",                       2_000_000_000,         "2"),
    ("49.00",                   49_000_000_000,        "49"),
    ("100",                     100_000_000_000,       "100"),
    ("-0.5",                    -500_000_000,          "-0.5"),
    ("-12.000000001",           -12_000_000_001,       "-12.000000001"),
    ("123456789.123456789",     123456789123456789,    "123456789.123456789"),
    ("0.0000000010",            1,                     "0.000000001"),
    ("1e-9",                    1,                     "0.000000001"),
    ("1E3",                     1_000_000_000_000,     "1000"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "nanos", "shown"), AMOUNTS)
def test_an_amount_is_read_and_shown_exactly(written: str, nanos: int, shown: str) -> None:
    assert (parse_nanos(written), parse_nanos(Decimal(written))) == (nanos, nanos)
    assert format_nanos(nanos) == shown


NO_AMOUNTS = [
    # written                                      | why
    ("",                                             "not a decimal"),
    ("ten",                                          "not a decimal"),
    ("0x10",                                         "not a decimal"),
    ("1,5",                                          "not a decimal"),
    ("NaN",                                          "finite"),
    ("sNaN",                                         "finite"),
    ("Infinity",                                     "finite"),
    ("-inf",                                         "finite"),
    ("0.0000000001",                                 "9 decimal places"),
    ("1.1234567891",                                 "9 decimal places"),
    ("1e-10",                                        "9 decimal places"),
    # more digits than Decimal's default context keeps: still not rounded away
    ("0.1234567890000000000000000000000000001",      "9 decimal places"),
    ("10000000000000000000.0000000001",              "9 decimal places"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "why"), NO_AMOUNTS)
def test_what_nanos_cannot_hold_exactly_is_refused(written: str, why: str) -> None:
    with pytest.raises(MoneyError, match=why):
        parse_nanos(written)


def test_an_amount_beyond_any_decimal_is_refused_like_the_others() -> None:
    with pytest.raises(MoneyError):
        parse_nanos("1e999999")


@modest
@given(st.integers(-(10**18), 10**18))
def test_an_amount_survives_being_shown_and_read(nanos: int) -> None:
    assert parse_nanos(format_nanos(nanos)) == nanos


CENTS = [
    # nanos          | cents   shown
    (0,                    0,  "0.00"),
    (4_999_999,            0,  "0.00"),
    (5_000_000,            0,  "0.00"),   # half a cent, to the even 0
    (5_000_001,            1,  "0.01"),
    (15_000_000,           2,  "0.02"),   # a cent and a half, to the even 2
    (25_000_000,           2,  "0.02"),
    (10_000_000,           1,  "0.01"),
    (1_005_000_000,      100,  "1.00"),
    (12_340_000_000,    1234,  "12.34"),
    (-12_340_000_000,  -1234,  "-12.34"),
    (-50_000_000,         -5,  "-0.05"),
]  # fmt: skip


@pytest.mark.parametrize(("nanos", "cents", "shown"), CENTS)
def test_cents_are_rounded_half_even(nanos: int, cents: int, shown: str) -> None:
    assert (to_cents(nanos), format_cents(cents)) == (cents, shown)
