"""Budgets: what is meant to be spent in a month, and when it is told how much of that is gone.

A budget tells and stops nothing. Amounts are nanos; whoever asks says which day it is and what each
day cost. Pure. Source: docs/rules.md, Budgets.
"""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from rater.forecast import DayCost, Forecast, foretell

PERCENTS = (50, 75, 100)
# A minute runs away at so many times the usual one, and at this part of the month's amount: what is
# dear for the account and little of its budget wakes nobody.
RUNAWAY_TIMES = 5
RUNAWAY_PART = 100
USUAL_DAYS = 7
_HOUR_US = 3_600_000_000


class What(StrEnum):
    """What of a budget is told."""

    ACTUAL = "actual"
    FORECAST = "forecast"
    RUNAWAY = "runaway"


class Budget(NamedTuple):
    """An amount a month, in the account's currency with tax, for all of an account's usage or the
    part of it that all that is said here holds of: some lines, a campaign, a user."""

    account_id: str
    name: str
    amount: int
    lines: tuple[str, ...] = ()
    campaign_id: str = ""
    user_id: str = ""


class Minute(NamedTuple):
    """What a minute of usage cost, and the instant at which it began."""

    at_us: int
    cost: int


class Standing(NamedTuple):
    """How a budget's month stands: what is spent, what it will come to, the usual dear minute."""

    spent: int
    foretold: Forecast | None
    usual: int


class Alert(NamedTuple):
    """What is told of a budget. Its id is made of what it tells of: told again, it is the same.

    `spent` is what was spent, what the month will come to, or of a runaway the minute's cost;
    `percent`, `usual` and `minute_us` are 0 where they say nothing.
    """

    alert_id: str
    budget: Budget
    month: date
    what: What
    percent: int
    spent: int
    usual: int = 0
    minute_us: int = 0


def standing_of(days: Sequence[DayCost], month: date, today: date) -> Standing:
    """By the days of a month and of those before it; `today` is by the account's clocks."""
    spent = sum(one.cost for one in days if one.month == month)
    return Standing(spent, foretell(days, month, today), usual_of(days, today))


def usual_of(days: Sequence[DayCost], today: date) -> int:
    """The middle one of the dearest minutes of the seven days before: one bad day is no custom."""
    before = [today - timedelta(days=back) for back in range(1, USUAL_DAYS + 1)]
    dearest = {one.day: one.dearest for one in days if not one.is_fixed}
    return sorted(dearest.get(day, 0) for day in before)[USUAL_DAYS // 2]


def is_runaway(minute: int, usual: int, amount: int) -> bool:
    """Whether a minute costs far more than is usual, and enough of the budget to matter."""
    return minute >= usual * RUNAWAY_TIMES and minute * RUNAWAY_PART >= amount


def alerts_of(
    budget: Budget,
    month: date,
    standing: Standing,
    minute: Minute | None,
    told: Collection[str],
) -> list[Alert]:
    """What is to be told of a budget now: each threshold once a month, a runaway once an hour.

    `minute` is the dearest of the last hour; `told` has the ids of what was told before.
    """
    reached = {What.ACTUAL: standing.spent}
    if standing.foretold is not None:
        reached[What.FORECAST] = standing.foretold.likely
    alerts = [
        Alert(_id_of(budget, month, what, percent), budget, month, what, percent, spent)
        for what, spent in reached.items()
        for percent in PERCENTS
        if spent * 100 >= budget.amount * percent
    ]
    if minute is not None and is_runaway(minute.cost, standing.usual, budget.amount):
        alert_id = _id_of(budget, month, What.RUNAWAY, minute.at_us // _HOUR_US)
        alerts.append(
            Alert(alert_id, budget, month, What.RUNAWAY, 0, minute.cost, standing.usual,
                  minute.at_us)
        )  # fmt: skip
    return [alert for alert in alerts if alert.alert_id not in told]


def _id_of(budget: Budget, month: date, what: What, which: int) -> str:
    """The same for whoever tells it, and another one of a budget that was changed."""
    named = msgspec.json.encode((budget, month, what, which))
    return blake2b(named, digest_size=16).hexdigest()
