"""Records in, one batch of rows out: the straight line from bytes to the ledger, without any I/O.

Each record gets exactly one outcome: rated (or, for a monthly kind, its state kept), parked, or
rejected. Knows nothing of Faust, Kafka or ClickHouse.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec
from xxhash import xxh3_64_intdigest

from rater.charge import Charge
from rater.decode import decode_all
from rater.events import Amd, Event, Kind, Text
from rater.monthly import Telling
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book
from rater.tuples import by_fields

RAW_KEPT_BYTES = 65_536  # of a dead letter; more could exceed a topic's limit

# A version falls as the log position rises, so that ReplacingMergeTree keeps the first record.
# The top bit is above every position: what carries it stands over what does not.
_POSITION_BITS = 127
_PREFERRED = 1 << _POSITION_BITS


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


class Place(NamedTuple):
    """Where in the log a record lies; its timestamp is the broker's, in milliseconds."""

    topic: str
    partition: int
    offset: int
    logged_ms: int

    def position(self) -> int:
        """The order of the log as one integer: timestamp, then partition, then offset."""
        return self.logged_ms << 80 | self.partition << 64 | self.offset

    @classmethod
    def at(cls, topic: str, position: int) -> "Place":
        """The place that has a position."""
        return cls(topic, position >> 64 & 0xFFFF, position & 0xFFFF_FFFF_FFFF_FFFF, position >> 80)


class RatedRow(NamedTuple):
    charge: Charge
    content_hash: int
    place: Place
    version: int


_place, _row = by_fields(Place), by_fields(RatedRow)


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
    """The rows of some stretches of the log, in the order of the records."""

    rated: list[RatedRow] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    parked: list[ParkedRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)  # with an outcome of their own, by kind


def add_records(
    batch: Batch, kind: Kind, topic: str, partition: int, records: Sequence[Record], book: Book
) -> None:
    """Adds the outcome of each record of one stretch of a partition, and the stretch's receipt."""
    before = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    received_us = [record.timestamp * 1000 for record in records]
    events, _ = decode_all(kind, [record.value for record in records], received_us)
    for record, event in zip(records, events, strict=True):
        place = _place((topic, partition, record.offset, record.timestamp))
        if isinstance(event, Reject):
            value, headers = record.value or b"", record.headers
            batch.rejected.append(RejectedRow(place, kind.name, event, record.key, value, headers))
        else:
            add_event(batch, event, place, book)
    after = [len(batch.rated), len(batch.states), len(batch.parked), len(batch.rejected)]
    rated, states, parked, rejected = map(int.__sub__, after, before)
    batch.receipts.append(
        Receipt(
            topic,
            partition,
            records[0].offset,
            records[-1].offset,
            len(records),
            len(records) - states - parked - rejected,
            rated,
            states,
            parked,
            rejected,
            sum(row.charge.cost.charge for row in batch.rated[before[0] :]),
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
    version = _PREFERRED - 1 - place.position()
    state = event.state()
    if state is not None:
        telling = Telling(event.account_id, event.kind, event.id, place.position(), state)
        batch.states.append(StateRow(telling, event.revision, content_hash, place, version))
    if isinstance(event, Amd) and event.answered_at is not None:
        # Where the events of one call disagree, one that was answered counts.
        version |= _PREFERRED
    for charge in outcome:
        batch.rated.append(_row((charge, content_hash, place, version)))


def monthly_row(charge: Charge, telling: Telling, topic: str, read_us: int) -> RatedRow:
    """The ledger row of a monthly charge.

    Its version is the instant, by the store's clock, at which the tellings were read: who read
    last knew most, whatever order two makers write in.
    """
    return RatedRow(charge, 0, Place.at(topic, telling.position), read_us)


def place_of_version(topic: str, version: int) -> Place:
    """Where the record of an event's row lies, from the row's version."""
    return Place.at(topic, _PREFERRED - 1 - version % _PREFERRED)


def _without_body(event: Event) -> bytes:
    """The event as JSON. A text's body is counted here and never stored."""
    if isinstance(event, Text) and event.body is not None:
        event = msgspec.structs.replace(event, body=None, segments=event.segment_count())
    return msgspec.json.encode(event)
