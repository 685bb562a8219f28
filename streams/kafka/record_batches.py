"""The record batches of a fetch, read so that none can stop or fill a worker.

aiokafka raises on a batch that it can't read, and reads it again for ever; and it unpacks whatever
comes. Here each record that can be read is handed out, a list at a time. The offsets of the others
are handed out too, as `Unread`, with the reason why they are dead letters.

Takes the place of aiokafka's own reader for every consumer of this process. Message format 2 alone:
older ones are left to aiokafka, for brokers of today send none.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from rater.reject import Reason, Reject
from streams.kafka.codecs import CODECS, TooMuchError, unpack

# What one record batch may become: 64 times what a producer may send by default.
UNPACKED_BYTES_MAX = 67_108_864
# Records are handed out so many at a time: a batch may hold millions of nearly nothing.
RECORDS_TOGETHER = 10_000
RECORD_BYTES = 200  # what a record takes of memory besides its value

_LENGTH_AT, _MAGIC_AT, _ATTRIBUTES_AT = 8, 16, 21
_LENGTH_END, _HEADER_BYTES = 12, 61
_CODEC_BITS = 0x07


class Unread(NamedTuple):
    """A record that can't be read. The first one of a batch has the batch's bytes as its value."""

    offset: int
    timestamp: int
    value: bytes
    reject: Reject
    key: None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_type: int | None = None
    checksum: None = None


Skipped = tuple[tuple[int, int], ...]  # the first and the last offset of each range, in order


class Records(list[Any]):
    """Records in order, all of them read or all unread; `size` is about what they take in bytes.

    `skipped` are the offsets before and between them that hold no record for a reader: markers of
    transactions, and what these took back.
    """

    size = 0
    skipped: Skipped = ()

    @property
    def offset(self) -> int:
        """Of the last one: aiokafka goes on after it."""
        offset: int = self[-1].offset
        return offset

    @property
    def are_unread(self) -> bool:
        return isinstance(self[0], Unread)


def join(lists: Sequence[Records]) -> list[Records]:
    """The same in as few lists as can be, those that are unread each by itself."""
    joined: list[Records] = []
    for some in lists:
        if joined and not some.are_unread and not joined[-1].are_unread:
            joined[-1] += some
            joined[-1].size += some.size
            joined[-1].skipped += some.skipped
        else:
            joined.append(some)
    return joined


def skipped_by(records: Records, begin: int) -> Skipped:
    """The offsets from `begin` to the last record's that are no record's."""
    if records.offset - begin + 1 == len(records):
        return ()
    skipped = []
    for record in records:
        if record.offset > begin:
            skipped.append((begin, record.offset - 1))
        begin = record.offset + 1
    return tuple(skipped)


class RecordBatches:
    """As aiokafka's MemoryRecords: the batches of one partition of a fetch."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def size_in_bytes(self) -> int:
        return len(self._raw)

    def has_next(self) -> bool:
        """Whether another batch is there as a whole; a fetch may end within one."""
        return len(self._raw) - self._at > _MAGIC_AT and self._end() <= len(self._raw)

    def next_batch(self) -> Any:
        begin, self._at = self._at, self._end()
        raw = self._raw[begin : self._at]
        return RecordBatch(raw) if raw[_MAGIC_AT] >= 2 else MemoryRecords(raw).next_batch()

    def _end(self) -> int:
        (length,) = struct.unpack_from(">i", self._raw, self._at + _LENGTH_AT)
        return self._at + _LENGTH_END + max(0, int(length))


class RecordBatch:
    """As aiokafka's batch, but that reading its records never fails."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._header = DefaultRecordBatch(raw)
        self._is_whole = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._header, name)

    def __next__(self) -> Any:
        """A control batch's record."""
        return next(self._header)

    def validate_crc(self) -> bool:
        """True where its records can be told at least: of one that is not whole they are unread."""
        self._is_whole = bool(self._header.validate_crc())
        return self._is_whole or self._count() == self._header.last_offset_delta + 1

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.lists())

    def lists(self) -> Iterator[Records]:
        """All offsets of the batch that hold a record, in lists of RECORDS_TOGETHER at the most."""
        position = self._header.base_offset
        try:
            if not self._is_whole:
                raise ValueError("its checksum is wrong")
            plain = self._unpacked()
            for records in self._read(plain):
                position = records[-1].offset + 1
                yield records
        except TooMuchError:
            yield from self._unread(position, f"becomes more than {UNPACKED_BYTES_MAX} bytes")
        except Exception as error:  # whatever is wrong with it
            packed = CODECS.get(self._header.compression_type, "not packed")
            why = f"can't be read ({packed}: {type(error).__name__})"
            yield from self._unread(position, why)

    def _unpacked(self) -> bytes:
        """The batch as it would be without a codec."""
        number = self._header.compression_type
        if not number:
            return self._raw
        body = unpack(number, self._raw[_HEADER_BYTES:], UNPACKED_BYTES_MAX)
        header = bytearray(self._raw[:_HEADER_BYTES])
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC_BITS
        return bytes(header) + body

    def _read(self, plain: bytes) -> Iterator[Records]:
        """By aiokafka's reader; what it does not take, record by record."""
        position = self._header.base_offset
        each = RECORD_BYTES + len(plain) // max(1, self._count())
        try:
            # Chained, for aiokafka's reader goes on beyond its end if it is asked once more.
            for some in _in_lists(chain(DefaultRecordBatch(plain)), each):
                position = some.offset + 1
                yield some
        except Exception:
            yield from _in_lists(_read_leniently(self._header, plain, position), each)

    def _count(self) -> int:
        """How many records the header says that there are."""
        return int.from_bytes(self._raw[_HEADER_BYTES - 4 : _HEADER_BYTES], "big")

    def _unread(self, first: int, why: str) -> Iterator[Records]:
        """The offsets from `first` on."""
        header = self._header
        last = header.next_offset - 1
        reject = Reject(
            Reason.BAD_BATCH,
            f"offsets {first} to {last} are of a record batch that {why}; its first bytes are kept "
            f"with offset {first}",
        )
        at_ms = header.max_timestamp if header.timestamp_type else header.first_timestamp
        for begin in range(first, last + 1, RECORDS_TOGETHER):
            some = Records(
                Unread(offset, at_ms, self._raw if offset == first else b"", reject)
                for offset in range(begin, min(begin + RECORDS_TOGETHER, last + 1))
            )
            some.size = len(some) * RECORD_BYTES + len(self._raw)
            yield some


def _in_lists(records: Iterator[Any], each: int) -> Iterator[Records]:
    """Lists of RECORDS_TOGETHER, of so many bytes each; what came before an error is handed out."""
    while True:
        some = Records()
        try:
            some.extend(islice(records, RECORDS_TOGETHER))
        finally:
            some.size = len(some) * each
            if some:
                yield some
        if not some:
            return


def _read_leniently(header: Any, plain: bytes, first: int) -> Iterator[DefaultRecord]:
    """The records from an offset on, as the format has them: the name of a header need be no text.

    Raises where the format is broken.
    """
    at = _HEADER_BYTES
    while at < len(plain):
        length, at = decode_varint(plain, at)
        end = at + length
        delta_ms, at = decode_varint(plain, at + 1)
        delta, at = decode_varint(plain, at)
        key, at = _field(plain, at)
        value, at = _field(plain, at)
        count, at = decode_varint(plain, at)
        headers = []
        for _ in range(count):
            name, at = _field(plain, at)
            text, at = _field(plain, at)
            headers.append(((name or b"").decode("utf-8", "replace"), text))
        if at != end:
            raise ValueError("a record's length is wrong")
        at_ms = header.max_timestamp if header.timestamp_type else header.first_timestamp + delta_ms
        if (offset := header.base_offset + delta) >= first:
            yield DefaultRecord(offset, at_ms, header.timestamp_type, key, value, headers)


def _field(plain: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(plain, at)
    if length < 0:
        return None, at
    if at + length > len(plain):
        raise ValueError("a field is longer than the batch")
    return plain[at : at + length], at + length


fetcher.MemoryRecords = RecordBatches
