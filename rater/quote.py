"""What a campaign will cost before it is dialed: dials by destination, an answer rate, minutes.

Of each dial its billed minutes are paid, answered or not, and of each that is answered a detection.
Amounts are nanos with tax. Pure. Source: docs/rules.md, Quotes.
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from rater.asked import rate_asked
from rater.destinations import destinations_of
from rater.money import divide_half_even
from rater.sentences import charge_said
from rater.tariff import Book, Memo

LINES_MOST = 10_000  # destinations of one quote
DIALS_MOST = 100_000_000
WEEKS = 8  # whose dials say how often it is answered and how long it lasts
DETECTION = "ai_voice_detection"
_LINE = re.compile(r"(\+?[0-9][0-9 ().-]*?)(?:\s*[,;\t]\s*([0-9]{1,9}))?")


class QuoteError(ValueError):
    """A list that can't be quoted; the message is one line and repeats no number."""


class Week(NamedTuple):
    """A week's dials of an account, those answered, and the seconds that were billed of all."""

    dials: int
    answered: int
    seconds: int


class Ratio(NamedTuple):
    """The middle half of some weeks, and all of them together."""

    low: Fraction
    likely: Fraction
    high: Fraction


class Pace(NamedTuple):
    """Of one dial: how many are answered, and how many minutes are billed."""

    answered: Ratio
    minutes: Ratio


class Range(NamedTuple):
    low: int
    likely: int
    high: int


class Group(NamedTuple):
    """Destinations of one price, in words, and what their dials cost."""

    price: str
    destinations: int
    dials: int
    cost: Range


class Quote(NamedTuple):
    """`unpriced` counts dials that have no price, or no number that can be called."""

    groups: Sequence[Group]
    dials: int
    unpriced: int
    detection: int  # of one answered dial; 0 where none is asked for
    cost: Range


def fixed(value: Fraction) -> Ratio:
    """A ratio that was given."""
    return Ratio(value, value, value)


def pace_of(weeks: Sequence[Week]) -> Pace | None:
    """By an account's own weeks; None where nothing was dialed in them."""
    dialed = [week for week in weeks if week.dials]
    if not dialed:
        return None
    return Pace(
        _ratio([(week.answered, week.dials) for week in dialed]),
        _ratio([(week.seconds, week.dials * 60) for week in dialed]),
    )


def _ratio(parts: Sequence[tuple[int, int]]) -> Ratio:
    ordered = sorted(Fraction(part, whole) for part, whole in parts)
    likely = Fraction(sum(part for part, _ in parts), sum(whole for _, whole in parts))
    quarter = (len(ordered) - 1) // 4
    low, high = ordered[quarter], ordered[len(ordered) - 1 - quarter]
    return Ratio(min(low, likely), likely, max(high, likely))


def read_list(text: str) -> dict[str, int]:
    """Destinations and their dials: a number or prefix a line, and after a comma, a semicolon or a
    tab how many dials; one where nothing is said. Raises QuoteError."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        read = _LINE.fullmatch(line.strip())
        if read is None:
            raise QuoteError(f"line {number}: write a number or a prefix and dials: +44, 1000")
        add_dials(found, read[1], int(read[2] or 1))
    if not found:
        raise QuoteError("there is no number: write one a line, such as +44, 1000")
    return found


def add_dials(found: dict[str, int], to: str, dials: int) -> None:
    """Raises QuoteError where there are too many."""
    destination = ("+" if to.startswith("+") else "") + re.sub("[^0-9]", "", to)
    found[destination] = found.get(destination, 0) + dials
    if len(found) > LINES_MOST:
        raise QuoteError(f"more than {LINES_MOST:,} destinations: count numbers by their prefixes")
    if found[destination] > DIALS_MOST:
        raise QuoteError(f"more than {DIALS_MOST:,} dials to one destination")


def quote_of(
    wanted: dict[str, int],
    pace: Pace,
    account_id: str,
    book: Book,
    now_us: int,
    *,
    detection: bool,
) -> Quote:
    """By the account's prices as they are now."""
    memo = Memo()
    detects = _detection(account_id, book, now_us) if detection else 0
    groups: dict[str, Group] = {}
    unpriced = 0
    for to, dials in wanted.items():
        priced = _price(to, account_id, book, now_us, memo)
        if priced is None:
            unpriced += dials
            continue
        said, fee, minute = priced
        cost = Range(*(
            _nearest(dials * (fee + minutes * minute + answered * detects))
            for minutes, answered in zip(pace.minutes, pace.answered, strict=True)
        ))  # fmt: skip
        had = groups.get(said, Group(said, 0, 0, Range(0, 0, 0)))
        groups[said] = Group(said, had.destinations + 1, had.dials + dials, _sum([had.cost, cost]))
    ordered = sorted(groups.values(), key=lambda one: (-one.cost.likely, one.price))
    total = _sum(group.cost for group in ordered)
    return Quote(ordered, sum(wanted.values()), unpriced, detects, total)


def _price(
    to: str, account_id: str, book: Book, now_us: int, memo: Memo
) -> tuple[str, int, int] | None:
    """A destination's price in words, its fee for each dial and its minute, with tax."""
    (destination,) = destinations_of(to)
    rated = rate_asked(
        "dial", destination.number, account_id, book, now_us, memo=memo,
        more={"campaign_id": "asked"},
    )  # fmt: skip
    if not isinstance(rated, list):
        return None
    (charge,) = rated
    fee = charge.terms.connection_fee
    minute = charge.cost.charge + charge.cost.tax() - fee
    return charge_said(charge, timed=False, taxed=False), fee, minute


def _detection(account_id: str, book: Book, now_us: int) -> int:
    rated = rate_asked("amd", "", account_id, book, now_us)
    if not isinstance(rated, list):
        return 0
    return sum(one.cost.charge + one.cost.tax() for one in rated)


def _sum(ranges: Iterable[Range]) -> Range:
    low, likely, high = 0, 0, 0
    for one in ranges:
        low, likely, high = low + one.low, likely + one.likely, high + one.high
    return Range(low, likely, high)


def _nearest(amount: Fraction | int) -> int:
    exact = Fraction(amount)
    return divide_half_even(exact.numerator, exact.denominator)
