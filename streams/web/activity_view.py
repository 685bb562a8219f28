"""All of an account's charges, newest first, by filters that its address keeps."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from rater.lines import LINES
from rater.money import format_nanos
from rater.words import counted
from streams.store.events import EventRow, FilterSum, cursor_of
from streams.web.event_text import cells_of
from streams.web.filters import Wanted, encode_cursor
from streams.web.frame import Choice, Frame, choices_of
from streams.web.numbers import Numbers
from streams.web.render import View, render
from streams.web.usage_view import files_of

PAGE_ROWS = 50


class Field(NamedTuple):
    """A field of the form of filters."""

    name: str
    title: str
    value: str
    choices: Sequence[Choice] = ()
    type: str = ""


_STATUSES = (
    "completed", "busy", "no-answer", "failed", "canceled", "sent", "delivered", "received",
    "undelivered",
)  # fmt: skip


def activity_view(
    rows: Sequence[EventRow],
    whole: FilterSum,
    *,
    wanted: Wanted,
    is_later_page: bool,
    month: date,
    months: Iterable[date],
    currency: str,
    frame: Frame,
) -> View:
    """A page of charges; one row more than PAGE_ROWS says that there are older ones."""
    numbers = Numbers(currency, exact=True)
    shown = rows[:PAGE_ROWS]
    here = {"month": frame.month} | wanted.items()
    older = ""
    if len(rows) > PAGE_ROWS:
        older = frame.to("activity", **here, cursor=encode_cursor(cursor_of(shown[-1])))
    return render(
        "activity.html",
        frame=frame,
        month=f"{month:%Y-%m}",
        months=choices_of(months),
        keep=list(wanted.items().items()),
        fields=list(fields_of(wanted)),
        chosen=chosen_text(wanted),
        everything=frame.to("activity", month=frame.month),
        sum=sum_text(whole, numbers),
        rows=[cells_of(row.charge, frame, numbers) for row in shown],
        newest=frame.to("activity", **here) if is_later_page else "",
        older=older,
        files=files_of(frame, "events", **_in_api(f"{month:%Y-%m}", wanted)),
    )


def _in_api(month: str, wanted: Wanted) -> dict[str, str]:
    """The same filter by the names that the API has for a range's days."""
    names = {"first": "from", "last": "to"}
    told = {names.get(name, name): value for name, value in wanted.items().items()}
    return {"month": month} | told


def fields_of(wanted: Wanted) -> Iterable[Field]:
    lines = [Choice(line.name, line.title) for line in LINES]
    ways = [Choice("inbound", "Inbound"), Choice("outbound", "Outbound")]
    statuses = [Choice(one, one.replace("-", " ").capitalize()) for one in _STATUSES]
    yield Field("line", "Line", wanted.line, lines)
    yield Field("direction", "Direction", wanted.direction, ways)
    yield Field("status", "Status", wanted.status, statuses)
    yield Field("number", "Number", wanted.number)
    yield Field("campaign", "Campaign", wanted.campaign)
    yield Field("user", "User", wanted.user)
    yield Field("first", "From day", wanted.day or wanted.first, type="date")
    yield Field("last", "To day", wanted.day or wanted.last, type="date")
    yield Field("least", "At least", wanted.least)


# What no field of the form has, in words.
_HIDDEN = {
    "media": "{}", "level": "{} tax", "team": "team {}", "carrier": "carrier {}",
    "own": "own number {}", "destination": "other number {}",
}  # fmt: skip


def chosen_text(wanted: Wanted) -> str:
    """What is filtered by and has no field of its own."""
    said: Mapping[str, str] = wanted.items()
    words = [form.format(said[name]) for name, form in _HIDDEN.items() if name in said]
    if "registered" in said:
        words.append("registered" if wanted.registered == "true" else "unregistered")
    return ", ".join(words)


def sum_text(whole: FilterSum, numbers: Numbers) -> str:
    """ "1,204 charges: $33.20, and $4.10 tax"."""
    charge, tax = (numbers.money(format_nanos(nanos)) for nanos in (whole.charge, whole.tax))
    return f"{counted(whole.rows, 'charge')}: {charge}, and {tax} tax"
