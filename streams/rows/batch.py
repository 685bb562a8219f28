"""Records in, one batch of rows out: the straight line from bytes to the ledger, without any I/O.

Each record gets exactly one outcome: rated (or, for a monthly kind, its state kept), parked, or
rejected. Knows nothing of Faust, Kafka or ClickHouse.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rater.charge import Charge
from rater.decode import decode, decode_all
from rater.event_rows import content_hash, encode_kept, rank_of, state_of
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.kinds.kind import Kind
from rater.monthly import Telling
from rater.rate import Parked, rate
from rater.rate_columns import RatedLine, rate_columns
from rater.reject import Reject
from rater.tariff import Book, Memo
from rater.tuples import by_fields
from rater.unknown_fields import NONE, Unknown, unknown_of
from rater.usage_columns import UsageColumns, content_hashes, usage_columns
from streams.rows.kept import digest_of, kept_of
from streams.rows.log_position import (
    LATEST_MS,
    Integers,
    Place,
    Places,
    Span,
    Versions,
    clamp_ms,
    hash_of_record,
)


class Record(Protocol):
    """What a Kafka consumer hands out, as far as rating reads it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


PartitionRecords = tuple[int, Sequence[Record]]  # a stretch of a partition, in order


class RatedRow(NamedTuple):
    charge: Charge
    content_hash: int
    place: Place
    version: int


_place, _row = by_fields(Place), by_fields(RatedRow)


class Block(NamedTuple):
    """Rated rows by column: of events of one kind, one row of each for each of its lines."""

    usage: UsageColumns
    lines: Sequence[RatedLine]
    content_hashes: npt.NDArray[np.uint64]
    places: Places
    versions: Versions


class StateRow(NamedTuple):
    telling: Telling
    revision: int
    content_hash: int
    place: Place
    version: int


class ParkedRow(NamedTuple):
    place: Place
    kind: str
    account_id: str
    event_id: str
    parked: Parked
    event: bytes

    def record_hash(self) -> int:
        return hash_of_record(self.place, self.event)


class RejectedRow(NamedTuple):
    place: Place
    kind: str
    reject: Reject
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    lost: bytes = b""  # what names an event that lost a conflict: its value is not at hand

    def record_hash(self) -> int:
        return hash_of_record(self.place, self.value or self.lost)

    def raw(self) -> bytes:
        return kept_of(self.value)

    def raw_hash(self) -> str:
        return digest_of(self.value)


class Receipt(NamedTuple):
    """What became of a stretch of a partition. Written last: its rows are there."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    first_logged_ms: int  # by the broker's clock: the least of its records
    last_logged_ms: int  # the greatest
    records: int
    events: int
    rows: int
    states: int
    parked: int
    rejected: int
    charge: int
    skipped: tuple[tuple[int, int], ...] = ()  # ranges of offsets that hold no record


@dataclass
class Batch:
    """The rows of some stretches of the log. Those of the ledger are in `blocks` and in `rated`."""

    blocks: list[Block] = field(default_factory=list)
    rated: list[RatedRow] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    parked: list[ParkedRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)  # with an outcome of their own, by kind
    unknown: dict[str, Unknown] = field(default_factory=dict)  # fields of events, by kind
    charged: Counter[str] = field(default_factory=Counter)  # nanos, by line
    tax_unknown: int = 0  # rated rows whose tax no table could tell
    # The broker's timestamps of all records.
    logged_ms: list[Integers] = field(default_factory=list, compare=False)

    def record_count(self) -> int:
        """How many records its receipts tell of."""
        return sum(receipt.records for receipt in self.receipts)

    def add_unknown(self, kind: str, unknown: Unknown) -> None:
        """Counts fields that events of a kind have, and the kind has not."""
        if unknown.events:
            self.unknown[kind] = self.unknown.get(kind, NONE).plus(unknown)

    def has_rows(self) -> bool:
        """Whether anything of it is a row of the ledger, or a state."""
        return bool(self.blocks or self.rated or self.states)

    def span(self) -> Span | None:
        """The part of the log that its accepted records are of; monthly charges are no records."""
        places = [row.place.logged_ms for row in self.states]
        places += [row.place.logged_ms for row in self.rated if not _is_monthly(row)]
        for block in self.blocks:
            logged_ms = block.places.logged_ms
            places += [int(logged_ms.min()), int(logged_ms.max())]
        return Span(min(places), max(places)) if places else None

    def merge(self, other: "Batch") -> None:
        """Takes over all that another one has."""
        self.blocks += other.blocks
        self.rated += other.rated
        self.states += other.states
        self.parked += other.parked
        self.rejected += other.rejected
        self.receipts += other.receipts
        self.events.update(other.events)
        for kind, unknown in other.unknown.items():
            self.add_unknown(kind, unknown)
        self.charged.update(other.charged)
        self.tax_unknown += other.tax_unknown
        self.logged_ms += other.logged_ms


def _is_monthly(row: RatedRow) -> bool:
    return KINDS[row.charge.terms.kind].monthly


def add_records(
    batch: Batch, kind: Kind, topic: str, partition: int, records: Sequence[Record], book: Book
) -> None:
    """Adds the outcome of each record of one offset range, row by row, and the range's receipt."""
    logged_ms = [clamp_ms(record.timestamp) for record in records]
    outcomes = [
        (record, decode(kind, record.value, at_ms * 1000))
        for record, at_ms in zip(records, logged_ms, strict=True)
    ]
    for record, outcome in outcomes:
        if not isinstance(outcome, Reject):
            batch.add_unknown(kind.name, unknown_of(kind, record.value or b""))
    _add_by_row(
        batch,
        (partition, records),
        outcomes,
        kind=kind,
        topic=topic,
        book=book,
        memo=Memo(),
        logged=Span(min(logged_ms), max(logged_ms)),
    )
    batch.logged_ms.append(np.asarray(logged_ms))


def add_columns(
    batch: Batch,
    kind: Kind,
    topic: str,
    ranges: Sequence[PartitionRecords],
    book: Book,
    memo: Memo | None = None,
) -> None:
    """As `add_records` of each offset range of one topic, sooner: by column, where that can be.

    `memo` is what was remembered of this book, by this caller alone.
    """
    memo = memo or Memo()
    records = [record for _, some in ranges for record in some]
    places = _places_of(topic, ranges, records)
    batch.logged_ms.append(places.logged_ms)
    columns, rows, others, unknown = decode_all(
        kind, [record.value for record in records], places.logged_ms * 1000
    )
    batch.add_unknown(kind.name, unknown)
    lines: Sequence[RatedLine] = ()
    if columns is not None:
        usage = usage_columns(columns)
        rated = rate_columns(usage, book, memo)
        if len(rated.by_row):
            others += [(int(rows[index]), columns.event(index)) for index in rated.by_row.tolist()]
            others.sort(key=lambda other: other[0])
            columns, rows = columns.without(rated.by_row), np.delete(rows, rated.by_row)
            if len(rows):
                usage = usage_columns(columns)
                rated = rate_columns(usage, book, memo)
        if len(rows):
            lines = rated.lines
            batch.blocks.append(_block(usage, lines, places.some(rows)))
            batch.events[kind.name] += len(rows)
            for line in lines:
                batch.charged += line.charged()
                batch.tax_unknown += line.tax_unknown()
    other_rows = [index for index, _ in others]
    first = 0
    for partition, some in ranges:
        end = first + len(some)
        of_range = slice(*np.searchsorted(other_rows, (first, end)).tolist())
        begin, until = np.searchsorted(rows, (first, end)).tolist()
        logged_ms = places.logged_ms[first:end]
        _add_by_row(
            batch,
            (partition, some),
            [(records[index], outcome) for index, outcome in others[of_range]],
            kind=kind,
            topic=topic,
            book=book,
            memo=memo,
            logged=Span(int(logged_ms.min()), int(logged_ms.max())),
            rows=len(lines) * (until - begin),
            charge=sum(sum(line.charges[begin:until]) for line in lines),
        )
        first = end


def add_rejected(
    batch: Batch, kind: Kind, topic: str, of_range: PartitionRecords, reject: Reject
) -> None:
    """Adds an offset range of which each record is a dead letter, and the range's receipt."""
    partition, records = of_range
    logged_ms = [clamp_ms(record.timestamp) for record in records]
    for record, at_ms in zip(records, logged_ms, strict=True):
        place = _place((topic, partition, record.offset, at_ms))
        value, headers = record.value or b"", record.headers
        batch.rejected.append(RejectedRow(place, kind.name, reject, record.key, value, headers))
    count, offsets = len(records), (records[0].offset, records[-1].offset)
    batch.receipts.append(
        Receipt(
            topic, partition, *offsets, min(logged_ms), max(logged_ms), count, 0, 0, 0, 0,
            rejected=count, charge=0,
        )
    )  # fmt: skip
    batch.logged_ms.append(np.asarray(logged_ms))


def _places_of(topic: str, ranges: Sequence[PartitionRecords], records: Sequence[Record]) -> Places:
    count = len(records)
    return Places(
        topic,
        np.repeat([partition for partition, _ in ranges], [len(some) for _, some in ranges]),
        np.fromiter(map(_offset, records), np.int64, count),
        np.fromiter(map(_timestamp, records), np.int64, count).clip(0, LATEST_MS),
    )


_offset, _timestamp = attrgetter("offset"), attrgetter("timestamp")


def _block(usage: UsageColumns, lines: Sequence[RatedLine], places: Places) -> Block:
    hashes = content_hashes(usage.events, usage.quantity)
    return Block(usage.without_events(), lines, hashes, places, places.versions(usage.ranks))


def _add_by_row(
    batch: Batch,
    of_range: PartitionRecords,
    outcomes: Sequence[tuple[Record, Event | Reject]],
    *,
    kind: Kind,
    topic: str,
    book: Book,
    memo: Memo,
    logged: Span,
    rows: int = 0,
    charge: int = 0,
) -> None:
    """Adds those of an offset range that were not rated by column, and its receipt.

    `rows` and `charge` are of those that were.
    """
    partition, records = of_range
    before = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    for record, outcome in outcomes:
        place = _place((topic, partition, record.offset, clamp_ms(record.timestamp)))
        if isinstance(outcome, Reject):
            value, headers = record.value or b"", record.headers
            batch.rejected.append(
                RejectedRow(place, kind.name, outcome, record.key, value, headers)
            )
        else:
            add_event(batch, outcome, place, book, memo)
    after = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    rated, states, parked, rejected = map(int.__sub__, after, before)
    batch.receipts.append(
        Receipt(
            topic,
            partition,
            records[0].offset,
            records[-1].offset,
            *logged,
            len(records),
            len(records) - states - parked - rejected,
            rated + rows,
            states,
            parked,
            rejected,
            sum(row.charge.cost.charge for row in batch.rated[before[0] :]) + charge,
        )
    )


def add_event(
    batch: Batch, event: Event, place: Place, book: Book, memo: Memo | None = None
) -> None:
    """Adds the outcome of one event that could be read: rated, its state kept, or parked."""
    outcome = rate(event, book, memo)
    if isinstance(outcome, Parked):
        batch.parked.append(
            ParkedRow(place, event.kind, event.account_id, event.id, outcome, encode_kept(event))
        )
        return
    batch.events[event.kind] += 1
    hashed = content_hash(event)
    version = place.version(rank_of(event))
    state = state_of(event)
    if state is not None:
        telling = Telling(event.account_id, event.kind, event.id, place.position(), state)
        batch.states.append(StateRow(telling, event.revision, hashed, place, version))
    for charge in outcome:
        batch.rated.append(_row((charge, hashed, place, version)))
        batch.charged[charge.terms.line] += charge.cost.charge
        batch.tax_unknown += charge.cost.tax_status == "unknown"


def monthly_row(charge: Charge, telling: Telling, topic: str, read_us: int) -> RatedRow:
    """The ledger row of a monthly charge.

    Its version is the instant, by the store's clock, at which the tellings were read: who read
    last knew most, whatever order two makers write in.
    """
    return RatedRow(charge, 0, Place.at(topic, telling.position), read_us)
