"""Where in the log a record lies, and the version of its rows: the first in the log stands.

A version falls as the log position rises, so that ReplacingMergeTree keeps the first record.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

FILE = "file:"  # what a topic's name begins with when the record was a file's line

# Above a position's bits a version has one more than the rank of its event: what is further along
# stands, wherever in the log it lies.
_POSITION_BITS = 126
_MS_MAX = (1 << 46) - 1  # of the bits that a position has for its milliseconds
POSITIONS = (1 << _POSITION_BITS) - 1

# A producer may stamp its records with anything; no log is older, and no column holds a later one.
LATEST_MS = 9_999_999_999_999  # of the year 2286

Integers = npt.NDArray[np.int64]
Versions = npt.NDArray[np.uint64]  # a pair for each: the low half, then the high half


def clamp_ms(timestamp_ms: int) -> int:
    """A record's timestamp, or the nearest one that a place can have."""
    return min(max(0, timestamp_ms), LATEST_MS)


class Place(NamedTuple):
    """Where in the log a record lies; its timestamp is the broker's, in milliseconds."""

    topic: str
    partition: int
    offset: int
    logged_ms: int

    def position(self) -> int:
        """The order of the log as one integer: timestamp, then partition, then offset."""
        return self.logged_ms << 80 | self.partition << 64 | self.offset

    def version(self, rank: int = 0) -> int:
        """The version of the rows of this record's event."""
        return (rank + 1 << _POSITION_BITS) + POSITIONS - self.position()

    @classmethod
    def at(cls, topic: str, position: int) -> "Place":
        """The place that has a position."""
        return cls(topic, position >> 64 & 0xFFFF, position & 0xFFFF_FFFF_FFFF_FFFF, position >> 80)


def hash_of_record(place: Place, content: bytes) -> int:
    """What tells the records of one place apart, for a place may be used again.

    In Kafka, by the broker's timestamp too. A file's line has none of its own: the same line, read
    again later, is the same record.
    """
    seed = 0 if place.topic.startswith(FILE) else place.logged_ms
    return xxh3_64_intdigest(content, seed)


class Span(NamedTuple):
    """A part of the log: what it received from one millisecond to another, both included."""

    first_ms: int
    last_ms: int

    def parameters(self) -> Mapping[str, int]:
        """The same as queries take it: by the log's clock, and by that clock counted down, as the
        versions of rows have it."""
        return {
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "low": _MS_MAX - self.last_ms,
            "high": _MS_MAX - self.first_ms,
        }

    def cut(self, count: int) -> list["Span"]:
        """The same in so many parts of equal length, or fewer where it is short."""
        end_ms = self.last_ms + 1
        firsts = range(self.first_ms, end_ms, max(1, -(-(end_ms - self.first_ms) // max(1, count))))
        return [Span(first, min(first + firsts.step, end_ms) - 1) for first in firsts]


def join_spans(spans: Iterable[Span], gap_ms: int) -> list[Span]:
    """The same in order, those that lie no further apart than `gap_ms` as one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.first_ms - joined[-1].last_ms <= gap_ms:
            joined[-1] = joined[-1]._replace(last_ms=max(joined[-1].last_ms, span.last_ms))
        else:
            joined.append(span)
    return joined


class Places(NamedTuple):
    """The places of many records of one topic, by column."""

    topic: str
    partitions: Integers
    offsets: Integers
    logged_ms: Integers

    def some(self, numbers: Integers) -> "Places":
        """Of some of the records."""
        columns = (column[numbers] for column in self[1:])
        return Places(self.topic, *columns)

    def versions(self, ranks: Integers) -> Versions:
        """`Place.version` of each. A position has no bit where POSITIONS has none: no borrow."""
        versions = np.empty((len(self.offsets), 2), np.uint64)
        versions[:, 0] = ~self.offsets.astype(np.uint64)
        high = (self.logged_ms << 16 | self.partitions).astype(np.uint64)
        highest = (ranks + 2).astype(np.uint64) << np.uint64(_POSITION_BITS - 64)
        versions[:, 1] = highest - np.uint64(1) - high
        return versions


def place_of_version(topic: str, version: int) -> Place:
    """Where the record of an event's row lies, from the row's version."""
    return Place.at(topic, POSITIONS - (version & POSITIONS))
