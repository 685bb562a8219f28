"""The page of budgets: each with its bar, what was told of them and where that went."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rater.budgets import Budget, Standing
from rater.lines import LINES, PRICED
from rater.money import format_nanos
from rater.sentences import FORECAST_METHOD, NO_FORECAST, TELLS_ONLY, part_said
from rater.words import DASH
from streams.store.alerts import Told, Tried
from streams.web.budgets import Standings
from streams.web.charts import GROUPS, TAX, budget_bar
from streams.web.frame import Choice, Frame, month_name
from streams.web.freshness import instant_text
from streams.web.numbers import Numbers
from streams.web.render import View, render


class Shown(NamedTuple):
    """A budget as its sheet has it."""

    name: str
    part: str
    amount: str
    spent: str
    spent_share: str
    likely: str
    likely_share: str
    bar: Markup
    value: str  # its amount, for a form


class Entry(NamedTuple):
    """A line of the log."""

    when: str
    sentence: str
    topic: str
    webhook: str


def budgets_view(found: Standings, frame: Frame, *, manages: bool) -> View:
    numbers = Numbers(found.currency, exact=False)
    return render(
        "budgets.html",
        frame=frame,
        month_title=month_name(found.month),
        zone=found.zone,
        currency=found.currency,
        tells_only=TELLS_ONLY,
        method=FORECAST_METHOD,
        budgets=[_shown(*one, numbers) for one in found.budgets],
        log=[_entry(*one, found.zone) for one in found.told],
        manages=manages,
        parts=list(_parts()),
    )


def _shown(budget: Budget, standing: Standing, numbers: Numbers) -> Shown:
    foretold = standing.foretold
    spent, amount = (
        numbers.money(format_nanos(nanos)) for nanos in (standing.spent, budget.amount)
    )
    likely = NO_FORECAST if foretold is None else numbers.money(format_nanos(foretold.likely))
    spent_share = _share(standing.spent, budget.amount)
    likely_share = "" if foretold is None else _share(foretold.likely, budget.amount)
    return Shown(
        budget.name,
        part_said(budget),
        amount,
        spent,
        spent_share,
        likely,
        likely_share,
        budget_bar(
            standing.spent,
            0 if foretold is None else foretold.likely,
            budget.amount,
            f"{spent} of {amount} is spent, {spent_share}",
        ),
        format_nanos(budget.amount),
    )


def _share(nanos: int, amount: int) -> str:
    """Whole percents, rounded down: 100 % is said once it is reached."""
    return f"{nanos * 100 // amount:,} %"


def _entry(told: Told, ways: Sequence[Tried], zone: str) -> Entry:
    by_name = {one.channel: one for one in ways}
    return Entry(
        instant_text(told.told_at, zone),
        told.sentence.removesuffix(TELLS_ONLY).strip(),
        _way(by_name.get("topic")),
        _way(by_name.get("webhook")),
    )


def _way(tried: Tried | None) -> str:
    if tried is None:
        return DASH
    times = "" if tried.attempts == 1 else f" at attempt {tried.attempts}"
    answer = f" ({tried.answer})" if tried.answer else ""
    return f"{'sent' if tried.was_sent else 'not sent'}{times}{answer}"


def _parts() -> Iterable[Choice]:
    """What a budget may be of: all usage, a group of lines as the bars have them, one line."""
    yield Choice("", "All usage")
    for group, title in GROUPS:
        names = [line.name for line in LINES if line.group == group and line.name in PRICED]
        if group != TAX and len(names) > 1:
            yield Choice(",".join(names), f"{title}, all lines")
    for name, line in PRICED.items():
        yield Choice(name, line.title)
