"""Months in an account's time zone: the same edges on every statement, page and export."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from rater.instants import to_us

FOREVER_US = 2**62
MONTHS_MADE_MAX = 120  # of one asset: recurring charges of what began earlier are of the last ones
_QUARTER_HOUR_US = 900_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


def months_until(first: date, end: date) -> list[date]:
    """The months from one to before another, the last MONTHS_MADE_MAX of them."""
    months = []
    while first < end:
        months.append(first)
        first = next_month(first)
    return months[-MONTHS_MADE_MAX:]


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def previous_month(month: date) -> date:
    return date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1)


def months_before(month: date, count: int) -> list[date]:
    """So many months before one, the nearest first."""
    months: list[date] = []
    while len(months) < count:
        months.append(previous_month(months[-1] if months else month))
    return months


@lru_cache(maxsize=4096)
def day_start_us(day: date, zone: ZoneInfo) -> int:
    """The first instant of a day in a zone, also where its clocks leave out midnight."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=zone))


def read_edge(value: object) -> tuple[int, bool]:
    """A `valid_from` or `valid_until` as a file has it, and whether it is a day.

    A day is kept as its midnight in UTC. Raises ValueError for what is neither.
    """
    read = value
    try:
        if isinstance(value, str) and len(value) <= len("2026-01-16"):
            read = date.fromisoformat(value)
        elif isinstance(value, str):
            read = datetime.fromisoformat(value)
    except ValueError:
        pass
    is_day = False
    if isinstance(read, date) and not isinstance(read, datetime):
        is_day, read = True, datetime(read.year, read.month, read.day, tzinfo=UTC)
    if not isinstance(read, datetime) or read.tzinfo is None:
        raise ValueError(
            f"{value!r} is no instant and no day; write 2026-01-16T00:00:00Z, or 2026-01-16 for "
            "its midnight in the account's zone"
        )
    if not 1970 <= read.year < 9999:
        raise ValueError(f"{value} is not of our time")
    return to_us(read), is_day


@lru_cache(maxsize=4096)
def edge_us(at_us: int, zone: ZoneInfo, *, is_day: bool) -> int:
    """An edge in time as a zone has it; a day is kept as its midnight in UTC."""
    if not is_day or abs(at_us) == FOREVER_US:
        return at_us
    return day_start_us((_EPOCH + timedelta(microseconds=at_us)).date(), zone)


@lru_cache(maxsize=4096)
def month_bounds_us(month: date, zone: ZoneInfo) -> tuple[int, int]:
    """The instants [from, until) of a month in a zone: 23, 24 or 25 hours a day as it comes."""
    return day_start_us(month.replace(day=1), zone), day_start_us(next_month(month), zone)
