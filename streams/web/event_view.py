"""One event: why it costs what it does, or why it has no price; its time as a bar, its facts."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup

from rater.charge import Charge
from rater.lines import MONTHLY_LINES
from rater.money import format_nanos
from rater.sentences import charge_said, clock, day_said, outcome_said, taxes_said, version_said
from rater.words import money, symbol_of
from streams.operations.explain import as_sentence
from streams.store.events import EventRow, Outcome
from streams.web.event_text import Cells, caller_of, cells_of, title_of
from streams.web.frame import Frame
from streams.web.numbers import Numbers
from streams.web.render import View, render

_WIDTH, _HEIGHT = 600, 34


class Shown(NamedTuple):
    """A charge of the event as it is shown."""

    title: str
    amount: str
    said: str
    bar: Markup | str
    facts: Sequence[tuple[str, str]]
    taxes: Sequence[str]


class Waiting(NamedTuple):
    """An outcome without a charge as it is shown."""

    title: str
    said: str
    position: str


def event_view(
    event_id: str,
    rows: Sequence[EventRow],
    outcomes: Sequence[Outcome],
    legs: Sequence[EventRow],
    frame: Frame,
) -> View:
    """All charges of an event, or what became of it."""
    return render(
        "event.html",
        title=f"Event {event_id}",
        event_id=event_id,
        charges=[_shown(row) for row in rows],
        outcomes=[
            Waiting(
                one.what.capitalize(),
                outcome_said(one.what, one.reason, one.message),
                _position(one.topic, one.partition, one.offset),
            )
            for one in outcomes
        ],
        legs=list(_legs(legs, frame)),
    )


def _legs(legs: Sequence[EventRow], frame: Frame) -> Iterable[Cells]:
    if len({leg.charge.event_id for leg in legs}) > 1:
        for leg in legs:
            yield cells_of(leg.charge, frame, Numbers(leg.charge.terms.currency, exact=True))


def _shown(row: EventRow) -> Shown:
    charge = row.charge
    symbol = symbol_of(charge.terms.currency)
    return Shown(
        title_of(charge),
        money(format_nanos(charge.cost.charge), symbol),
        as_sentence(charge_said(charge)),
        _bar(charge),
        [(name, value) for name, value in _facts(row) if value],
        taxes_said(charge),
    )


def _facts(row: EventRow) -> Iterable[tuple[str, str]]:
    charge = row.charge
    terms, cost = charge.terms, charge.cost
    zone = ZoneInfo(terms.zone or "UTC")
    yield "Day", f"{day_said(charge.occurred_us, zone)} ({zone.key})"
    if terms.line not in MONTHLY_LINES:
        yield "Began", clock(charge.occurred_us, zone)
        for name, at_us in (("Answered", charge.answered_us), ("Ended", charge.ended_us)):
            yield name, "" if at_us is None else clock(at_us, zone)
    yield "From", caller_of(charge)
    yield "To", charge.to
    yield "Status", terms.event_status
    yield "Campaign", charge.campaign_id
    yield "User", " of ".join(filter(None, (charge.user_id, charge.team)))
    yield "Verdict", charge.verdict
    yield "Carrier", terms.carrier
    yield "Sender", {"true": "registered", "false": "unregistered"}.get(terms.registered, "")
    segments = f"{cost.segments} in {charge.encoding.upper()}" if charge.encoding else ""
    yield "Segments", segments or (str(cost.segments) if cost.segments else "")
    yield "Recorded", {"true": "yes", "false": "no"}.get(terms.recorded, "")
    yield "Rule", cost.rule
    yield "Plan", f"{terms.tariff}, prices since {version_said(terms.tariff_version)}"
    yield "Part of", charge.group_id
    yield "Record", _position(row.topic, row.partition, row.offset)


def _position(topic: str, partition: int, offset: int) -> str:
    """Where the raw record lies in the log."""
    return f"{topic}, partition {partition}, offset {offset}"


def _bar(charge: Charge) -> Markup | str:
    """The time of a call: dialing and talk, above what was billed of it."""
    if charge.ended_us is None or not charge.cost.billed_seconds:
        return ""
    lasted = max(1, (charge.ended_us - charge.occurred_us) // 1_000_000)
    whole = max(lasted, charge.cost.billed_seconds)
    answered = lasted
    if charge.answered_us is not None:
        answered = (charge.answered_us - charge.occurred_us) // 1_000_000
    starts = answered if "from answer" in charge.cost.rule else 0
    rung, end, billed = (
        _WIDTH * at // whole for at in (answered, lasted, charge.cost.billed_seconds)
    )
    return Markup(
        '<svg class="bars time" viewBox="0 0 {0} {1}" role="img" aria-label="Dialing, talk and'
        ' billed time">'
        '<rect class="bar-waiting" x="0" y="2" width="{2}" height="12"/>'
        '<rect class="bar-voice" x="{2}" y="2" width="{3}" height="12"/>'
        '<rect class="before" x="{4}" y="18" width="{5}" height="12"/></svg>'
    ).format(
        _WIDTH, _HEIGHT, rung, max(0, end - rung), _WIDTH * starts // whole, max(1, billed - 1)
    )
