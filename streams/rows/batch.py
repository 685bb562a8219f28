"""Records in, one batch of rows out: the straight line from bytes to the ledger, without any I/O.

Each record gets exactly one outcome: rated (or, for a monthly kind, its state kept), parked, or
rejected. Knows nothing of Faust, Kafka or ClickHouse.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from rater.charge import Charge
from rater.decode import decode, decode_all
from rater.events import KINDS, Amd, Event, Kind, Text, encode_content
from rater.facts import NEVER, Facts, facts_of
from rater.monthly import Telling
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book
from rater.together import RatedLine, rate_together
from rater.tuples import by_fields
from streams.rows.log_position import Place, Places, Span, Versions

RAW_KEPT_BYTES = 65_536  # of a dead letter; more could exceed a topic's limit


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
    """Rated rows by column: of events of one kind, one row of each for each of its lines.

    The facts are without the events themselves.
    """

    facts: Facts
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


class RejectedRow(NamedTuple):
    place: Place
    kind: str
    reject: Reject
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]

    def raw(self) -> bytes:
        return self.value[:RAW_KEPT_BYTES]

    def raw_hash(self) -> str:
        return hashlib.blake2b(self.value, digest_size=16).hexdigest()


class Receipt(NamedTuple):
    """What became of a stretch of a partition. Written last: its rows are there."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    records: int
    events: int
    rows: int
    states: int
    parked: int
    rejected: int
    charge: int


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
    charged: Counter[str] = field(default_factory=Counter)  # nanos, by line
    tax_unknown: int = 0  # rated rows whose tax no table could tell
    oldest_ms: int | None = None  # the broker's timestamp of the oldest record

    def record_count(self) -> int:
        """How many records its receipts tell of."""
        return sum(receipt.records for receipt in self.receipts)

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
        self.charged.update(other.charged)
        self.tax_unknown += other.tax_unknown
        self.oldest_ms = min(
            (ms for ms in (self.oldest_ms, other.oldest_ms) if ms is not None), default=None
        )


def _is_monthly(row: RatedRow) -> bool:
    return KINDS[row.charge.terms.kind].monthly


def add_records(
    batch: Batch, kind: Kind, topic: str, partition: int, records: Sequence[Record], book: Book
) -> None:
    """Adds the outcome of each record of one stretch of a partition, and the stretch's receipt."""
    alone = [(record, decode(kind, record.value, record.timestamp * 1000)) for record in records]
    oldest_ms = min(record.timestamp for record in records)
    _add_alone(batch, kind, topic, partition, records, alone, book, oldest_ms=oldest_ms)


def add_together(
    batch: Batch,
    kind: Kind,
    topic: str,
    stretches: Sequence[PartitionRecords],
    book: Book,
) -> None:
    """As `add_records` of each stretch of one topic, sooner: what can be is rated together."""
    if kind.monthly:
        for partition, some in stretches:
            add_records(batch, kind, topic, partition, some, book)
        return
    records = [record for _, some in stretches for record in some]
    places = _places_of(topic, stretches, records)
    outcomes, facts = decode_all(
        kind, [record.value for record in records], places.logged_ms * 1000
    )
    together = np.arange(len(records))  # the numbers of those that are
    if facts is None:
        together = np.flatnonzero([not isinstance(outcome, Reject) for outcome in outcomes])
        facts = _facts_of_some(kind, outcomes, together)
    rated = rate_together(kind, facts, book) if facts else None
    if rated and rated.alone:
        together = np.delete(together, rated.alone)
        facts = _facts_of_some(kind, outcomes, together)
        rated = rate_together(kind, facts, book) if facts else None
    lines: Sequence[RatedLine] = ()
    if facts and rated:
        lines = rated.lines
        batch.blocks.append(_block(kind, facts, lines, places.some(together)))
        batch.events[kind.name] += len(together)
        for line in lines:
            batch.charged += line.charged()
            batch.tax_unknown += line.tax_unknown()
    alone = np.delete(np.arange(len(records)), together)
    first = 0
    for partition, some in stretches:
        end = first + len(some)
        numbers = alone[slice(*np.searchsorted(alone, (first, end)))].tolist()
        begin, until = np.searchsorted(together, (first, end)).tolist()
        _add_alone(
            batch,
            kind,
            topic,
            partition,
            some,
            [(records[number], outcomes[number]) for number in numbers],
            book,
            oldest_ms=int(places.logged_ms[first:end].min()),
            rows=len(lines) * (until - begin),
            charge=sum(sum(line.charges[begin:until]) for line in lines),
        )
        first = end


def _facts_of_some(
    kind: Kind, outcomes: Sequence[Event | Reject], numbers: npt.NDArray[np.int64]
) -> Facts | None:
    events = [event for number in numbers.tolist() if isinstance(event := outcomes[number], Event)]
    return facts_of(kind, events) if events else None


def _places_of(
    topic: str, stretches: Sequence[PartitionRecords], records: Sequence[Record]
) -> Places:
    count = len(records)
    return Places(
        topic,
        np.repeat([partition for partition, _ in stretches], [len(some) for _, some in stretches]),
        np.fromiter(map(_offset, records), np.int64, count),
        np.fromiter(map(_timestamp, records), np.int64, count),
    )


_offset, _timestamp = attrgetter("offset"), attrgetter("timestamp")


def _block(kind: Kind, facts: Facts, lines: Sequence[RatedLine], places: Places) -> Block:
    hashes = map(xxh3_64_intdigest, map(encode_content, facts.contents))
    return Block(
        facts._replace(events=(), contents=()),
        lines,
        np.fromiter(hashes, np.uint64, len(facts.ids)),
        places,
        # Where the events of one call disagree, one that was answered counts.
        places.versions(np.bool_(kind.struct is Amd) & (facts.answered_us != NEVER)),
    )


def _add_alone(
    batch: Batch,
    kind: Kind,
    topic: str,
    partition: int,
    records: Sequence[Record],
    alone: Sequence[tuple[Record, Event | Reject]],
    book: Book,
    *,
    oldest_ms: int,
    rows: int = 0,
    charge: int = 0,
) -> None:
    """Adds those of a stretch that were not rated together with others, and its receipt.

    `rows` and `charge` are of those that were.
    """
    before = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    for record, outcome in alone:
        place = _place((topic, partition, record.offset, record.timestamp))
        if isinstance(outcome, Reject):
            value, headers = record.value or b"", record.headers
            batch.rejected.append(
                RejectedRow(place, kind.name, outcome, record.key, value, headers)
            )
        else:
            add_event(batch, outcome, place, book)
    after = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    rated, states, parked, rejected = map(int.__sub__, after, before)
    batch.oldest_ms = oldest_ms if batch.oldest_ms is None else min(oldest_ms, batch.oldest_ms)
    batch.receipts.append(
        Receipt(
            topic,
            partition,
            records[0].offset,
            records[-1].offset,
            len(records),
            len(records) - states - parked - rejected,
            rated + rows,
            states,
            parked,
            rejected,
            sum(row.charge.cost.charge for row in batch.rated[before[0] :]) + charge,
        )
    )


def add_event(batch: Batch, event: Event, place: Place, book: Book) -> None:
    """Adds the outcome of one event that could be read: rated, its state kept, or parked."""
    outcome = rate(event, book)
    if isinstance(outcome, Parked):
        batch.parked.append(
            ParkedRow(place, event.kind, event.account_id, event.id, outcome, _without_body(event))
        )
        return
    batch.events[event.kind] += 1
    content_hash = xxh3_64_intdigest(event.content())
    # Where the events of one call disagree, one that was answered counts.
    preferred = isinstance(event, Amd) and event.answered_at is not None
    version = place.version(preferred=preferred)
    state = event.state()
    if state is not None:
        telling = Telling(event.account_id, event.kind, event.id, place.position(), state)
        batch.states.append(StateRow(telling, event.revision, content_hash, place, version))
    for charge in outcome:
        batch.rated.append(_row((charge, content_hash, place, version)))
        batch.charged[charge.terms.line] += charge.cost.charge
        batch.tax_unknown += charge.cost.tax_status == "unknown"


def monthly_row(charge: Charge, telling: Telling, topic: str, read_us: int) -> RatedRow:
    """The ledger row of a monthly charge.

    Its version is the instant, by the store's clock, at which the tellings were read: who read
    last knew most, whatever order two makers write in.
    """
    return RatedRow(charge, 0, Place.at(topic, telling.position), read_us)


def _without_body(event: Event) -> bytes:
    """The event as JSON. A text's body is counted here and never stored."""
    if isinstance(event, Text) and event.body is not None:
        event = msgspec.structs.replace(event, body=None, segments=event.segment_count())
    return msgspec.json.encode(event)
