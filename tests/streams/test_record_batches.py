"""Record batches that can't be read: each offset is handed out, read or unread, and no more of them
is in memory than may be."""

import zlib
from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka.record._crc32c import crc as crc32c
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from rater.kinds import KINDS
from rater.reject import Reason
from rater.tariff import Book, Memo
from streams.ingest.stretch import Stretch, rate_topic
from streams.kafka import record_batches
from streams.kafka.codecs import CODECS, TooMuchError, unpack
from streams.kafka.record_batches import RecordBatches, Records, Unread

COUNT = 5


def batch(codec: int = 0, first: int = 40) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, 0, 0, 100_000)
    for n in range(COUNT):
        builder.append(n, 1_000 + n, b"key", b"value-%d" % n, [("name", b"x")])
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")
    return raw


def sealed(raw: bytearray) -> bytes:
    raw[17:21] = crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def read(raw: bytes) -> list[Any]:
    batches = RecordBatches(raw)
    records = []
    while batches.has_next():
        one = batches.next_batch()
        assert one.validate_crc()
        records += list(one)
    return records


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_what_is_packed_as_nothing_can_unpack_it_is_unread_and_what_follows_is_read(
    codec: int,
) -> None:
    broken = batch(codec)
    broken[61:] = b"\xfe" * (len(broken) - 61)
    broken[22] = codec  # a small batch was left as it was
    raw = sealed(broken)
    records = read(raw + bytes(batch(first=45)))
    unread, well = records[:COUNT], records[COUNT:]
    assert [record.offset for record in records] == list(range(40, 50))
    assert [record.value for record in well] == [b"value-%d" % n for n in range(COUNT)]
    assert {type(record) for record in unread} == {Unread}
    assert [record.value for record in unread] == [raw, b"", b"", b"", b""]
    reject = unread[0].reject
    assert reject.reason is Reason.BAD_BATCH
    assert reject.message.startswith("offsets 40 to 44 are of a record batch that can't be read (")


@pytest.mark.parametrize("count", [1, 5, 10, 11])
def test_a_well_batch_is_read_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """aiokafka's reader raises where it is asked beyond its end: all was read again, in Python."""
    monkeypatch.setattr(record_batches, "RECORDS_TOGETHER", 5)
    again = Mock(return_value=[])
    monkeypatch.setattr(record_batches, "_read_leniently", again)
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for nth in range(count):
        builder.append(nth, timestamp=1_000, key=None, value=b"{}", headers=[])
    assert [record.offset for record in read(bytes(builder.build()))] == list(range(count))
    again.assert_not_called()


def test_a_wrong_checksum_is_unread() -> None:
    raw = batch()
    raw[-1] ^= 1
    assert {type(record) for record in read(bytes(raw))} == {Unread}


def test_a_header_that_is_not_whole_tells_of_no_offsets() -> None:
    raw = batch()
    raw[23] ^= 64  # a thousand million offsets
    assert not RecordBatches(bytes(raw)).next_batch().validate_crc()


def test_records_before_one_that_is_broken_are_read() -> None:
    raw = batch()
    at = bytes(raw).index(b"value-3")
    raw[at - 1] = 0x7F  # its value's length
    records = read(sealed(raw))
    assert [record.offset for record in records] == list(range(40, 45))
    assert [isinstance(record, Unread) for record in records] == [False] * 3 + [True] * 2
    assert records[3].value == bytes(raw)


def test_unread_records_are_dead_letters_each_and_the_others_are_rated(book: Book) -> None:
    raw = batch()
    raw[-1] ^= 1
    unread = Records(read(bytes(raw)))
    kind = KINDS["call"]
    well = Records(read(bytes(batch())))
    stretches = [Stretch(kind, kind.topic, 0, some, lambda: None) for some in (well, unread)]
    rated = rate_topic(stretches, book, Memo())
    reasons = [row.reject.reason.value for row in rated.rejected]
    assert sorted(reasons) == ["bad_batch"] * COUNT + ["bad_json"] * COUNT
    assert [receipt.rejected for receipt in rated.receipts] == [COUNT, COUNT]


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_stops_at_the_bound(codec: int) -> None:
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, 0, 0, 10_000_000)
    builder.append(0, 1_000, None, b"0" * 1_000_000, [])
    packed = bytes(builder.build())[61:]
    size = len(unpack(codec, packed, 2_000_000))
    assert len(unpack(codec, packed, size)) == size > 1_000_000
    with pytest.raises(TooMuchError):
        unpack(codec, packed, size - 1)


def test_a_bomb_of_gigabytes_is_refused_at_once() -> None:
    packer = zlib.compressobj(wbits=31)
    nothing = b"\0" * 2**20
    packed = b"".join(packer.compress(nothing) for _ in range(1_024)) + packer.flush()
    with pytest.raises(TooMuchError):
        unpack(1, packed, record_batches.UNPACKED_BYTES_MAX)
