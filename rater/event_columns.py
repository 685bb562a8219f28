"""Many events of one kind, read as their kind declares, by column: checked and rated at once.

`read` takes records' bytes and gives the columns of those that are sure to be well; all others are
left to `rater.decode`, one by one. It takes nothing that `decode` refuses. What the columns say of
the events' usages is in `rater.usage_columns`.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from rater.codes import Codes, Indexes, codes_of
from rater.instants import NEVER, Instants, parse_instants
from rater.kinds.checks import Sure
from rater.kinds.event import Event
from rater.kinds.kind import Kind
from rater.names_once import object_with_names_once
from rater.unknown_fields import NONE, Unknown, unknown_in

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
    unknown: Mapping[bytes, Set[str]]  # fields that the kind has not, by the record's bytes

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
            self.unknown,
        )

    def without(self, indexes: Indexes) -> "EventColumns":
        """All events but some."""
        return self.take(np.delete(np.arange(len(self.raws)), indexes))

    def unknown_fields(self) -> Unknown:
        """The fields of all of them that the kind does not have."""
        if not self.unknown:
            return NONE
        return unknown_in([names for raw in self.raws if (names := self.unknown.get(raw))])

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
    rows, present, joined = _candidates(raws)
    unknown: dict[bytes, Set[str]] = {}
    table, which = _table(kind, present, unknown, joined) if present else (None, rows[:0])
    if table is None:
        return None, rows[:0]
    if len(which) < len(present):
        rows, present = rows[which], [present[index] for index in which.tolist()]
    columns, sure = _columns(kind, table, present, unknown, has_null=b"null" in joined)
    sure &= _in_time(columns, latest_us[rows])
    # Before the checks: they remember texts, whose lengths are bounded in what is left.
    columns, rows = _those_sure(columns, rows, sure)
    sure = np.ones(len(rows), np.bool_)
    for rule in kind.checks:
        sure &= rule.column(columns)
    columns, rows = _those_sure(columns, rows, sure)
    return (columns, rows) if len(rows) else (None, rows)


def _those_sure(columns: EventColumns, rows: Indexes, sure: Sure) -> tuple[EventColumns, Indexes]:
    if sure.all():
        return columns, rows
    well = np.flatnonzero(sure)
    return columns.take(well), rows[well]


def _candidates(raws: Sequence[bytes | None]) -> tuple[Indexes, list[bytes], bytes]:
    """Records that look like one JSON object of text, by their index; and these, a line each.

    Each begins and ends with a brace: so no two, one after the other, can be read as one object,
    and where there are as many objects as records, each record is one.
    """
    present = [raw or b"" for raw in raws]
    joined = b"\n".join(present)
    good = _are_objects(present, joined)
    if not good.all():
        present = [raw.removeprefix(BOM_UTF8).strip(_JSON_SPACE) for raw in present]
        good = _are_objects(present, b"\n".join(present))
        present = [present[row] for row in np.flatnonzero(good).tolist()]
        joined = b"\n".join(present)
    return np.flatnonzero(good), present, joined


_BEGIN, _END = b"{}"
_JSON_SPACE = b" \t\r\n"


def _are_objects(raws: Sequence[bytes], joined: bytes) -> Sure:
    """Which are text between braces, and not too long. `joined` is all of them, a line each."""
    lengths = np.fromiter(map(len, raws), np.int64, len(raws))
    ends = np.cumsum(lengths + 1) - 1
    good = (lengths >= len("{}")) & (lengths <= MAX_RECORD_BYTES)
    characters = np.frombuffer(joined, np.uint8)
    some = slice(None) if good.all() else np.flatnonzero(good)  # what has no bytes has no place
    first, last = characters[(ends - lengths)[some]], characters[ends[some] - 1]
    good[some] &= (first == _BEGIN) & (last == _END)
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


def _table(
    kind: Kind, raws: list[bytes], unknown: dict[bytes, Set[str]], joined: bytes
) -> tuple[pa.Table | None, Indexes]:
    """What JSON says of a kind's fields, a row a record; and which of the records could be read.

    `unknown` takes what the kind does not have of fields, by the record. `joined` is all of the
    records, a line each.
    """
    rows = np.arange(len(raws))
    for _ in range(_BAD_ROWS_DROPPED + 1):
        table, why = _read_json(kind, _lines(raws, rows, joined), len(rows), unknown="error")
        if table is not None:
            return table, rows
        bad = _ROW.search(why)
        if bad is None or int(bad[1]) >= len(rows):
            break
        rows = np.delete(rows, int(bad[1]))
    if "unexpected field" not in why:
        rows = _those(rows, raws, partial(_decodes, kind))
        table, why = _read_json(kind, _lines(raws, rows, joined), len(rows), unknown="error")
        if table is not None:
            return table, rows
    # Fields that are none of the kind's are no mistake. Arrow does not look into them, so that no
    # name stands twice is seen here.
    rows = _those(rows, raws, partial(_has_names_once, kind, unknown))
    table, why = _read_json(kind, _lines(raws, rows, joined), len(rows), unknown="ignore")
    if table is None:
        rows = _those(rows, raws, partial(_decodes, kind))
        table, why = _read_json(kind, _lines(raws, rows, joined), len(rows), unknown="ignore")
    if table is not None or len(rows) <= FEW:
        return table, rows
    half = len(rows) // 2
    tables, taken = [], []
    for part in (rows[:half], rows[half:]):
        some = [raws[row] for row in part.tolist()]
        table, which = _table(kind, some, unknown, b"\n".join(some))
        if table is not None:
            tables.append(table)
            taken.append(part[which])
    if not tables:
        return None, rows[:0]
    return pa.concat_tables(tables), np.concatenate(taken)


_ROW = re.compile(r" in row (\d+)")
_READ = arrow_json.ReadOptions(use_threads=False, block_size=1 << 30)


def _those(rows: Indexes, raws: Sequence[bytes], hold: Callable[[bytes], bool]) -> Indexes:
    return np.array([row for row in rows.tolist() if hold(raws[row])], np.int64)


def _lines(raws: Sequence[bytes], rows: Indexes, joined: bytes) -> bytes:
    """Some of the records, a line each; `joined` is all of them."""
    return joined if len(rows) == len(raws) else b"\n".join([raws[row] for row in rows.tolist()])


def _read_json(
    kind: Kind, lines: bytes, count: int, *, unknown: str
) -> tuple[pa.Table | None, str]:
    """A table of so many records, a line each; or why there is none."""
    if not count:
        return None, ""
    try:
        table = arrow_json.read_json(
            pa.BufferReader(lines),
            read_options=_READ,
            parse_options=_options(kind, unknown),
        )
    except pa.ArrowInvalid as error:
        return None, str(error)
    return (table, "") if len(table) == count else (None, "more objects than records")


def _has_names_once(kind: Kind, unknown: dict[bytes, Set[str]], raw: bytes) -> bool:
    decoded = object_with_names_once(raw)
    if decoded is None:
        return False
    if strange := decoded.keys() - kind.names:
        unknown[raw] = strange
    return True


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


def _columns(
    kind: Kind,
    table: pa.Table,
    raws: Sequence[bytes],
    unknown: Mapping[bytes, Set[str]],
    *,
    has_null: bool,
) -> tuple[EventColumns, Sure]:
    """The fields by column, and of which events each field is sure to be well.

    Without the letters of `null` in any of them, what is not there is absent.
    """
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
    if has_null and in_doubt.any():
        names = {f.encoded for f in _fields(kind) if not f.is_required and not f.may_be_null}
        for index in np.flatnonzero(in_doubt).tolist():
            if b"null" in raws[index] and _has_null(raws[index], names):
                sure[index] = False
    return EventColumns(kind, raws, values, instants, unknown), sure


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
