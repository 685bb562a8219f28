"""The ledger's columns: what a batch's rows are in Arrow, a function for each table."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from rater import __version__
from rater.charge import MONEY, Charge, Cost, Terms
from rater.codes import Codes
from rater.instants import NEVER, Instants
from rater.usage import DIMENSIONS
from streams.rows.batch import Block, ParkedRow, RatedRow, Receipt, RejectedRow, StateRow
from streams.rows.log_position import Place

T = TypeVar("T")

# A server refuses an insert of more than 100 months (partitions) by default, and looks at all of an
# insert's rows for each: many rows of this month and few of 89 old ones took three times as long.
MONTHS_TOGETHER = 12
_SAYS_MONTH = ("month", "from_at")  # of a charge; of a state, which a view puts in a month


def _schema(columns: Mapping[str, pa.Array]) -> pa.Schema:
    """Says which columns have nulls: one that may have some takes the engine half as long again."""
    return pa.schema(
        [pa.field(name, column.type, column.null_count > 0) for name, column in columns.items()]
    )


def months_apart(rows: pa.Table) -> list[pa.Table]:
    """The same, cut so that no part has more than MONTHS_TOGETHER months, the newest first.

    What is not kept by the month is one part.
    """
    name = next((name for name in _SAYS_MONTH if name in rows.column_names), None)
    if name is None:
        return [rows]
    column = rows[name]
    months = pc.add(pc.multiply(pc.year(column), 12), pc.month(column))
    newest_first = np.sort(pc.unique(months).to_numpy())[::-1]
    if len(newest_first) <= MONTHS_TOGETHER:
        return [rows]
    return [
        rows.filter(pc.is_in(months, pa.array(newest_first[first : first + MONTHS_TOGETHER])))
        for first in range(0, len(newest_first), MONTHS_TOGETHER)
    ]


# Columns: integers become decimals and instants by their buffers, without an object for each.


def _decimals(nanos: Sequence[int]) -> pa.Array:
    """Decimal(18, 9) from nanos: 128-bit little-endian integers, sign-extended."""
    low = np.asarray(nanos, np.int64)
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0] = low
    words[:, 1] = low >> 63
    return pa.Decimal128Array.from_buffers(
        pa.decimal128(18, 9), len(low), [None, pa.py_buffer(words)]
    )


def _versions(versions: Sequence[int]) -> pa.Array:
    return pa.array([version.to_bytes(16, "little") for version in versions], pa.binary(16))


def _instants(at_us: Sequence[int | None]) -> pa.Array:
    return pa.array(at_us, pa.timestamp("us", tz="UTC"))


def _milliseconds(at_ms: Sequence[int]) -> pa.Array:
    return pa.array(at_ms, pa.timestamp("ms", tz="UTC"))


def _place_columns(places: Sequence[Place]) -> dict[str, pa.Array]:
    topic, partition, offset, logged_ms = zip(*places, strict=True)
    return {
        "topic": pa.array(topic).dictionary_encode(),
        "partition": pa.array(partition, pa.int32()),
        "offset": pa.array(offset, pa.int64()),
        "logged_at": _milliseconds(logged_ms),
    }


_CHARGE_NAMES = {
    "from_": "from_number",
    "to": "to_number",
    "occurred_us": "occurred_at",
    "answered_us": "answered_at",
    "ended_us": "ended_at",
}


def _rated_columns(rows: Sequence[RatedRow]) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    charges, hashes, places, versions = zip(*rows, strict=True)
    *own, terms, costs = zip(*charges, strict=True)
    columns = {}
    for name, values in zip(Charge._fields[:-2], own, strict=True):
        columns[_CHARGE_NAMES.get(name, name)] = (
            _instants(values) if name.endswith("_us") else pa.array(values)
        )
    each = np.arange(len(rows))
    columns |= _shared_columns(Terms._fields, terms, each)
    columns |= _shared_columns(Cost._fields, costs, each)
    columns["content_hash"] = pa.array(hashes, pa.uint64())
    return columns | _place_columns(places) | {"version": _versions(versions)}


def _block_columns(blocks: Sequence[Block]) -> dict[str, pa.Array] | None:
    """As `_rated_columns`; what the lines of an event share is made once."""
    if not blocks:
        return None
    own = [columns for block in blocks for columns in [_own_columns(block)] * len(block.lines)]
    lines = [line for block in blocks for line in block.lines]
    terms, terms_of = _chained([(line.terms, line.terms_of) for line in lines])
    costs, costs_of = _chained([(line.costs, line.costs_of) for line in lines])
    columns = {name: pa.concat_arrays([one[name] for one in own]) for name in own[0]}
    columns["topic"] = columns["topic"].dictionary_encode()
    columns |= _shared_columns(Terms._fields, terms, terms_of)
    return columns | _shared_columns(Cost._fields, costs, costs_of)


def _chained(parts: Sequence[tuple[Sequence[T], Codes]]) -> tuple[list[T], Codes]:
    """What rows share and which of it each has, one part's rows after another's."""
    shared: list[T] = []
    numbers = []
    for some, numbers_of_some in parts:
        numbers.append(numbers_of_some + len(shared))
        shared += some
    return shared, np.concatenate(numbers)


def _own_columns(block: Block) -> dict[str, pa.Array]:
    """A row for each event, without what its charges share with others."""
    usage, places = block.usage, block.places
    count = len(usage)
    facts = usage.facts
    return {
        "account_id": usage.account_ids,
        "identity": usage.identities,
        "revision": pa.array(usage.revisions),
        "event_id": usage.ids,
        **{_CHARGE_NAMES.get(name, name): column for name, column in facts._asdict().items()},
        "occurred_at": _times(usage.at_us),
        "answered_at": _times(usage.answered_us),
        "ended_at": _times(usage.ended_us),
        "content_hash": pa.array(block.content_hashes),
        "topic": pa.repeat(places.topic, count),
        "partition": pa.array(places.partitions.astype(np.int32)),
        "offset": pa.array(places.offsets),
        "logged_at": pa.array(places.logged_ms).view(pa.timestamp("ms", tz="UTC")),
        "version": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(block.versions)]
        ),
    }


def _times(at_us: Instants) -> pa.Array:
    return pa.array(at_us, mask=at_us == NEVER).view(pa.timestamp("us", tz="UTC"))


def _shared_columns(
    names: Iterable[str], shared: Sequence[tuple[Any, ...]], numbers: Codes
) -> dict[str, pa.Array]:
    """Columns of what many rows share, made once for each of it; each row has one, by its number.

    Texts are dictionaries, as LowCardinality columns want them; no value may stand twice in one.
    """
    taken = pa.array(numbers)
    made = {}
    for name, values in zip(names, zip(*shared, strict=True), strict=True):
        column = _decimals(values) if name in MONEY else pa.array(values)
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
        made[name] = column.take(taken)
    return made


_NUMBER_TYPE, _PRODUCT = DIMENSIONS.index("number_type"), DIMENSIONS.index("product")


def _state_columns(rows: Sequence[StateRow]) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    tellings, revisions, hashes, places, versions = zip(*rows, strict=True)
    states = [telling.state for telling in tellings]
    columns = {
        "account_id": pa.array([telling.account_id for telling in tellings]),
        "kind": pa.array([telling.kind for telling in tellings]),
        "event_id": pa.array([telling.event_id for telling in tellings]),
        "revision": pa.array(revisions),
        "line": pa.array([state.line for state in states]),
        "thing": pa.array([state.thing for state in states]),
        "billed_as": pa.array([state.billed_as for state in states]),
        "from_at": _instants([state.from_us for state in states]),
        "until_at": _instants([state.until_us for state in states]),
        "seconds": pa.array([state.seconds for state in states]),
        "number": pa.array([state.number for state in states]),
        "number_type": pa.array([state.dims[_NUMBER_TYPE] or "" for state in states]),
        "product": pa.array([state.dims[_PRODUCT] or "" for state in states]),
        "call_id": pa.array([state.call_id for state in states]),
        "name": pa.array([state.name for state in states]),
        "detection": pa.array([state.detection for state in states], pa.bool_()),
        "user_id": pa.array([state.user_id for state in states]),
        "team": pa.array([state.team for state in states]),
        "content_hash": pa.array(hashes, pa.uint64()),
    }
    return columns | _place_columns(places) | {"version": _versions(versions)}


def _parked_columns(rows: Sequence[ParkedRow], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    return _place_columns([row.place for row in rows]) | {
        "record_hash": pa.array([row.record_hash() for row in rows], pa.uint64()),
        "kind": pa.array([row.kind for row in rows]),
        "account_id": pa.array([row.account_id for row in rows]),
        "event_id": pa.array([row.event_id for row in rows]),
        "reason": pa.array([row.parked.reason.value for row in rows]),
        "message": pa.array([row.parked.message for row in rows]),
        "event": pa.array([row.event for row in rows], pa.binary()),
        "parked_at": pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC")),
        "resolved": pa.array([0] * len(rows), pa.uint8()),
    }


def _rejected_columns(rows: Sequence[RejectedRow], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    return _place_columns([row.place for row in rows]) | {
        "record_hash": pa.array([row.record_hash() for row in rows], pa.uint64()),
        "kind": pa.array([row.kind for row in rows]),
        "reason": pa.array([row.reject.reason.value for row in rows]),
        "message": pa.array([row.reject.message for row in rows]),
        "key": pa.array([row.key or b"" for row in rows], pa.binary()),
        "raw": pa.array([row.raw() for row in rows], pa.binary()),
        "raw_bytes": pa.array([len(row.value) for row in rows], pa.uint32()),
        "raw_hash": pa.array([row.raw_hash() for row in rows]),
        "headers": pa.array([_headers_json(row.headers) for row in rows]),
        "engine_version": pa.array([__version__] * len(rows)),
        "rejected_at": pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC")),
    }


def _headers_json(headers: Sequence[tuple[str, bytes]]) -> str:
    pairs = [[name, (value or b"").decode("utf-8", "replace")] for name, value in headers]
    return orjson.dumps(pairs).decode() if pairs else ""


def _receipt_columns(rows: Sequence[Receipt], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    columns = {}
    for name, values in zip(Receipt._fields, zip(*rows, strict=True), strict=True):
        if name.endswith("_ms"):
            columns[name.removesuffix("_ms") + "_at"] = _milliseconds(values)
        elif name == "skipped":
            ends = [list(chain.from_iterable(ranges)) for ranges in values]
            columns[name] = pa.array(ends, pa.list_(pa.int64()))
        else:
            columns[name] = _decimals(values) if name == "charge" else pa.array(values)
    columns["written_at"] = pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC"))
    return columns
