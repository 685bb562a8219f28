"""What events of one kind have, by column: so that many are checked and rated at once.

Of the kinds that are priced by event. An event's struct says the same of it alone
(`rater.events`): its `check`, `span`, `usage`, `identity`, `parties` and `content`. The columns are
read from the records' bytes a second time, by Arrow, which leaves the interpreter to others.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from rater import numbers
from rater.area_codes import STATE_OF_AREA_CODE
from rater.codes import Codes, Keys, Numbers, codes_of, pair
from rater.events import (
    MAX_CALL,
    TEXT_CONTENT,
    Call,
    Dial,
    Event,
    Kind,
    Text,
    Usage,
    encode_content,
)

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

STATES = ("", *sorted(set(STATE_OF_AREA_CODE.values())))


class Facts(NamedTuple):
    """Columns of the same events, in their order; text that is absent is ""."""

    events: Sequence[Event]
    ids: pa.StringArray
    account_ids: pa.StringArray
    revisions: npt.NDArray[np.int64]
    identities: pa.StringArray
    from_: pa.StringArray
    to: pa.StringArray
    group_ids: pa.StringArray
    campaign_ids: pa.StringArray
    call_ids: pa.StringArray
    at_us: Instants
    answered_us: Instants
    ended_us: Instants
    dialed: npt.NDArray[np.bool_]
    segments: npt.NDArray[np.int64]
    states: Codes  # of both parties together: what `states_of` knows
    alike: Keys  # equal where usages of one account are priced alike
    contents: Iterable[object]  # what `Event.content` encodes


def states_of(code: int) -> tuple[str, str]:
    """The US states of a usage's origin and its termination."""
    origin, termination = divmod(code, len(STATES))
    return STATES[origin], STATES[termination]


# Reading


_TYPES = {int: pa.int64(), bool: pa.bool_(), datetime: pa.timestamp("us", "UTC")}
_READ = arrow_json.ReadOptions(use_threads=False, block_size=1 << 30)


def read(kind: Kind, raws: Sequence[bytes]) -> pa.Table | None:
    """The fields of JSON that `Kind.decode` took, each of one event; None where in doubt.

    In doubt is what has a name twice, a name that is none of the kind's, a party that is none, or a
    value that is written as events seldom are (an instant of seven decimals).
    """
    try:
        table = arrow_json.read_json(
            pa.BufferReader(b"\n".join(raws)), read_options=_READ, parse_options=_options(kind)
        )
    except pa.ArrowInvalid:
        return None
    if has_parties(kind) and not (_are_parties(table["from"]) and _are_parties(table["to"])):
        return None
    return table if len(table) == len(raws) else None


@cache
def _options(kind: Kind) -> arrow_json.ParseOptions:
    fields = [
        (field.encode_name, _type(field.type)) for field in msgspec.structs.fields(kind.struct)
    ]
    return arrow_json.ParseOptions(pa.schema(fields), unexpected_field_behavior="error")


def _type(hint: Any) -> pa.DataType:
    """How a field's values are kept; text, where its annotation allows no other type."""
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return next(
            (kept for part in get_args(hint) if (kept := _type(part)) != pa.string()), pa.string()
        )
    return _TYPES.get(hint, pa.string())


def facts_of(kind: Kind, events: Sequence[Event], table: pa.Table | None = None) -> Facts:
    """The facts of one event at least, of a kind that isn't monthly. Raises on none.

    `table` is what was read of the same events, where it was.
    """
    if table is None:
        table = read(kind, list(map(encode_content, events)))
        assert table is not None, "an event that was encoded is well"
    column = _columns(kind, table)
    count = len(events)
    no_text = pa.repeat("", count)
    no_time = np.full(count, NEVER)
    alike = np.zeros(count, np.int64)
    for name in column:
        if name not in INDIVIDUAL:
            alike = pair(alike, codes_of(column[name])[0])

    from_, to, states = no_text, no_text, alike * 0
    if has_parties(kind):
        from_, to = column["from_"], column["to"]
        from_forms, origins = _faces(from_)
        to_forms, terminations = _faces(to)
        states = origins * len(STATES) + terminations
        alike = pair(alike, from_forms * len(numbers.FORMS) + to_forms)

    answered_us = ended_us = no_time
    if "answered_at" in column:
        answered_us = _instants(column["answered_at"])
        alike = pair(alike, (answered_us == NEVER).astype(np.int64))
    if "ended_at" in column:
        ended_us = _instants(column["ended_at"])
    at_us = _instants(column["dialed_at"] if "dialed_at" in column else column["sent_at"])
    dialed = at_us != NEVER
    if not dialed.all():
        at_us = np.where(dialed, at_us, ended_us)
        alike = pair(alike, dialed.astype(np.int64))

    segments = np.ones(count, np.int64)
    contents: Iterable[object] = events
    if kind.struct is Text:
        given = column["segments"]
        segments = _segments(given, events)
        as_given = map(_text_content, events)
        contents = as_given
        if given.null_count:  # the content has what was counted
            counted = zip(as_given, segments.tolist(), strict=True)
            contents = ((*content[:-1], count) for content, count in counted)
    return Facts(
        events,
        column["id"],
        column["account_id"],
        column["revision"].to_numpy(),
        _identities(kind, column, events),
        from_,
        to,
        column.get("group_id", no_text),
        column.get("campaign_id", no_text),
        column.get("call_id", no_text),
        at_us,
        answered_us,
        ended_us,
        dialed,
        segments,
        states,
        alike,
        contents,
    )


_text_content = attrgetter(*TEXT_CONTENT, "segments")


def _columns(kind: Kind, table: pa.Table) -> dict[str, pa.Array]:
    """The columns by their names in the struct, each as one array; ids that are absent are ""."""
    columns = {}
    for name, encoded_name, default in _defaults(kind):
        column = table[encoded_name].combine_chunks()
        columns[name] = (
            column.fill_null(default) if column.null_count and default is not None else column
        )
    return columns


@cache
def _defaults(kind: Kind) -> list[tuple[str, str, Any]]:
    """The fields that are facts, by both their names, and what each is where it is absent."""
    return [
        (
            field.name,
            field.encode_name,
            "" if field.name.endswith("_id") else None if field.required else field.default,
        )
        for field in msgspec.structs.fields(kind.struct)
        if field.name not in ("kind", "body", "recorded", "verdict")
    ]


def are_in_time(facts: Facts, latest_us: Instants) -> bool:
    """Whether no event's times are refused by its `check`, nor by its span.

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
    )


def usage_of(facts: Facts, number: int) -> Usage:
    """The usage of one of the events."""
    usage = facts.events[number].usage()
    assert usage is not None, "events of a monthly kind have no facts"
    return usage


def has_parties(kind: Kind) -> bool:
    return issubclass(kind.struct, Call | Dial | Text)


def _are_parties(parties: pa.StringArray) -> bool:
    # Here `$` is the end of the text alone.
    common = pc.match_substring_regex(parties, numbers.COMMON_PATTERN)
    others = parties.filter(pc.invert(common)).unique().to_pylist()
    return all(map(numbers.is_party, others))


def _instants(times: pa.TimestampArray) -> Instants:
    instants: Instants = times.view(pa.int64()).fill_null(NEVER).to_numpy()
    return instants


def _segments(given: pa.Int64Array, events: Sequence[Event]) -> npt.NDArray[np.int64]:
    """The provider's count, or our own where it gives none (`Text.segment_count`)."""
    segments: npt.NDArray[np.int64] = given.fill_null(0).to_numpy()
    if given.null_count:
        segments = segments.copy()
        for number in np.flatnonzero(segments == 0).tolist():
            event = events[number]
            assert isinstance(event, Text)
            segments[number] = event.segment_count()
    return segments


def _identities(kind: Kind, column: dict[str, pa.Array], events: Sequence[Event]) -> pa.StringArray:
    if kind.struct.identity is Event.identity:
        return column["id"]
    return pa.array([event.identity() for event in events])


# The forms and states of numbers: `numbers.face` of each, as codes.


def _codes_of_face(party: str) -> tuple[int, int]:
    form, state = numbers.face(party)
    return numbers.FORMS.index(form), STATES.index(state)


# Of a North American number, by its area code.
_FORMS, _STATES = np.array([_codes_of_face(f"+1{code:03}5550100") for code in range(1000)]).T


def _faces(parties: pa.StringArray) -> tuple[Codes, Codes]:
    """The codes of each party's form and of its state."""
    american, areas = _area_codes(parties)
    forms, states = np.full((2, len(parties)), -1)
    forms[american], states[american] = _FORMS[areas], _STATES[areas]
    others = np.flatnonzero(forms < 0)
    if len(others):
        codes, distinct = codes_of(parties.take(pa.array(others)))
        faces = np.array(list(map(_codes_of_face, distinct.to_pylist())), np.int64)
        forms[others], states[others] = faces[codes].T
    return forms, states


def _area_codes(parties: pa.StringArray) -> tuple[Numbers, Numbers]:
    """Which parties are +1 and ten digits, and the first three of these as a number."""
    _, offsets, data = parties.buffers()
    ends = np.frombuffer(offsets, np.int32)[parties.offset :][: len(parties) + 1]
    twelve = np.flatnonzero(np.diff(ends) == len("+14155550100"))
    starts = ends[twelve].astype(np.int64)
    heads = np.frombuffer(data or b"", np.uint8)[starts[:, None] + np.arange(len("+1415"))]
    is_american = (heads[:, 0] == ord("+")) & (heads[:, 1] == ord("1"))
    digits = heads[is_american, 2:].astype(np.int64) - ord("0")
    areas: Numbers = digits @ np.array([100, 10, 1])
    return twelve[is_american], areas
