"""Money as integers of nano-dollars (10^-9 of the currency unit), never floats.

A price of $0.0085 is 8_500_000 nanos. Division rounds once, in a function named for how.
"""

from decimal import Decimal

NANOS = 1_000_000_000
NANOS_PER_CENT = 10_000_000
DECIMAL_PLACES = 9
DIGITS_MAX = 30  # before the point


class MoneyError(ValueError):
    """An amount that cannot be held exactly in nano-dollars."""


def divide_half_even(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, a tie to the even one.

    `divide_half_even(5, 2)` is 2, `divide_half_even(7, 2)` is 4. The denominator is positive.
    Raises ZeroDivisionError on zero. Source: docs/rules.md, Money.
    """
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def divide_half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, a tie away from zero (charges are positive)."""
    return (2 * numerator + denominator) // (2 * denominator)


def divide_up(numerator: int, denominator: int) -> int:
    """The quotient rounded up to the next integer: 1/60 of a nano is one nano."""
    return -(-numerator // denominator)


ROUNDINGS = {"half-even": divide_half_even, "half-up": divide_half_up, "up": divide_up}


def parse_nanos(amount: Decimal | int | str) -> int:
    """An exact decimal amount as nanos: `parse_nanos("0.0085")` is 8_500_000.

    Raises MoneyError for what is no finite decimal or has more than nine decimal places.
    """
    try:
        value = Decimal(amount)
    except ArithmeticError as error:
        raise MoneyError(f"{amount!r} is not a decimal number") from error
    if not value.is_finite():
        raise MoneyError(f"{amount!r} is not a finite number")
    if value.adjusted() > DIGITS_MAX:
        raise MoneyError(f"{amount} is too large")
    if value and value.adjusted() < -DECIMAL_PLACES:
        raise MoneyError(f"{amount} has more than {DECIMAL_PLACES} decimal places")
    # A ratio of integers is exact; Decimal's own arithmetic keeps 28 digits.
    numerator, denominator = value.as_integer_ratio()
    nanos, rest = divmod(numerator * NANOS, denominator)
    if rest:
        raise MoneyError(f"{amount} has more than {DECIMAL_PLACES} decimal places")
    return nanos


def format_nanos(nanos: int) -> str:
    """The exact decimal without trailing zeros: 8_500_000 is "0.0085", 2_000_000_000 is "2"."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def to_cents(nanos: int) -> int:
    """Nanos rounded half-even to whole cents. Used once, at a statement's total."""
    return divide_half_even(nanos, NANOS_PER_CENT)


def format_cents(cents: int) -> str:
    """Cents with two places: 1_234 is "12.34"."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
