"""A filter as an address has it: read and refused in one place, for pages and the API alike."""

import base64
import binascii
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Query

from rater.lines import LINES
from rater.money import MoneyError, parse_nanos
from rater.months import day_start_us, next_month
from rater.tax import LEVELS
from streams.store.events import Cursor, Filter
from streams.web.months import FIRST_YEAR, LAST_YEAR

MONTHS_MOST = 13  # of one filter: a year, and the month under way
LEAST_MOST = 10**18  # nanos; more than a charge can be
_LINES = tuple(line.name for line in LINES)
# Names of an address that are a filter's own, as they are.
_SAME = (
    "line", "direction", "media", "registered", "level", "status", "number", "campaign", "user",
    "team", "carrier", "own", "destination",
)  # fmt: skip


Text = Annotated[str, Query(max_length=256)]
Day = Annotated[str, Query(max_length=10, description="YYYY-MM-DD, a day of the account's zone")]


@dataclass(frozen=True)
class Wanted:
    """What an address asks for, as text; each is "" where it says nothing.

    Raises 422 for what no filter can be.
    """

    line: Text = ""
    direction: Text = ""
    media: Text = ""
    registered: Text = ""
    level: Text = ""
    status: Text = ""
    number: Text = ""
    campaign: Text = ""
    user: Text = ""
    team: Text = ""
    carrier: Text = ""
    own: Text = ""
    destination: Text = ""
    day: Day = ""
    first: Day = ""
    last: Day = ""
    least: Annotated[str, Query(max_length=32, description="least amount, tax included")] = ""

    def __post_init__(self) -> None:
        _one_of("line", self.line, _LINES)
        _one_of("level", self.level, LEVELS)
        for day in (self.day, self.first, self.last):
            _day(day)
        try:
            least = parse_nanos(self.least or 0)
        except MoneyError as error:
            raise HTTPException(422, str(error)) from None
        if least > LEAST_MOST:
            raise HTTPException(422, "least is more than any charge can be")

    def items(self) -> dict[str, str]:
        """What it says, by name."""
        return {name: value for name, value in vars(self).items() if value}


WantedFilter = Annotated[Wanted, Depends(Wanted)]


def _one_of(name: str, value: str, words: Collection[str]) -> None:
    if value and value not in words:
        raise HTTPException(422, f"no {name} {value[:40]!r}; it is one of {', '.join(words)}")


def filter_of(wanted: Wanted, month: date, zone: ZoneInfo) -> Filter:
    """The filter by an account's days. Without days it is of the month.

    Raises 422 for more than MONTHS_MOST months.
    """
    first, last = _day(wanted.day or wanted.first), _day(wanted.day or wanted.last)
    months = [month]
    first_us = until_us = None
    if first or last:
        first = first or month
        last = last or max(next_month(month) - timedelta(days=1), first)
        if last < first:
            raise HTTPException(422, f"the last day, {last}, is before the first, {first}")
        months = list(_months(first.replace(day=1), last.replace(day=1)))
        first_us = day_start_us(first, zone)
        until_us = day_start_us(last + timedelta(days=1), zone)
    named = {name: getattr(wanted, name) for name in _SAME}
    return Filter(
        tuple(months),
        **named,
        first_us=first_us,
        until_us=until_us,
        least=parse_nanos(wanted.least or 0),
    )


def _months(first: date, last: date) -> Iterable[date]:
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    if count > MONTHS_MOST:
        raise HTTPException(422, f"a range has at most {MONTHS_MOST} months, this one has {count}")
    while first <= last:
        yield first
        first = next_month(first)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise HTTPException(422, f"{text[:20]!r} is no day; write 2026-11-28") from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise HTTPException(422, f"{day} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return day


def encode_cursor(cursor: Cursor) -> str:
    """A cursor as an address has it."""
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def read_cursor(
    cursor: Annotated[str, Query(max_length=2048, description="`next` of the page before")] = "",
) -> Cursor | None:
    """Raises 422 for what is no cursor of ours."""
    if not cursor:
        return None
    try:
        at_us, line, identity = json.loads(
            base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        )
        if type(at_us) is not int or not isinstance(line, str) or not isinstance(identity, str):
            raise ValueError
        if not abs(at_us) < 2**63:
            raise ValueError
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise HTTPException(422, "this is no cursor; take `next` of the page before") from None
    return at_us, line, identity


PageAfter = Annotated[Cursor | None, Depends(read_cursor)]
