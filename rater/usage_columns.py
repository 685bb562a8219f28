"""The usages of many events by column: what `rater.event_rows` says of each, by the same words.

Which usages are priced alike is told by a list of what is matched on; nothing else tells any apart.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest

from rater import numbers
from rater.area_codes import STATE_OF_AREA_CODE
from rater.codes import Codes, Indexes, Keys, codes_of, pair
from rater.event_columns import EventColumns
from rater.event_rows import SEPARATOR, usage_of
from rater.instants import NEVER, Instants, instants_as_text
from rater.kinds.kind import Derived, LinesBy, Prefer, Read
from rater.usage import RowFacts, Usage


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """The usages of events, by column, in their order; text that is absent is ""."""

    events: EventColumns
    ids: pa.StringArray
    account_ids: pa.StringArray
    revisions: npt.NDArray[np.int64]
    identities: pa.StringArray
    facts: RowFacts  # a column for each
    number: pa.StringArray  # whose prefix picks the rate
    at_us: Instants
    answered_us: Instants
    ended_us: Instants
    dialed: npt.NDArray[np.bool_]
    quantity: npt.NDArray[np.int64]
    ranks: npt.NDArray[np.int64]  # how far along: of an identity the furthest is charged
    states: Codes  # of both parties together: what `states_of` knows
    pricing_key: Keys  # equal where usages of one account are priced alike

    def __len__(self) -> int:
        return len(self.account_ids)

    def without_events(self) -> "UsageColumns":
        """The same without what was only read to make it: a batch that waits is smaller."""
        return replace(self, events=EventColumns(self.events.kind, (), {}, {}, {}))

    def usage(self, index: int) -> Usage:
        """The usage of one of the events."""
        usage = usage_of(self.events.event(index))
        assert usage is not None, "events with a lifecycle have no usage"
        return usage


STATES = ("", *sorted(set(STATE_OF_AREA_CODE.values())))


def states_of(code: int) -> tuple[str, str]:
    """The US states of a usage's origin and its termination."""
    origin, termination = divmod(code, len(STATES))
    return STATES[origin], STATES[termination]


def usage_columns(columns: EventColumns) -> UsageColumns:
    """What `usage_of` says of each event, of a kind that is priced by event."""
    usage = columns.kind.usage
    assert usage is not None, "a kind with a lifecycle is read row by row"
    count = len(columns)
    no_text = pa.repeat("", count)
    no_time = np.full(count, NEVER)
    key = np.zeros(count, np.int64)
    told = list(columns.kind.reads)
    if isinstance(usage.lines, LinesBy):
        told.append(usage.lines.field)
    if usage.status:
        told.append(usage.status)
    for name in dict.fromkeys(told):
        key = pair(key, codes_of(columns.values[name])[0])
    states = np.zeros(count, np.int64)
    if usage.parties is not None:
        origin_forms, origins = _faces(columns.values[usage.parties[0]])
        termination_forms, terminations = _faces(columns.values[usage.parties[1]])
        states = origins * len(STATES) + terminations
        key = pair(key, origin_forms * len(numbers.FORMS) + termination_forms)
    answered_us = columns.instants[usage.answered] if usage.answered else no_time
    if usage.answered:
        key = pair(key, (answered_us == NEVER).astype(np.int64))
    at_us = columns.instants[usage.start]
    dialed = at_us != NEVER
    if not dialed.all():
        at_us = np.where(dialed, at_us, columns.instants[usage.refused_at])
        key = pair(key, dialed.astype(np.int64))
    kept = {name: columns.values[name].fill_null("") for name in columns.kind.kept}
    kept |= {one.field: _derived(columns, one).fill_null("") for one in usage.derived}
    return UsageColumns(
        columns,
        columns.values["id"],
        columns.values["account_id"],
        columns.values["revision"].to_numpy(),
        columns.values[usage.charged_once_per],
        RowFacts(**{name: kept.get(name, no_text) for name in RowFacts._fields}),
        columns.values[usage.prefix_of] if usage.prefix_of else no_text,
        at_us,
        answered_us,
        columns.instants[usage.ended] if usage.ended else no_time,
        dialed,
        _quantities(columns, usage.quantity),
        _ranks(columns, usage.prefer),
        states,
        key,
    )


def _ranks(columns: EventColumns, prefer: Prefer | None) -> npt.NDArray[np.int64]:
    """`rater.event_rows.rank_of` each event."""
    if prefer is None:
        return np.zeros(len(columns), np.int64)
    if prefer.field in columns.instants:
        there = columns.instants[prefer.field] != NEVER
        return np.where(there, prefer.rank(0), prefer.rank(None))
    codes, distinct = codes_of(columns.values[prefer.field])
    return np.array([prefer.rank(value) for value in distinct.to_pylist()], np.int64)[codes]


def _quantities(columns: EventColumns, quantity: Derived | None) -> npt.NDArray[np.int64]:
    if quantity is None:
        return np.ones(len(columns), np.int64)
    counts: npt.NDArray[np.int64] = _derived(columns, quantity).fill_null(1).to_numpy()
    return counts


def _derived(columns: EventColumns, derived: Derived) -> pa.Array:
    """`rater.event_rows.derived_of` each event."""
    given = columns.values[derived.field]
    if not given.null_count or derived.make is None:
        return given
    to_make = given.is_null()
    for name in derived.of:
        to_make = pc.and_(to_make, columns.values[name].is_valid())
    if not to_make.true_count:
        return given
    of = [columns.values[name].filter(to_make).to_pylist() for name in derived.of]
    made = pa.array(list(map(derived.make, *of)), given.type)
    return pc.replace_with_mask(given, to_make, made)


def content_hashes(
    columns: EventColumns, quantity: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """`rater.event_rows.content_hash` of each event."""
    kind = columns.kind
    parts = []
    for name in kind.content:
        if kind.quantity is not None and name == kind.quantity.field:
            parts.append(pc.cast(pa.array(quantity), pa.string()))
        elif name in kind.reads:
            parts.append(_answers(columns.values[name], kind.reads[name]))
        elif name in columns.instants:
            parts.append(instants_as_text(columns.instants[name]))
        else:
            parts.append(_texts(columns.values[name]))
    joined = pc.binary_join_element_wise(*parts, SEPARATOR).cast(pa.binary())
    values = joined.to_numpy(zero_copy_only=False)  # bytes of each: sooner than by slices
    return np.fromiter(map(xxh3_64_intdigest, values), np.uint64, len(values))


def _answers(column: pa.Array, read: Read) -> pa.StringArray:
    """What the events answer to a dimension, "" where nothing."""
    codes, distinct = codes_of(column)
    values = distinct.to_pylist()
    if read.through is not None:
        values = [read.through(value) for value in values]
    return pa.array([value or "" for value in values], pa.string()).take(pa.array(codes))


def _texts(column: pa.Array) -> pa.StringArray:
    return pc.cast(column, pa.string()).fill_null("")


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


def _area_codes(parties: pa.StringArray) -> tuple[Indexes, Codes]:
    """Which parties are +1 and ten digits, and the first three of these as an integer."""
    _, offsets, data = parties.buffers()
    ends = np.frombuffer(offsets, np.int32)[parties.offset :][: len(parties) + 1]
    twelve = np.flatnonzero(np.diff(ends) == len("+14155550100"))
    starts = ends[twelve].astype(np.int64)
    heads = np.frombuffer(data or b"", np.uint8)[starts[:, None] + np.arange(len("+1415"))]
    is_american = (heads[:, 0] == ord("+")) & (heads[:, 1] == ord("1"))
    digits = heads[is_american, 2:].astype(np.int64) - ord("0")
    areas: Codes = digits @ np.array([100, 10, 1])
    return twelve[is_american], areas
