"""Watches budgets: of accounts that have some, and news, what is newly reached is told, once.

What a month cost is read from the ledger, one question for all accounts of a zone; the days of the
months before change seldom and are kept for a day.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from rater.budgets import Alert, Budget, alerts_of, standing_of
from rater.forecast import MONTHS_BEFORE, DayCost
from rater.instants import to_us
from rater.months import months_before
from rater.sentences import alert_said
from rater.tariff import Book
from rater.words import symbol_of
from streams.maintenance.news import News
from streams.rows.log_position import Span
from streams.store.alerts import read_told, write_alerts
from streams.store.budgets import Costs, read_budgets, read_costs, read_touched_accounts
from streams.store.ledger import Ledger

# What no receipt tells of (recurring charges, what was parked, a day that has begun) is seen then.
ALL_EVERY = timedelta(hours=1)
LATELY_S = 3600  # minutes that began no longer ago may be a runaway


class BudgetsJob:
    """Whose budgets are to be looked at, and the look."""

    def __init__(self, ledger: Ledger, book: Callable[[], Book]) -> None:
        self._ledger = ledger
        self._book = book
        self.news = News("budgets", ledger)
        self._spans: list[Span] = []  # that nobody was looked for in yet
        self._due: set[str] = set()  # accounts
        self._known: set[Budget] = set()
        self._all_at: datetime | None = None
        self._before: dict[Budget, tuple[date, list[DayCost]]] = {}

    def forget(self) -> None:
        """Begins anew: another may have gone on meanwhile."""
        self.news.forget()
        self._known, self._all_at, self._before = set(), None, {}

    async def run(self, now: datetime | None = None) -> int:
        """How many alerts were told. Raises one of StoreErrors."""
        now = now or datetime.now(UTC)
        self._spans += await asyncio.to_thread(self.news.read, now)
        told = await asyncio.to_thread(self._look, now)
        await asyncio.to_thread(self.news.done)
        return told

    def _look(self, now: datetime) -> int:
        budgets = read_budgets(self._ledger)
        while budgets and self._spans:
            self._due |= read_touched_accounts(self._ledger, self._spans[-1])
            self._spans.pop()
        if self._all_at is None or now - self._all_at >= ALL_EVERY:
            self._due |= {one.account_id for one in budgets}
            self._all_at = now
        self._due |= {one.account_id for one in budgets if one not in self._known}
        self._spans.clear()
        self._known = set(budgets)
        self._before = {one: self._before[one] for one in budgets if one in self._before}
        by_zone: defaultdict[ZoneInfo, list[Budget]] = defaultdict(list)
        for one in budgets:
            if one.account_id in self._due:
                zone = self._book().account(one.account_id, to_us(now)).zone
                by_zone[zone].append(one)
        told = sum(self._look_at(some, zone, now) for zone, some in by_zone.items())
        self._due.clear()
        return told

    def _look_at(self, budgets: list[Budget], zone: ZoneInfo, now: datetime) -> int:
        """Tells what is new of the budgets of accounts of a zone."""
        today = now.astimezone(zone).date()
        month = today.replace(day=1)
        accounts = {one.account_id for one in budgets}
        since_s = to_us(now) // 1_000_000 - LATELY_S
        costs = read_costs(self._ledger, accounts, [month], zone.key, since_s=since_s)
        self._read_before(budgets, zone, today)
        known = read_told(self._ledger, accounts, [month])
        currency = self._book().currency
        alerts: list[tuple[Alert, str]] = []
        for one in budgets:
            now_costs = costs.get((one.account_id, one.name), Costs([], None))
            standing = standing_of([*self._before[one][1], *now_costs.days], month, today)
            alerts += [
                (alert, alert_said(alert, symbol_of(currency), zone))
                for alert in alerts_of(one, month, standing, now_costs.minute, known)
            ]
        write_alerts(self._ledger, alerts, currency, now)
        return len(alerts)

    def _read_before(self, budgets: Collection[Budget], zone: ZoneInfo, today: date) -> None:
        """The days of the months before, of budgets whose are not known of today."""
        missing = [one for one in budgets if self._before.get(one, (None,))[0] != today]
        if not missing:
            return
        months = months_before(today.replace(day=1), MONTHS_BEFORE)
        accounts = {one.account_id for one in missing}
        found = read_costs(self._ledger, accounts, months, zone.key)
        for one in missing:
            costs = found.get((one.account_id, one.name), Costs([], None))
            self._before[one] = today, costs.days
