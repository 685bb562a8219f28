"""Many events of one kind, read as their kind declares, by column: checked and rated at once.

`read` takes records' bytes and gives the columns of those that are sure to be well; all others are
left to `rater.decode`, one by one. It takes nothing that `decode` refuses. `rater.event_rows` reads
one event by the same declarations.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json
from xxhash import xxh3_64_intdigest

from rater import numbers
from rater.area_codes import STATE_OF_AREA_CODE
from rater.codes import Codes, Indexes, Keys, codes_of, pair
from rater.event_rows import SEPARATOR, usage_of
from rater.instants import NEVER, Instants, instants_as_text, parse_instants
from rater.kinds.checks import Sure
from rater.kinds.event import Event
from rater.kinds.kind import Derived, Kind, LinesBy, Read
from rater.names_once import is_object_with_names_once
from rater.usage import RowFacts, Usage

MAX_RECORD_BYTES = 1_048_576
FEW = 64  # records of which some can't be read by column: each by itself
_BAD_ROWS_DROPPED = 2  # by what the reader says of them, before all are looked at


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events of one kind, each of one record: their fields by column, by the struct's names."""

    kind: Kind
    raws: Sequence[bytes]
    values: Mapping[str, pa.Array]  # text, integers, yes or no; null where absent
    instants: Mapping[str, Instants]

    def __len__(self) -> int:
        return len(self.raws)

    def take(self, indexes: Indexes) -> "EventColumns":
        """Some of the events."""
        taken = pa.array(indexes)
        return EventColumns(
            self.kind,
            [self.raws[index] for index in indexes.tolist()],
            {name: column.take(taken) for name, column in self.values.items()},
            {name: column[indexes] for name, column in self.instants.items()},
        )

    def without(self, indexes: Indexes) -> "EventColumns":
        """All events but some."""
        return self.take(np.delete(np.arange(len(self.raws)), indexes))

    def event(self, index: int) -> Event:
        """One of them, as a struct."""
        return self.kind.decode(self.raws[index])


# Reading


class _Field(NamedTuple):
    """What one field may be, as its annotation says it to both readers."""

    name: str
    encoded: str
    type: pa.DataType
    is_instant: bool
    default: Any  # None: absent stays absent
    is_required: bool
    may_be_null: bool
    words: tuple[str, ...]
    length: tuple[int, int | None]
    bounds: tuple[Any, Any]  # integers, or None


def read(
    kind: Kind, raws: Sequence[bytes | None], latest_us: Instants
) -> tuple[EventColumns | None, Indexes]:
    """The columns of records that are sure to be well, and which of the records these are.

    `latest_us` is the last instant that each may tell of.
    """
    rows, present = _candidates(raws)
    table, which = _table(kind, present) if present else (None, rows[:0])
    if table is None:
        return None, rows[:0]
    if len(which) < len(present):
        rows, present = rows[which], [present[index] for index in which.tolist()]
    columns, sure = _columns(kind, table, present)
    sure &= _in_time(columns, latest_us[rows])
    for rule in kind.checks:
        sure &= rule.column(columns)
    if not sure.all():
        well = np.flatnonzero(sure)
        columns, rows = columns.take(well), rows[well]
    return (columns, rows) if len(rows) else (None, rows)


def _candidates(raws: Sequence[bytes | None]) -> tuple[Indexes, list[bytes]]:
    """Records that look like one JSON object of text, by their index.

    Each begins and ends with a brace: so no two, one after the other, can be read as one object,
    and where there are as many objects as records, each record is one.
    """
    present = [raw or b"" for raw in raws]
    good = _are_objects(present)
    if not good.all():
        present = [raw.removeprefix(BOM_UTF8).strip(_JSON_SPACE) for raw in present]
        good = _are_objects(present)
    rows = np.flatnonzero(good)
    if len(rows) < len(present):
        present = [present[row] for row in rows.tolist()]
    return rows, present


_BEGIN, _END = b"{}"
_JSON_SPACE = b" \t\r\n"


def _are_objects(raws: Sequence[bytes]) -> Sure:
    """Which are text between braces, and not too long."""
    lengths = np.fromiter(map(len, raws), np.int64, len(raws))
    joined = b"".join(raws) + b" "  # what has no bytes has a place all the same
    ends = np.cumsum(lengths)
    characters = np.frombuffer(joined, np.uint8)
    good = (lengths >= len("{}")) & (lengths <= MAX_RECORD_BYTES)
    good &= (characters[ends - lengths] == _BEGIN) & (characters[ends - 1] == _END)
    if not _is_text(joined):
        good &= np.fromiter(map(_is_text, raws), np.bool_, len(raws))
    return good


def _is_text(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _table(kind: Kind, raws: list[bytes]) -> tuple[pa.Table | None, Indexes]:
    """What JSON says of a kind's fields, a row a record; and which of the records could be read."""
    rows = np.arange(len(raws))
    for _ in range(_BAD_ROWS_DROPPED + 1):
        some = raws if len(rows) == len(raws) else [raws[index] for index in rows.tolist()]
        table, why = _read_json(kind, some, unknown="error")
        if table is not None:
            return table, rows
        bad = _ROW.search(why)
        if bad is None or int(bad[1]) >= len(rows):
            break
        rows = np.delete(rows, int(bad[1]))
    if "unexpected field" not in why:
        rows = np.array([row for row in rows.tolist() if _decodes(kind, raws[row])], np.int64)
        table, why = _read_json(kind, [raws[row] for row in rows.tolist()], unknown="error")
        if table is not None:
            return table, rows
    # Fields that are none of the kind's are no mistake. Arrow does not look into them, so that no
    # name stands twice is seen here.
    rows = np.array(
        [row for row in rows.tolist() if is_object_with_names_once(raws[row])], np.int64
    )
    table, why = _read_json(kind, [raws[row] for row in rows.tolist()], unknown="ignore")
    if table is None:
        rows = np.array([row for row in rows.tolist() if _decodes(kind, raws[row])], np.int64)
        table, why = _read_json(kind, [raws[row] for row in rows.tolist()], unknown="ignore")
    if table is not None or len(rows) <= FEW:
        return table, rows
    half = len(rows) // 2
    tables, taken = [], []
    for part in (rows[:half], rows[half:]):
        table, which = _table(kind, [raws[row] for row in part.tolist()])
        if table is not None:
            tables.append(table)
            taken.append(part[which])
    if not tables:
        return None, rows[:0]
    return pa.concat_tables(tables), np.concatenate(taken)


_ROW = re.compile(r" in row (\d+)")
_READ = arrow_json.ReadOptions(use_threads=False, block_size=1 << 30)


def _read_json(kind: Kind, raws: Sequence[bytes], *, unknown: str) -> tuple[pa.Table | None, str]:
    if not raws:
        return None, ""
    try:
        table = arrow_json.read_json(
            pa.BufferReader(b"\n".join(raws)),
            read_options=_READ,
            parse_options=_options(kind, unknown),
        )
    except pa.ArrowInvalid as error:
        return None, str(error)
    return (table, "") if len(table) == len(raws) else (None, "more objects than records")


def _decodes(kind: Kind, raw: bytes) -> bool:
    try:
        kind.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


@cache
def _options(kind: Kind, unknown: str) -> arrow_json.ParseOptions:
    fields = [(field.encoded, field.type) for field in _fields(kind)]
    return arrow_json.ParseOptions(pa.schema(fields), unexpected_field_behavior=unknown)


@cache
def _fields(kind: Kind) -> tuple[_Field, ...]:
    return tuple(_field(kind, name) for name in kind.fields)


def _field(kind: Kind, name: str) -> _Field:
    field = kind.fields[name]
    may_be_null, hint, meta = _unwrapped(field.type)
    words = get_args(hint) if get_origin(hint) is Literal else ()
    is_instant = name in kind.instants
    kept = pa.string()
    if not is_instant and not words:
        kept = {int: pa.int64(), bool: pa.bool_(), str: pa.string()}[hint]
    return _Field(
        name,
        field.encode_name,
        kept,
        is_instant,
        None if field.required else field.default,
        field.required,
        may_be_null,
        tuple(words),
        (meta.min_length or 0, meta.max_length),
        (meta.ge, meta.le),
    )


def _unwrapped(hint: Any) -> tuple[bool, Any, msgspec.Meta]:
    """Whether an annotation takes null, and its type and bounds without that."""
    may_be_null, meta = False, msgspec.Meta()
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        may_be_null = len(parts) < len(get_args(hint))
        (hint,) = parts
    if get_origin(hint) is Annotated:
        hint, meta = get_args(hint)[:2]
    return may_be_null, hint, meta


def _columns(kind: Kind, table: pa.Table, raws: Sequence[bytes]) -> tuple[EventColumns, Sure]:
    """The fields by column, and of which events each field is sure to be well."""
    values: dict[str, pa.Array] = {}
    instants: dict[str, Instants] = {}
    sure = np.ones(len(raws), np.bool_)
    in_doubt = np.zeros(len(raws), np.bool_)  # absent or null: one of both is refused
    for field in _fields(kind):
        column = table[field.encoded].combine_chunks()
        if column.null_count and not field.may_be_null:
            absent = column.is_null().to_numpy(zero_copy_only=False)
            if field.is_required:
                sure &= ~absent
            else:
                in_doubt |= absent
        if field.is_instant:
            instants[field.name], well = parse_instants(column)
            sure &= well
            continue
        if (all_well := _are_well(field, column)) is not None:
            sure &= all_well
        if field.default is not None and column.null_count:
            column = column.fill_null(field.default)
        values[field.name] = column
    if in_doubt.any():
        names = {f.encoded for f in _fields(kind) if not f.is_required and not f.may_be_null}
        for index in np.flatnonzero(in_doubt).tolist():
            if b"null" in raws[index] and _has_null(raws[index], names):
                sure[index] = False
    return EventColumns(kind, raws, values, instants), sure


def _has_null(raw: bytes, names: set[str]) -> bool:
    decoded = msgspec.json.decode(raw)
    return any(name in decoded and decoded[name] is None for name in names)


def _are_well(field: _Field, column: pa.Array) -> Sure | None:
    """Which values the field's annotation takes; None where all of them. A null is well here."""
    if field.words:
        codes, distinct = codes_of(column)
        known = [word is None or word in field.words for word in distinct.to_pylist()]
        return None if all(known) else np.array(known)[codes]
    if pa.types.is_string(column.type):
        least, most = field.length
        if not least and most is None:
            return None
        lengths = pc.utf8_length(column).fill_null(least)
        return _are_within(lengths.to_numpy(), least, most)
    least, most = field.bounds
    if least is None and most is None:
        return None
    return _are_within(column.fill_null(most if least is None else least).to_numpy(), least, most)


def _are_within(values: Codes, least: int | None, most: int | None) -> Sure:
    well = np.ones(len(values), np.bool_)
    if least is not None:
        well &= values >= least
    if most is not None:
        well &= values <= most
    return well


def _in_time(columns: EventColumns, latest_us: Instants) -> Sure:
    """Which events tell of nothing before 1970 and of nothing after `latest_us`."""
    sure = np.ones(len(columns), np.bool_)
    for at_us in columns.instants.values():
        sure &= (at_us == NEVER) | ((at_us >= 0) & (at_us <= latest_us))
    return sure


# What is declared of them


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
    preferred: npt.NDArray[np.bool_]  # counts before others of its identity
    states: Codes  # of both parties together: what `states_of` knows
    pricing_key: Keys  # equal where usages of one account are priced alike

    def __len__(self) -> int:
        return len(self.account_ids)

    def without_events(self) -> "UsageColumns":
        """The same without what was only read to make it: a batch that waits is smaller."""
        return replace(self, events=EventColumns(self.events.kind, (), {}, {}))

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
    told = [read.field for read in usage.match.values() if isinstance(read, Read)]
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
    preferred = np.zeros(count, np.bool_)
    if usage.prefer:
        preferred = _is_there(columns, usage.prefer)
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
        preferred,
        states,
        key,
    )


def _is_there(columns: EventColumns, name: str) -> npt.NDArray[np.bool_]:
    if name in columns.instants:
        there: npt.NDArray[np.bool_] = columns.instants[name] != NEVER
        return there
    return np.asarray(columns.values[name].is_valid().to_numpy(zero_copy_only=False), np.bool_)


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
    usage = kind.usage
    match = usage.match if usage else {}
    through = {read.field: read for read in match.values() if isinstance(read, Read)}
    parts = []
    for name in kind.content:
        if usage and usage.quantity and name == usage.quantity.field:
            parts.append(pc.cast(pa.array(quantity), pa.string()))
        elif name in through:
            parts.append(_answers(columns.values[name], through[name]))
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
