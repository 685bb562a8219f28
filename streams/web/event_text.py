"""Charges in words and cells: what several pages say of one event's row."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup

from rater.charge import Charge
from rater.lines import LINES, MONTHLY_LINES
from rater.money import format_nanos
from rater.sentences import clock, day_said
from rater.words import counted
from streams.web.frame import Frame
from streams.web.numbers import Numbers
from streams.web.usage_view import charge_of

_LINES = {line.name: line for line in LINES}


class Cells(NamedTuple):
    """A charge as a row of a table."""

    day: str
    time: str
    href: str
    what: str
    parties: str
    status: str
    billed: str
    charge: Markup | str
    tax: Markup | str


def cells_of(charge: Charge, frame: Frame, numbers: Numbers) -> Cells:
    """A charge for a list of events, by the clocks of its own zone."""
    terms, cost = charge.terms, charge.cost
    zone = ZoneInfo(terms.zone or "UTC")
    monthly = terms.line in MONTHLY_LINES
    return Cells(
        day_said(charge.occurred_us, zone),
        "" if monthly else clock(charge.occurred_us, zone),
        frame.event(charge.event_id or charge.identity),
        title_of(charge),
        parties_of(charge),
        (terms.event_status or "").replace("-", " "),
        "free" if not cost.charge else counted(cost.billed, terms.unit),
        charge_of(numbers, format_nanos(cost.charge)),
        "unknown" if cost.tax_status == "unknown" else charge_of(numbers, format_nanos(cost.tax())),
    )


def title_of(charge: Charge) -> str:
    """ "Outbound call", "Recording storage": the line, as one of it is called."""
    line = _LINES[charge.terms.line]
    return line.title_of(charge.terms.direction if len(line.directions) > 1 else "")


def caller_of(charge: Charge) -> str:
    """Who called or wrote; a caller who was told as nothing is withheld."""
    return charge.from_ or ("withheld" if charge.to else "")


def parties_of(charge: Charge) -> str:
    """ "+14155550100 to +442071838750", the number that is owned, or what is subscribed to."""
    if charge.to:
        return f"{caller_of(charge)} to {charge.to}"
    return charge.from_ or charge.terms.product or charge.identity
