"""The overview: what was spent, what it will come to, why it is more, what needs attention."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from markupsafe import Markup

from rater.changes import GroupSum, causes_of
from rater.forecast import DayCost, foretell
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
from rater.words import DASH
from streams.store.days import DaySum
from streams.web.charts import GROUPS, TAX, day_bars, group_of
from streams.web.frame import Frame, Link, choices_of, month_name
from streams.web.freshness import Told
from streams.web.numbers import Numbers
from streams.web.render import Parts, View, leaf_text
from streams.web.usage_view import waiting_text


class Comparison(NamedTuple):
    """A month beside the one before: what each cost until the same moment of its run, and why."""

    before_cents: int
    causes: Sequence[str]
    said: str


class History(NamedTuple):
    """What an account's month is seen against: its days, those of the months before, the newest
    first, and what it and the one before, until the same moment, were priced by.
    """

    today: date  # by the account's clocks
    days: Sequence[DaySum]
    days_before: Sequence[Sequence[DaySum]]
    groups: Sequence[GroupSum]
    groups_before: Sequence[GroupSum]
    before_name: str  # "October to the same day"


class Day(NamedTuple):
    """A day of the month as the table beside the bars has it, but for what it cost."""

    title: str
    href: str
    before: str


class Past(NamedTuple):
    """What of a history is no number: the rows of its table, and what can be said of it."""

    days: Sequence[Day]
    method: str
    is_compared: bool


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
    history: History,
    *,
    attention: Sequence[Link],
    frame: Frame,
    months: Iterable[date],
    told: Told,
    seen: View | None = None,
) -> View:
    """One month and the one before. `seen` stood before: what has not changed is taken from it."""
    month = date.fromisoformat(statement["month"] + "-01")
    numbers = Numbers(statement["currency"], exact=False)
    parts = Parts(seen)
    past, leaves = parts.make("history", partial(_past, parts), history, month, numbers, frame)
    waiting = waiting_text(statement["waiting"], statement["zone"])
    return parts.view(
        "overview.html",
        leaves
        | told.leaves()
        | {
            "total": numbers.money(statement["total"]),
            "usage-total": numbers.money(statement["usage_total"]),
            "products-total": numbers.money(statement["products_total"]),
            "waiting": waiting,
        },
        frame=frame,
        state=told.state,
        month=statement["month"],
        month_title=month_name(month),
        months=choices_of(months),
        keep=[],
        currency=statement["currency"],
        zone=statement["zone"],
        is_over=history.today >= next_month(month),
        method=past.method,
        is_compared=past.is_compared,
        before_title=month_name(previous_month(month)),
        waiting=bool(waiting),
        attention=attention,
        groups=[title for _, title in GROUPS],
        group_names=[name for name, _ in GROUPS],
        days=past.days,
        links={"usage": frame.to("usage", month=frame.month)},
    )


def _past(
    parts: Parts, history: History, month: date, numbers: Numbers, frame: Frame
) -> tuple[Past, dict[str, Markup]]:
    """What the days and the month before say: its shape, and all its leaves."""
    today = history.today
    comparison = compare(history.groups_before, history.groups, history.before_name, numbers.symbol)
    foretold = foretell(map(_cost, chain(history.days, *history.days_before)), month, today)
    costs = _costs([*history.days_before[0], *history.days])
    before = _before(month, costs)
    leaves: dict[str, Any] = {
        "today": _amount(sum(costs.get(today, {}).values()), numbers),
        "yesterday": _amount(sum(costs.get(today - timedelta(days=1), {}).values()), numbers),
        "likely": "Not yet" if foretold is None else _amount(foretold.likely, numbers),
        "forecast": "" if foretold is None else f"{forecast_said(foretold, numbers.symbol)}.",
        "before": DASH
        if comparison is None
        else cents_text(comparison.before_cents, numbers.symbol),
        "change": "" if comparison is None else comparison.said,
        "causes": _list(() if comparison is None else comparison.causes),
        "bars": _bars(month, costs, before),
        "fixed": _amount(_fixed(history.days, month), numbers),
    }
    days = []
    for nth, day in enumerate(days_of(month), 1):
        if day > today:
            break
        groups = costs.get(day, {})
        amounts = tuple(groups.get(name, 0) for name, _ in GROUPS)
        was = before[nth - 1] if nth <= len(before) else None
        row, more = parts.make(
            f"day {nth}", _day, nth, day, bool(groups), amounts, was, numbers, frame
        )
        days.append(row)
        leaves |= more
    past = Past(
        days,
        NO_FORECAST if foretold is None else FORECAST_METHOD,
        comparison is not None,
    )
    return past, _as_html(leaves)


def _day(
    nth: int,
    day: date,
    is_used: bool,
    amounts: tuple[int, ...],
    was: int | None,
    *shown: Any,
) -> tuple[Day, dict[str, Markup]]:
    """A row of the table of days, and its leaves. `was` is what the same day before cost."""
    numbers, frame = shown
    href = frame.to("activity", day=day.isoformat()) if is_used else ""
    had = numbers.money(None) if was is None else _amount(was, numbers)
    leaves = {f"day-{nth}-{n}": _amount(amount, numbers) for n, amount in enumerate(amounts, 1)}
    leaves[f"day-{nth}-all"] = _amount(sum(amounts), numbers)
    return Day(f"{day.day} {day:%B}", href, had), _as_html(leaves)


def _list(texts: Sequence[str]) -> Markup:
    """In one leaf: how many reasons there are changes no page."""
    return Markup().join(Markup("<li>{}</li>").format(text) for text in texts)


def _as_html(leaves: Mapping[str, object]) -> dict[str, Markup]:
    return {name: leaf_text(text) for name, text in leaves.items()}


def _amount(nanos: int, numbers: Numbers) -> str:
    return numbers.money(format_nanos(nanos))


def _cost(one: DaySum) -> DayCost:
    return DayCost(one.month, one.day, one.line in MONTHLY_LINES, one.charge + one.tax)


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


def _before(month: date, costs: dict[date, dict[str, int]]) -> list[int]:
    return [sum(costs.get(day, {}).values()) for day in days_of(previous_month(month))]


def _bars(month: date, costs: dict[date, dict[str, int]], before: Sequence[int]) -> Any:
    label = f"What each day of {month_name(month)} cost; the table below says the same."
    return day_bars(days_of(month), costs, before, label)
