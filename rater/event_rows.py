"""One event, read as its kind declares: its usage or state, whose it is, what it must agree in.

`rater.event_columns` reads many at once by the same declarations.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from xxhash import xxh3_64_intdigest

from rater import numbers
from rater.instants import EPOCH, Instant, to_us
from rater.kinds import kind_of
from rater.kinds.checks import bad_time
from rater.kinds.event import Event, encode_event
from rater.kinds.kind import Always, Derived, LinesBy, Read
from rater.reject import Reject
from rater.usage import DIMENSIONS, NO_DIMS, Dims, RowFacts, State, Usage, dims_of

# Between the parts of what an event must agree in.
SEPARATOR = "\x1f"


def check(event: Event) -> Reject | None:
    """Why an event that could be decoded is refused all the same, or None."""
    kind = kind_of(event)
    for rule in kind.checks:
        if (reject := rule.row(event)) is not None:
            return reject
    first, _ = span(event)
    if first < EPOCH:
        return bad_time(f"{first} is before 1970: check the producer's clock")
    return None


def span(event: Event) -> tuple[Instant, Instant]:
    """The first and the last instant that the event tells of."""
    there = [at for name in kind_of(event).instants if (at := getattr(event, name)) is not None]
    return min(there), max(there)


def usage_of(event: Event) -> Usage | None:
    """What is priced of an event; None for a kind whose charges are made by the month."""
    kind = kind_of(event)
    usage = kind.usage
    if usage is None:
        return None
    at = getattr(event, usage.start)
    dialed = at is not None
    answered_us = _us(event, usage.answered)
    status = usage.status_by_answer[answered_us is None]
    dims = _dims(event, usage.match)
    origin = termination = ""
    if usage.parties is not None:
        from_form, origin = numbers.face(getattr(event, usage.parties[0]))
        to_form, termination = numbers.face(getattr(event, usage.parties[1]))
        dims = (*dims[:_FROM], from_form, to_form, *dims[_TO + 1 :])
    return Usage(
        lines=_lines(event, usage.lines),
        dims=dims,
        number=getattr(event, usage.prefix_of) if usage.prefix_of else "",
        at_us=to_us(at if dialed else getattr(event, usage.refused_at)),
        status=getattr(event, usage.status) if usage.status else status,
        answered_us=answered_us,
        ended_us=_us(event, usage.ended),
        segments=quantity_of(event, usage.quantity),
        dialed=dialed,
        origin=origin,
        termination=termination,
    )


_FROM, _TO = DIMENSIONS.index("from"), DIMENSIONS.index("to")


def _us(event: Event, name: str) -> int | None:
    at = getattr(event, name) if name else None
    return None if at is None else to_us(at)


def _lines(event: Event, lines: tuple[str, ...] | LinesBy) -> tuple[str, ...]:
    return lines.lines[getattr(event, lines.field)] if isinstance(lines, LinesBy) else lines


def _dims(event: Event, match: Mapping[str, Read | Always]) -> Dims:
    if not match:
        return NO_DIMS
    answers = {name: answer_of(event, read) for name, read in match.items()}
    return dims_of(answers)


def answer_of(event: Event, read: Read | Always) -> str | None:
    """What an event answers to a dimension."""
    if isinstance(read, Always):
        return read.answer
    value = getattr(event, read.field)
    return read.through(value) if read.through is not None else value


def quantity_of(event: Event, quantity: Derived | None) -> int:
    """How many of the unit the event is: 1 where the kind counts nothing, or says nothing."""
    return 1 if quantity is None else derived_of(event, quantity) or 1


def derived_of(event: Event, derived: Derived) -> Any:
    """A field's value, or what is made of others where it is absent and they are there."""
    given = getattr(event, derived.field)
    if given is not None or derived.make is None:
        return given
    of = [getattr(event, name) for name in derived.of]
    return None if None in of else derived.make(*of)


def state_of(event: Event) -> State | None:
    """What an event tells of an asset; None for a kind that is priced by event."""
    life = kind_of(event).lifecycle
    if life is None:
        return None
    from_us = to_us(getattr(event, life.start))
    asset = getattr(event, life.billed_as)
    return State(
        line=life.line,
        thing=f"{asset}@{from_us}" if life.one_a_start else asset,
        billed_as=asset,
        from_us=from_us,
        until_us=_us(event, life.end),
        seconds=getattr(event, life.seconds) if life.seconds else 0,
        number=getattr(event, life.number) if life.number else "",
        dims=_dims(event, life.match),
        call_id=getattr(event, "call_id", None) or "",
        name=getattr(event, life.name) if life.name else "",
        detection=getattr(event, life.detection) if life.detection else None,
        user_id=event.user_id or "",
        team=event.team or "",
    )


def identity_of(event: Event) -> str:
    """What may be charged once: the event itself, unless its kind says otherwise."""
    usage = kind_of(event).usage
    identity: str = getattr(event, usage.charged_once_per) if usage else event.id
    return identity


def rank_of(event: Event) -> int:
    """How far along it is: of the events of an identity the furthest is charged."""
    usage = kind_of(event).usage
    if usage is None or usage.prefer is None:
        return 0
    return usage.prefer.rank(getattr(event, usage.prefer.field))


def facts_of(event: Event) -> RowFacts:
    """What the ledger's row keeps of the event as it is."""
    kind = kind_of(event)
    facts = {name: getattr(event, name) or "" for name in kind.kept}
    for derived in kind.usage.derived if kind.usage else ():
        facts[derived.field] = derived_of(event, derived) or ""
    return RowFacts(**facts)


def content_hash(event: Event) -> int:
    """A hash of what two events with one id must agree in.

    Of the facts, however they are spelled: an instant in another offset, a carrier in other
    letters, a default that is left out are the same. Source: docs/rules.md, Corrections.
    """
    kind = kind_of(event)
    parts = []
    for name in kind.content:
        if kind.quantity is not None and name == kind.quantity.field:
            parts.append(str(quantity_of(event, kind.quantity)))
        elif name in kind.reads:
            parts.append(answer_of(event, kind.reads[name]) or "")
        else:
            parts.append(_as_text(getattr(event, name)))
    return xxh3_64_intdigest(SEPARATOR.join(parts).encode())


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Instant):
        return str(to_us(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encode_kept(event: Event) -> bytes:
    """The event as JSON without what is never stored, such as a text's body: it is looked at here,
    and what was made of it is said."""
    usage = kind_of(event).usage
    if usage is not None and any(getattr(event, name) is not None for name in usage.never_stored):
        made = {one.field: derived_of(event, one) for one in usage.all_derived()}
        event = replace(event, **made, **dict.fromkeys(usage.never_stored))
    return encode_event(event)
