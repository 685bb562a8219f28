"""Charts as SVG made here: bars by day in groups of lines, the month before as an outline."""

from collections.abc import Mapping, Sequence
from datetime import date

from markupsafe import Markup

from rater.lines import LINES

TAX = "tax"
# What the bars are made of, from the ground up. What is charged by the month has no day.
GROUPS = (("voice", "Calls"), ("messages", "Texts"), ("campaigns", "Campaigns"), (TAX, "Taxes"))
_GROUP_OF = {line.name: line.group for line in LINES}
WIDTH, HEIGHT, FOOT = 930, 180, 22
_SLOT = 30  # of a day


def group_of(line: str) -> str:
    return _GROUP_OF[line]


def day_bars(
    days: Sequence[date],
    now: Mapping[date, Mapping[str, int]],
    before: Sequence[int],
    label: str,
) -> Markup:
    """Bars of a month by day and group, in nanos; `before` outlines the same days of another.

    The table beside it says the same to whoever sees no picture, so `label` is all it says itself.
    """
    totals = [sum(now.get(day, {}).values()) for day in days]
    most = max([*totals, *before, 1])
    parts = []
    for index, day in enumerate(days):
        left, ground = index * _SLOT, HEIGHT - FOOT
        if index < len(before) and before[index]:
            tall = _tall(before[index], most)
            parts.append(
                f'<rect class="before" x="{left + 3}" y="{ground - tall}" width="{_SLOT - 6}"'
                f' height="{tall}"/>'
            )
        for name, _ in GROUPS:
            tall = _tall(now.get(day, {}).get(name, 0), most)
            if tall:
                ground -= tall
                parts.append(
                    f'<rect class="bar-{name}" x="{left + 6}" y="{ground}" width="{_SLOT - 12}"'
                    f' height="{tall}"/>'
                )
        if day.day == 1 or day.day % 5 == 0:
            parts.append(f'<text x="{left + _SLOT // 2}" y="{HEIGHT - 5}">{day.day}</text>')
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_SLOT * len(days), HEIGHT, label, Markup("".join(parts)))


def budget_bar(spent: int, likely: int, amount: int, label: str) -> Markup:
    """A bar of what is spent, the outline of what the month will come to, and the budget's mark."""
    most = max(spent, likely, amount)
    wide, mark = spent * WIDTH // most, amount * WIDTH // most
    over = " over" if spent >= amount else ""
    foretold = likely * WIDTH // most
    return Markup(
        '<svg class="bars budget-bar" viewBox="0 0 {0} 22" preserveAspectRatio="none"'
        ' role="img" aria-label="{1}">'
        '<rect class="track" x="0" y="4" width="{0}" height="14" rx="4"/>'
        '<rect class="bar-spent{2}" x="0" y="4" width="{3}" height="14" rx="4"/>'
        '<rect class="before" x="0" y="4" width="{4}" height="14" rx="4"/>'
        '<path class="mark" d="M{5} 0V22"/></svg>'
    ).format(WIDTH, label, over, wide, foretold, min(mark, WIDTH - 1))


def _tall(nanos: int, most: int) -> int:
    """How tall a bar of an amount is; the least amount is seen."""
    if nanos <= 0:
        return 0
    return max(1, nanos * (HEIGHT - FOOT - 8) // most)
