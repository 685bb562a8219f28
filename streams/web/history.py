"""What an overview is made of: days of this month and those before, a forecast, a comparison."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from rater.changes import GroupSum
from rater.forecast import MONTHS_BEFORE
from rater.instants import to_us
from rater.months import month_bounds_us, months_before
from streams.store.days import DaySum, read_days, read_groups
from streams.store.ledger import Ledger
from streams.store.statements import Key
from streams.web.frame import month_name
from streams.web.kept import KeptByKey
from streams.web.overview_view import History

# How long what was read is good enough.
DAYS_S = 3.0
MONTHS_BEFORE_S = 60.0

ZoneKey = tuple[str, date, str]  # an account's month, and the zone of its days
T = TypeVar("T")
Kept = KeptByKey[ZoneKey, T]


class HistoryOf(NamedTuple):
    """Of whose month a history is asked for, and by which zone."""

    account: str
    month: date
    zone: str

    @property
    def key(self) -> Key:
        return self.account, self.month


class Histories:
    """Reads histories, and keeps what was read a while: many watch one account."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._days: Kept[list[DaySum]] = KeptByKey(DAYS_S)
        self._days_before: Kept[list[DaySum]] = KeptByKey(MONTHS_BEFORE_S)
        self._groups: Kept[list[GroupSum]] = KeptByKey(DAYS_S)
        self._groups_before: Kept[list[GroupSum]] = KeptByKey(MONTHS_BEFORE_S)

    def read_all(self, wanted: Sequence[HistoryOf]) -> list[History]:
        """In as few questions as for one. Blocks. Raises one of StoreErrors."""
        now = datetime.now(UTC)
        alike: defaultdict[tuple[date, str], list[HistoryOf]] = defaultdict(list)
        for one in wanted:
            alike[one.month, one.zone].append(one)
        found: dict[HistoryOf, History] = {}
        for (month, zone), some in alike.items():
            found |= self._read_alike(month, zone, some, now)
        return [found[one] for one in wanted]

    def _read_alike(
        self, month: date, zone: str, wanted: Sequence[HistoryOf], now: datetime
    ) -> dict[HistoryOf, History]:
        """Of one month in one zone: its days begin, and it is compared, at the same instants."""
        befores = months_before(month, MONTHS_BEFORE)
        keys = {one: (*one.key, zone) for one in wanted}
        keys_before = {one: [(one.account, at, zone) for at in befores] for one in wanted}
        days = self._days.get_all(keys.values(), self._read_days)
        earlier = self._days_before.get_all(
            [key for some in keys_before.values() for key in some], self._read_days
        )
        _, end_us = month_bounds_us(month, ZoneInfo(zone))
        until_us, name = _same_moment(month, befores[0], ZoneInfo(zone), now)
        has = self._groups.get_all(keys.values(), partial(self._read_groups, end_us))
        had = self._groups_before.get_all(
            [some[0] for some in keys_before.values()], partial(self._read_groups, until_us)
        )
        today = now.astimezone(ZoneInfo(zone)).date()
        return {
            one: History(
                today,
                days[keys[one]],
                [earlier[key] for key in keys_before[one]],
                has[keys[one]],
                had[keys_before[one][0]],
                name,
            )
            for one in wanted
        }

    def _read_days(self, keys: list[ZoneKey]) -> dict[ZoneKey, list[DaySum]]:
        zone = keys[0][2]
        found = read_days(self._ledger, [key[:2] for key in keys], zone)
        return {(*key, zone): days for key, days in found.items()}

    def _read_groups(self, until_us: int, keys: list[ZoneKey]) -> dict[ZoneKey, list[GroupSum]]:
        zone = keys[0][2]
        found = read_groups(self._ledger, [key[:2] for key in keys], until_us)
        return {(*key, zone): groups for key, groups in found.items()}


def _same_moment(month: date, before: date, zone: ZoneInfo, now: datetime) -> tuple[int, str]:
    """Until when the month before is compared, and its name: the whole of it, once this is over."""
    begin_us, end_us = month_bounds_us(month, zone)
    begin_before_us, end_before_us = month_bounds_us(before, zone)
    now_us = to_us(now)
    if now_us >= end_us:
        return end_before_us, month_name(before)
    until_us = min(end_before_us, begin_before_us + now_us - begin_us)
    return until_us, f"{before:%B} to the same day"
