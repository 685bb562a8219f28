"""Campaigns, numbers, recordings: what each was used for, what it cost, which could go."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup

from rater.instants import to_us
from rater.money import divide_half_even, format_nanos
from rater.sentences import day_said
from rater.words import DASH, counted, grouped, rounded
from streams.store.assets import CampaignUse, NumberUse, RecordingMonth
from streams.web.frame import Frame, choices_of, month_name
from streams.web.numbers import Numbers
from streams.web.render import View, render
from streams.web.usage_view import charge_of

Cell = Markup | str


class Row(NamedTuple):
    """A row of a table: its name, where it leads, and its cells."""

    name: str
    href: str
    cells: Sequence[Cell]
    note: str = ""


class Page(NamedTuple):
    """What the tables of all assets share."""

    frame: Frame
    month: date
    months: Iterable[date]
    numbers: Numbers
    zone: ZoneInfo

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Row], notes: Sequence[str]
    ) -> View:
        return render(
            "table.html",
            frame=self.frame,
            title=title,
            month=f"{self.month:%Y-%m}",
            month_title=month_name(self.month),
            months=choices_of(self.months),
            columns=columns,
            rows=rows,
            notes=notes,
            none=f"No {title.lower()} in {month_name(self.month)}.",
        )

    def money(self, nanos: int) -> Cell:
        return charge_of(self.numbers, format_nanos(nanos))

    def each(self, nanos: int, count: int) -> Cell:
        """What one of so many cost; a dash where there was none."""
        if not count:
            return DASH
        each = rounded(format_nanos(divide_half_even(nanos, count)), 4)
        return self.numbers.price(each)

    def to(self, **filtered: str) -> str:
        return self.frame.to("activity", month=self.frame.month, **filtered)


def campaigns_view(page: Page, campaigns: Sequence[CampaignUse]) -> View:
    columns = (
        "Campaign", "Dials", "Connected", "Minutes", "Detections", "Cost", "A connect", "A human",
    )  # fmt: skip
    rows = [_campaign(page, one) for one in campaigns]
    return page.table("Campaigns", columns, rows, ["Costs are with tax."])


def _campaign(page: Page, one: CampaignUse) -> Row:
    cost = one.charge + one.tax
    share = f"{one.connected * 100 // one.dials} %" if one.dials else DASH
    return Row(
        one.name or one.campaign_id,
        page.to(campaign=one.campaign_id),
        (
            f"{one.dials:,}", share, grouped(str(-(-one.seconds // 60))), f"{one.detections:,}",
            page.money(cost), page.each(cost, one.connected), page.each(cost, one.humans),
        ),
        charged_and_off(one, page.numbers),
    )  # fmt: skip


def charged_and_off(one: CampaignUse, numbers: Numbers) -> str:
    """What is told of a campaign that is charged for detection and has it switched off."""
    if one.detection is not False or not one.detection_charge:
        return ""
    return (
        f"A.I. voice detection is switched off, and {counted(one.detections, 'detection')} were "
        f"charged: {numbers.money(format_nanos(one.detection_charge))}"
    )


def numbers_view(page: Page, owned: Sequence[NumberUse]) -> View:
    columns = ("Number", "Kind", "Since", "Price", "Calls", "Minutes", "Texts", "Used for")
    rows = [
        Row(
            one.number,
            page.to(own=one.number),
            (
                one.number_type, day_said(to_us(one.since), page.zone), page.money(one.charge),
                f"{one.calls:,}", grouped(str(-(-one.seconds // 60))), f"{one.texts:,}",
                page.money(one.used),
            ),
            "" if one.calls or one.texts else "idle: no call and no text in this month",
        )
        for one in owned
    ]  # fmt: skip
    idle = [one for one in owned if not one.calls and not one.texts]
    notes = ["Prices and costs are with tax."]
    if idle:
        cost = page.numbers.money(format_nanos(sum(one.charge for one in idle)))
        notes.append(f"{counted(len(idle), 'number')} without use cost {cost} in this month.")
    return page.table("Numbers", columns, rows, notes)


def recordings_view(page: Page, stored: Sequence[RecordingMonth]) -> View:
    columns = ("Made in", "Recordings", "Minutes", "Cost this month", "Deleting these and older")
    rows = [
        Row(
            month_name(one.made),
            "",
            (
                f"{one.recordings:,}", grouped(str(one.seconds // 60)), page.money(one.charge),
                page.money(sum(older.charge for older in stored[index:])),
            ),
        )
        for index, one in enumerate(stored)
    ]  # fmt: skip
    notes = [
        "Each recorded minute costs its price for every month in which it is stored, with tax.",
        "The last column is what a month costs less once these recordings, and all older ones, "
        "are deleted.",
    ]
    return page.table("Recordings", columns, rows, notes)
