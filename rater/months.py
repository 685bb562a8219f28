"""Months in an account's time zone: the same edges on every statement, page and export."""

from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from rater.instants import to_us

FOREVER_US = 2**62
_QUARTER_HOUR_US = 900_000_000


def parse_month(text: str) -> date:
    """The first day of a month written YYYY-MM. Raises ValueError for anything else."""
    try:
        if len(text) != len("YYYY-MM"):  # strptime takes 2026-1 too
            raise ValueError
        return datetime.strptime(text, "%Y-%m").date()
    except ValueError:
        raise ValueError(f"month {text!r} is not YYYY-MM, for example 2026-11") from None


def month_of(at_us: int, zone: ZoneInfo) -> date:
    """The first day of the month in which an instant lies, by the zone's own calendar."""
    # No zone changes month or offset within a quarter of an hour, so one answer serves it.
    return _month_of_quarter_hour(at_us // _QUARTER_HOUR_US, zone)


@lru_cache(maxsize=65_536)
def _month_of_quarter_hour(quarter_hour: int, zone: ZoneInfo) -> date:
    instant = datetime.fromtimestamp(quarter_hour * 900, UTC).astimezone(zone)
    return date(instant.year, instant.month, 1)


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def previous_month(month: date) -> date:
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)


@lru_cache(maxsize=4096)
def month_bounds_us(month: date, zone: ZoneInfo) -> tuple[int, int]:
    """The instants [from, until) of a month in a zone: 23, 24 or 25 hours a day as it comes."""
    start, end = (
        to_us(datetime(day.year, day.month, 1, tzinfo=zone)) for day in (month, next_month(month))
    )
    return start, end
