"""What an overview is made of: days of this month and those before, a forecast, a comparison."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.changes import GroupSum
from rater.forecast import DayCost, Forecast, foretell
from rater.instants import to_us
from rater.lines import MONTHLY_LINES
from rater.months import month_bounds_us, previous_month
from rater.words import symbol_of
from streams.store.days import DaySum, read_days, read_groups
from streams.store.ledger import Ledger
from streams.web.frame import month_name
from streams.web.kept import KeptByKey
from streams.web.overview_view import Comparison, compare

# How long what was read is good enough.
DAYS_S = 1.5
MONTHS_BEFORE_S = 60.0
MONTHS_BEFORE = 2  # whose weekdays say what is to come


class History(NamedTuple):
    """What an account's month is seen against."""

    today: date  # by the account's clocks
    days: Sequence[DaySum]
    comparison: Comparison | None
    foretold: Forecast | None


class Histories:
    """Reads histories, and keeps what was read a while: many watch one account."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._days: KeptByKey[list[DaySum]] = KeptByKey(DAYS_S)
        self._days_before: KeptByKey[list[DaySum]] = KeptByKey(MONTHS_BEFORE_S)
        self._groups: KeptByKey[list[GroupSum]] = KeptByKey(DAYS_S)
        self._groups_before: KeptByKey[list[GroupSum]] = KeptByKey(MONTHS_BEFORE_S)

    def read(self, account: str, month: date, zone: str, currency: str) -> History:
        """Blocks. Raises one of StoreErrors."""
        now = datetime.now(UTC)
        today = now.astimezone(ZoneInfo(zone)).date()
        before = previous_month(month)
        months = [before]
        while len(months) < MONTHS_BEFORE:
            months.append(previous_month(months[-1]))
        days = self._days.get(
            (account, month, zone), partial(read_days, self._ledger, account, [month], zone)
        )
        earlier = self._days_before.get(
            (account, month, zone), partial(read_days, self._ledger, account, months, zone)
        )
        return History(
            today,
            [one for one in [*earlier, *days] if one.month in (month, before)],
            self._comparison(account, month, before, zone, currency, now),
            foretell(map(_cost, [*earlier, *days]), month, today),
        )

    def _comparison(
        self, account: str, month: date, before: date, zone: str, currency: str, now: datetime
    ) -> Comparison | None:
        """Until the same moment of both months' runs: the whole of them, once this one is over."""
        begin_us, end_us = month_bounds_us(month, ZoneInfo(zone))
        begin_before_us, end_before_us = month_bounds_us(before, ZoneInfo(zone))
        now_us = to_us(now)
        until_us, name = end_before_us, month_name(before)
        if now_us < end_us:
            until_us = min(end_before_us, begin_before_us + now_us - begin_us)
            name = f"{before:%B} to the same day"
        had = self._groups_before.get((account, before), self._reader(account, before, until_us))
        has = self._groups.get((account, month), self._reader(account, month, end_us))
        return compare(had, has, name, symbol_of(currency))

    def _reader(self, account: str, month: date, until_us: int) -> Callable[[], list[GroupSum]]:
        return partial(read_groups, self._ledger, account, month, until_us)


def _cost(one: DaySum) -> DayCost:
    return DayCost(one.month, one.day, one.line in MONTHLY_LINES, one.charge + one.tax)
