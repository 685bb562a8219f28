"""A line of the statement by day, and broken down by all that may have run it up."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from markupsafe import Markup

from rater.lines import LINES, TAXES
from rater.money import format_nanos
from rater.words import counted, grouped
from streams.store.events import Group
from streams.web.charts import day_bars
from streams.web.filters import Wanted
from streams.web.frame import Frame, choices_of, month_name
from streams.web.numbers import Numbers
from streams.web.overview_view import days_of
from streams.web.render import View, render
from streams.web.usage_view import charge_of, day_text

_LINES = {line.name: line for line in LINES}
ROWS_SHOWN = 20  # of a breakdown; the rest is one row, and in the files
# Of each breakdown: its title, and the filter that a row of it leads to.
TITLES = {
    "day": ("day", "day"),
    "campaign": ("campaign", "campaign"),
    "user": ("user", "user"),
    "team": ("team", "team"),
    "number": ("own number", "own"),
    "destination": ("other number", "destination"),
    "carrier": ("carrier", "carrier"),
    "direction": ("direction", "direction"),
    "status": ("status", "status"),
    "hour": ("hour of the day", ""),
}


class Shown(NamedTuple):
    """A row of a breakdown as it is shown."""

    name: str
    href: str
    many: str
    billed: str
    charge: Markup | str


class Breakdown(NamedTuple):
    """A breakdown as it is shown."""

    name: str
    title: str
    rows: Sequence[Shown]
    total: Markup | str


def line_view(
    breakdowns: Mapping[str, Sequence[Group]],
    *,
    wanted: Wanted,
    month: date,
    months: Iterable[date],
    currency: str,
    frame: Frame,
) -> View:
    """One line's charges of a month. Each breakdown adds up to it, to the last digit."""
    line = _LINES[wanted.line]
    numbers = Numbers(currency, exact=True)
    whole = breakdowns["day"]
    total = sum(group.charge for group in whole)
    count = sum(group.rows for group in whole)
    is_tax = wanted.line == TAXES
    cells = _Cells(line.unit == "minute", wanted, numbers, frame)
    keep = {name: value for name, value in wanted.items().items() if name != "line"}
    return render(
        "line.html",
        frame=frame,
        title=f"{wanted.level} tax".capitalize()
        if wanted.level
        else line.title_of(wanted.direction),
        month=f"{month:%Y-%m}",
        month_title=month_name(month),
        months=choices_of(months),
        keep=list(keep.items()),
        amount_title="Tax" if is_tax else "Charge",
        total=numbers.money(format_nanos(total)),
        rows=counted(count, "charge" if is_tax else line.noun),
        help=line.help,
        events=frame.to("activity", **{"month": frame.month} | wanted.items()),
        bars="" if line.monthly else _bars(month, whole),
        groups=[
            cells.breakdown(name, groups)
            for name, groups in breakdowns.items()
            if name == "day" or len(groups) > 1
        ],
    )


class _Cells(NamedTuple):
    """What all rows of a page share: how numbers look, and where a row leads."""

    timed: bool
    wanted: Wanted
    numbers: Numbers
    frame: Frame

    def breakdown(self, by: str, groups: Sequence[Group]) -> Breakdown:
        """The dearest rows and all others as one; days and hours stand in their order, all."""
        title, key = TITLES[by]
        most = ROWS_SHOWN
        if by in ("day", "hour"):
            groups = sorted(groups, key=lambda group: group.name)
            most = len(groups)
        rows = [self.row(by, key, group) for group in groups[:most]]
        if left := groups[most:]:
            sums = (sum(column) for column in zip(*(one[1:] for one in left), strict=True))
            others = self.row(by, "", Group("", *sums))
            rows.append(others._replace(name=f"{len(left):,} others"))
        return Breakdown(by, title, rows, self.charge(sum(group.charge for group in groups)))

    def row(self, by: str, key: str, group: Group) -> Shown:
        """A row, and where it leads: to the charges that it adds up from."""
        name = day_text(group.name) if by == "day" else group.name
        here = {"month": self.frame.month} | self.wanted.items()
        minutes = f"{grouped(str(group.quantity // 60))} min"
        return Shown(
            name or f"no {TITLES[by][0]}",
            self.frame.to("activity", **here | {key: group.name}) if key and group.name else "",
            f"{group.rows:,}",
            minutes if self.timed else grouped(str(group.quantity)),
            self.charge(group.charge),
        )

    def charge(self, nanos: int) -> Markup | str:
        return charge_of(self.numbers, format_nanos(nanos))


def _bars(month: date, groups: Sequence[Group]) -> Markup:
    now = {date.fromisoformat(group.name): {"voice": group.charge} for group in groups}
    label = "What each day cost; the table below says the same."
    return day_bars(days_of(month), now, (), label)
