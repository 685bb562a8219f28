"""Quotes for a campaign as the page and the API have them. It blocks and reads: off the loop."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, NamedTuple

from fastapi import HTTPException

from rater.instants import to_us
from rater.money import divide_half_even, format_nanos
from rater.months import month_of, months_before
from rater.quote import Pace, Quote, Range, Ratio, fixed, pace_of, quote_of
from rater.sentences import QUOTE_METHOD
from rater.words import counted
from streams.store.assets import read_dial_weeks
from streams.web.numbers import Numbers
from streams.web.reads import Reads

MONTHS = 3  # that have the last eight weeks
MINUTES_MOST = 24 * 60


class QuotePart(NamedTuple):
    """A quote as its page has it; `problem` says why there is none."""

    list: str
    problem: str = ""
    cost: str = ""
    said: str = ""
    rows: Sequence[tuple[str, str, str, str]] = ()


def ratio_of(what: str, text: str, most: int, parts: int = 1) -> Fraction | None:
    """A decimal that a reader gave, of so many parts; None for none. Raises 422."""
    if not text:
        return None
    try:
        value = Fraction(text) if text.replace(".", "", 1).isdigit() else None
    except ValueError:
        value = None
    if value is None or len(text) > 12 or value > most:
        raise HTTPException(422, f"{what}: a decimal from 0 to {most}, such as 35 or 1.5")
    return value / parts


def make_quote(
    reads: Reads,
    account: str,
    wanted: Mapping[str, int],
    *,
    answered: Fraction | None,
    minutes: Fraction | None,
    detection: bool,
) -> tuple[Pace, Quote]:
    """By the account's own pace where none is given. Raises 422 where it has none."""
    now_us = to_us(datetime.now(UTC))
    pace = None
    if answered is None or minutes is None:
        month = month_of(now_us, reads.book().account(account, now_us).zone)
        months = [month, *months_before(month, MONTHS - 1)]
        pace = pace_of(read_dial_weeks(reads.ledger, account, months, now_us // 1_000_000))
        if pace is None:
            raise HTTPException(
                422, "this account has dialed nothing in eight weeks: give an answer rate and "
                "minutes for each dial"
            )  # fmt: skip
    pace = Pace(
        pace.answered if answered is None and pace else fixed(answered or Fraction()),
        pace.minutes if minutes is None and pace else fixed(minutes or Fraction()),
    )
    quote = quote_of(dict(wanted), pace, account, reads.book(), now_us, detection=detection)
    return pace, quote


def quote_json(
    reads: Reads, account: str, wanted: Mapping[str, int], **more: Any
) -> dict[str, Any]:
    pace, quote = make_quote(reads, account, wanted, **more)
    return {
        "account_id": account,
        "currency": reads.book().currency,
        "dials": quote.dials,
        "unpriced": quote.unpriced,
        **_range_json(quote.cost),
        "answer_percent": _ratio_json(pace.answered, 100),
        "minutes_per_dial": _ratio_json(pace.minutes, 1),
        "groups": [
            {"price": one.price, "destinations": one.destinations, "dials": one.dials}
            | _range_json(one.cost)
            for one in quote.groups
        ],
        "method": QUOTE_METHOD,
    }


def _range_json(cost: Range) -> dict[str, str]:
    return {name: format_nanos(nanos) for name, nanos in cost._asdict().items()}


def _ratio_json(ratio: Ratio, times: int) -> dict[str, str]:
    return {name: _decimal(value * times) for name, value in ratio._asdict().items()}


def _decimal(value: Fraction) -> str:
    """With two places at most, half to even."""
    hundredths = divide_half_even(value.numerator * 100, value.denominator)
    return format_nanos(hundredths * 10_000_000)


def quote_part(
    reads: Reads, account: str, text: str, wanted: Mapping[str, int], **more: Any
) -> QuotePart:
    pace, quote = make_quote(reads, account, wanted, **more)
    numbers = Numbers(reads.book().currency, exact=False)

    def money(nanos: int) -> str:
        return numbers.money(format_nanos(nanos))

    low, likely, high = map(money, quote.cost)
    said = (
        f"{low} to {high} for {counted(quote.dials, 'dial')}, of which"
        f" {_decimal(pace.answered.likely * 100)} % are answered and each is"
        f" {_decimal(pace.minutes.likely)} minutes."
    )
    if quote.detection:
        said += f" A.I. voice detection is {money(quote.detection)} for each that is answered."
    if quote.unpriced:
        said += f" {counted(quote.unpriced, 'dial')} can't be priced and are left out."
    rows = [
        (
            one.price,
            f"{one.dials:,}",
            money(one.cost.likely),
            f"{money(one.cost.low)} to {money(one.cost.high)}",
        )
        for one in quote.groups
    ]
    return QuotePart(text, "", likely, said, rows)
