"""What events of one kind have, by column: so that many are checked and rated at once.

Of the kinds that are priced by event. An event's struct says the same of it alone
(`rater.events`): its `check`, `span`, `usage`, `identity`, `parties` and `content`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import repeat
from operator import attrgetter, is_, is_not, sub
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rater import numbers
from rater.events import EPOCH, MAX_CALL, TEXT_CONTENT, Call, Dial, Event, Kind, Text, Usage

Instants = npt.NDArray[np.int64]  # microseconds since the epoch
NEVER = np.iinfo(np.int64).min  # in place of an instant that an event does not have
MAX_CALL_US = MAX_CALL // timedelta(microseconds=1)

# Where usages differ though they are priced alike: their names, numbers and quantities. A field
# that is not here tells usages apart, and so do the forms of their parties' numbers.
INDIVIDUAL = frozenset(
    {
        "kind", "id", "account_id", "revision", "from_", "to", "dialed_at", "answered_at",
        "ended_at", "sent_at", "group_id", "campaign_id", "call_id", "recorded", "verdict",
        "segments", "body",
    }
)  # fmt: skip

_PARTIES = re.compile(rf"(?:(?:{numbers.PARTY_FORMS})\n)*").fullmatch


class Facts(NamedTuple):
    """Columns of the same events, in their order; text that is absent is ""."""

    events: Sequence[Event]
    ids: Sequence[str]
    account_ids: Sequence[str]
    revisions: Sequence[int]
    identities: Sequence[str]
    from_: Sequence[str]
    to: Sequence[str]
    group_ids: Sequence[str]
    campaign_ids: Sequence[str]
    call_ids: Sequence[str]
    at_us: Instants
    answered_us: Instants
    ended_us: Instants
    dialed: npt.NDArray[np.bool_]
    segments: Sequence[int]
    states: Sequence[tuple[str, str]]  # of both parties
    alike: Sequence[tuple[object, ...]]  # equal where usages of one account are priced alike
    contents: Iterable[object]  # what `Event.content` encodes


def facts_of(kind: Kind, events: Sequence[Event]) -> Facts:
    """The facts of one event at least, of a kind that isn't monthly. Raises on none."""
    names, get = _fields(kind)
    column: dict[str, Sequence[Any]] = dict(
        zip(names, zip(*map(get, events), strict=True), strict=True)
    )
    count = len(events)
    no_text: Sequence[str] = [""] * count
    no_time = np.full(count, NEVER)
    alike: list[Iterable[object]] = [column[name] for name in names if name not in INDIVIDUAL]

    from_, to, states = no_text, no_text, [("", "")] * count
    if has_parties(kind):
        from_, to = column["from_"], column["to"]
        from_forms, origins = zip(*numbers.faces(from_), strict=True)
        to_forms, terminations = zip(*numbers.faces(to), strict=True)
        states = list(zip(origins, terminations, strict=True))
        alike += [from_forms, to_forms]

    answered_us = ended_us = no_time
    if "answered_at" in column:
        answered_us = _instants(column["answered_at"])
        alike.append(map(is_, column["answered_at"], repeat(None)))
    if "ended_at" in column:
        ended_us = _instants(column["ended_at"])
    at = column["dialed_at"] if "dialed_at" in column else column["sent_at"]
    at_us = _instants(at)
    dialed = at_us != NEVER
    if not dialed.all():
        at_us = np.where(dialed, at_us, ended_us)
        alike.append(map(is_, at, repeat(None)))

    segments: Sequence[int] = [1] * count
    if "segments" in column:
        segments = column["segments"]
        if None in segments:
            segments = [event.segment_count() for event in events if isinstance(event, Text)]
    contents: Iterable[object] = events
    if kind.struct is Text:
        contents = zip(*map(column.__getitem__, TEXT_CONTENT), segments, strict=True)
    return Facts(
        events,
        column["id"],
        column["account_id"],
        column["revision"],
        _identities(kind, column, events),
        from_,
        to,
        _texts(column.get("group_id"), no_text),
        _texts(column.get("campaign_id"), no_text),
        _texts(column.get("call_id"), no_text),
        at_us,
        answered_us,
        ended_us,
        dialed,
        segments,
        states,
        list(zip(*alike, strict=True)),
        contents,
    )


def are_well(kind: Kind, facts: Facts, latest_us: Instants) -> bool:
    """Whether no event's times or parties are refused by its `check`, nor by its span.

    `latest_us` is what each event's last instant may be.
    """
    at_us, answered_us, ended_us = facts.at_us, facts.answered_us, facts.ended_us
    is_answered, is_ended = answered_us != NEVER, ended_us != NEVER
    until_us = np.where(is_ended, ended_us, np.where(is_answered, answered_us, at_us))
    answered_us = np.where(is_answered, answered_us, at_us)
    return bool(
        (at_us >= 0).all()
        and (until_us <= latest_us).all()
        and (until_us - at_us <= MAX_CALL_US).all()
        and ((at_us <= answered_us) & (answered_us <= until_us)).all()
        and facts.dialed[is_answered].all()
        and (not has_parties(kind) or (_are_parties(facts.from_) and _are_parties(facts.to)))
    )


def usage_of(facts: Facts, number: int) -> Usage:
    """The usage of one of the events."""
    usage = facts.events[number].usage()
    assert usage is not None, "events of a monthly kind have no facts"
    return usage


def has_parties(kind: Kind) -> bool:
    return issubclass(kind.struct, Call | Dial | Text)


def _are_parties(parties: Sequence[str]) -> bool:
    """One look at all of them: each ends with a line break, and none has one inside."""
    lines = "\n".join(parties) + "\n"
    return lines.count("\n") == len(parties) and _PARTIES(lines) is not None


@cache
def _fields(kind: Kind) -> tuple[tuple[str, ...], Callable[[Event], tuple[Any, ...]]]:
    names = tuple(
        field.name for field in msgspec.structs.fields(kind.struct) if field.name != "body"
    )
    return names, attrgetter(*names)


def _instants(times: Sequence[datetime | None]) -> Instants:
    given = times
    if absent := None in times:
        given = [EPOCH if time is None else time for time in times]
    since = pa.array(list(map(sub, given, repeat(EPOCH))), pa.duration("us"))
    instants: Instants = since.view(pa.int64()).to_numpy()
    if absent:
        are_given = np.fromiter(map(is_not, times, repeat(None)), np.bool_, len(times))
        return np.where(are_given, instants, NEVER)
    return instants


def _texts(values: Sequence[str | None] | None, no_text: Sequence[str]) -> Sequence[str]:
    if values is None:
        return no_text
    return [value or "" for value in values]


def _identities(
    kind: Kind, column: dict[str, Sequence[Any]], events: Sequence[Event]
) -> Sequence[str]:
    if kind.struct.identity is Event.identity:
        return column["id"]
    return [event.identity() for event in events]
