"""The overview: what was spent, what it will come to, why it is more, what needs attention."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from rater.changes import causes_of
from rater.forecast import Forecast
from rater.lines import MONTHLY_LINES
from rater.money import format_nanos, to_cents
from rater.months import next_month, previous_month
from rater.sentences import (
    FORECAST_METHOD,
    NO_FORECAST,
    causes_said,
    cents_text,
    change_said,
    forecast_said,
)
from streams.store.days import DaySum
from streams.web.charts import GROUPS, TAX, day_bars, group_of
from streams.web.frame import Frame, Link, choices_of, month_name
from streams.web.freshness import Told
from streams.web.numbers import Numbers
from streams.web.render import View, render
from streams.web.usage_view import waiting_text


class Comparison(NamedTuple):
    """A month beside the one before: what each cost until the same moment of its run, and why."""

    before_cents: int
    causes: Sequence[str]
    said: str


class Day(NamedTuple):
    """A day of the month as the table beside the bars has it."""

    title: str
    href: str
    amounts: Sequence[str]
    total: str
    before: str


def compare(
    before: Sequence[Any], after: Sequence[Any], before_name: str, symbol: str
) -> Comparison | None:
    """Why a month costs more than the one before; None where there was none."""
    if not any(group.charge or group.quantity for group in before):
        return None
    had = sum(group.charge for group in before)
    has = sum(group.charge for group in after)
    cents = to_cents(has) - to_cents(had)
    causes = [one.text for one in causes_said(causes_of(before, after), cents, symbol)]
    return Comparison(to_cents(had), causes, change_said(cents, before_name, symbol))


def overview_view(
    statement: dict[str, Any],
    days: Sequence[DaySum],
    *,
    today: date,
    comparison: Comparison | None,
    foretold: Forecast | None,
    attention: Sequence[Link],
    frame: Frame,
    months: Iterable[date],
    told: Told,
) -> View:
    """One month; `days` are of it and the one before. `today` is by the account's clocks."""
    month = date.fromisoformat(statement["month"] + "-01")
    numbers = Numbers(statement["currency"], exact=False)
    symbol = numbers.symbol
    is_over = today >= next_month(month)
    waiting = waiting_text(statement["waiting"], statement["zone"])
    costs = _costs(days)
    before = _before(month, costs)
    rows = list(_days_of(month, costs, before, today, numbers, frame))
    return render(
        "overview.html",
        frame=frame,
        told=told,
        month=statement["month"],
        month_title=month_name(month),
        months=choices_of(months),
        keep=[],
        currency=statement["currency"],
        zone=statement["zone"],
        total=numbers.money(statement["total"]),
        usage_total=numbers.money(statement["usage_total"]),
        products_total=numbers.money(statement["products_total"]),
        is_over=is_over,
        today=_amount(sum(costs.get(today, {}).values()), numbers),
        yesterday=_amount(sum(costs.get(today - timedelta(days=1), {}).values()), numbers),
        likely="Not yet" if foretold is None else _amount(foretold.likely, numbers),
        forecast="" if foretold is None else f"{forecast_said(foretold, symbol)}.",
        method=NO_FORECAST if foretold is None else FORECAST_METHOD,
        before=None if comparison is None else cents_text(comparison.before_cents, symbol),
        before_title=month_name(previous_month(month)),
        change="" if comparison is None else comparison.said,
        causes=() if comparison is None else comparison.causes,
        waiting=waiting,
        attention=attention,
        bars=_bars(month, costs, before),
        groups=[title for _, title in GROUPS],
        group_names=[name for name, _ in GROUPS],
        days=rows,
        fixed=_amount(_fixed(days, month), numbers),
        links={"usage": frame.to("usage", month=frame.month)},
    )


def _amount(nanos: int, numbers: Numbers) -> str:
    return numbers.money(format_nanos(nanos))


def _fixed(days: Sequence[DaySum], month: date) -> int:
    return sum(
        one.charge + one.tax for one in days if one.month == month and one.line in MONTHLY_LINES
    )


def _costs(days: Sequence[DaySum]) -> dict[date, dict[str, int]]:
    """What usage cost by day and group; the taxes of all of it are a group of their own."""
    costs: defaultdict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in days:
        if one.line not in MONTHLY_LINES:
            costs[one.day][group_of(one.line)] += one.charge
            costs[one.day][TAX] += one.tax
    return costs


def days_of(month: date) -> list[date]:
    last = next_month(month) - timedelta(days=1)
    return [month + timedelta(days=index) for index in range(last.day)]


def _days_of(
    month: date,
    costs: dict[date, dict[str, int]],
    before: Sequence[int],
    today: date,
    numbers: Numbers,
    frame: Frame,
) -> Iterable[Day]:
    for index, day in enumerate(days_of(month)):
        if day > today:
            return
        groups = costs.get(day, {})
        yield Day(
            f"{day.day} {day:%B}",
            frame.to("activity", day=day.isoformat()) if groups else "",
            [_amount(groups.get(name, 0), numbers) for name, _ in GROUPS],
            _amount(sum(groups.values()), numbers),
            _amount(before[index], numbers) if index < len(before) else numbers.money(None),
        )


def _before(month: date, costs: dict[date, dict[str, int]]) -> list[int]:
    return [sum(costs.get(day, {}).values()) for day in days_of(previous_month(month))]


def _bars(month: date, costs: dict[date, dict[str, int]], before: Sequence[int]) -> Any:
    label = f"What each day of {month_name(month)} cost; the table below says the same."
    return day_bars(days_of(month), costs, before, label)
