"""What may be committed: whole batches, in order, without a gap, and none that was forgotten."""

import gc
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatchBuilder
from faust.types import TP, ConsumerMessage

from rater.reject import Reason, Reject
from streams.ingest import transport as batches
from streams.ingest.transport import BatchConsumer, BatchConsumerThread, check_versions
from streams.kafka.lean import _Fetched
from streams.kafka.record_batches import RecordBatches, Records, Skipped, Unread

FAUST_S_OWN = "faust.transport.drivers.aiokafka.Consumer"
CALLS = TP("usage.call.v1", 0)
TEXTS = TP("usage.text.v1", 3)


class Consumer(BatchConsumer):
    """The consumer without a broker: deliveries are made by hand."""

    def __init__(self) -> None:
        self._delivered = defaultdict(deque)
        self._unacked_messages: set[ConsumerMessage] = set()
        self._n_acked = 0
        self._waiting_for_ack = None
        self._owed: dict[TP, batches.Owed] = {}
        self._committed_offset: defaultdict[TP, int | None] = defaultdict(lambda: None)

    def deliver(self, tp: TP, first: int, last: int) -> ConsumerMessage:
        records = Records(
            SimpleNamespace(offset=offset, timestamp=1_000, timestamp_type=1)
            for offset in (first, last)
        )
        message = self._to_batch_message(tp, records, 1)
        self._delivered[tp].append(message)
        self._unacked_messages.add(message)
        return message

    def committable(self) -> dict[TP, int]:
        """What a commit goes up to; the broker says yes to it."""
        offsets = {tp: self._new_offset(tp) for tp in self._filter_tps_with_pending_acks()}
        self._owed.clear()
        return {tp: offset for tp, offset in offsets.items() if offset is not None}


def test_a_message_is_a_whole_fetch_and_its_offset_the_last_record_s() -> None:
    message = Consumer().deliver(CALLS, 10, 19)
    assert (message.topic, message.partition, message.offset) == ("usage.call.v1", 0, 19)
    assert [record.offset for record in message.value] == [10, 19]


# Batches of one partition as (first, last); acknowledged in this order -> committed after each.
ORDERS = [
    # batches                       acknowledged   committable after each
    ([(0, 9)],                      [0],           [10]),
    ([(0, 9), (10, 14)],            [0, 1],        [10, 15]),
    ([(0, 9), (10, 14)],            [1, 0],        [None, 15]),
    ([(0, 9), (10, 14), (15, 15)],  [2, 1, 0],     [None, None, 16]),
    ([(0, 9), (10, 14), (15, 15)],  [0, 2, 1],     [10, None, 16]),
    ([(0, 4), (9, 12)],             [0, 1],        [5, 13]),  # a gap of control records
]  # fmt: skip


@pytest.mark.parametrize(("delivered", "acknowledged", "expected"), ORDERS)
def test_a_commit_goes_up_to_the_last_batch_acknowledged_without_a_gap(
    delivered: list[tuple[int, int]], acknowledged: list[int], expected: list[int | None]
) -> None:
    consumer = Consumer()
    messages = [consumer.deliver(CALLS, first, last) for first, last in delivered]
    got = []
    for index in acknowledged:
        assert consumer.ack(messages[index])
        got.append(consumer.committable().get(CALLS))
    assert got == expected
    assert consumer.in_flight() == 0


LAGS = [
    # log's bounds | committed | read up to, can be | in flight | lag
    ((0, 10),        None,       (0, 0),              False,      10),
    ((0, 10),        4,          (4, 0),              False,      6),
    ((0, 10),        4,          (10, 12),            True,       8),   # a fetch may know more
    ((0, 10),        12,         (12, 0),             False,      0),   # and so may a commit
    ((7, 10),        4,          (10, 10),            True,       3),   # retention took the others
    ((10, 10),       None,       (0, 10),             False,      0),
    ((0, 10),        9,          (10, 10),            False,      0),   # a transaction's marker
    ((0, 10),        9,          (10, 10),            True,       1),   # not before it is done
]  # fmt: skip


@pytest.mark.parametrize(("bounds", "committed", "reached", "in_flight", "lag"), LAGS)
def test_lag_is_what_can_be_read_in_the_log_and_is_not_committed(
    bounds: tuple[int, int],
    committed: int | None,
    reached: tuple[int, int],
    in_flight: bool,
    lag: int,
) -> None:
    consumer: Any = SimpleNamespace(
        assignment=lambda: {CALLS, TEXTS},
        _reached=lambda tp: reached,
        committed_offset=lambda tp: committed or 0,
        _owed={},
        _delivered={CALLS: [object()] * in_flight},
    )
    assert BatchConsumer.lags(consumer, {(CALLS.topic, CALLS.partition): bounds}) == {CALLS: lag}


def test_what_the_broker_did_not_say_yes_to_is_tried_again_with_what_came_after() -> None:
    consumer = Consumer()
    consumer.ack(consumer.deliver(CALLS, 0, 9))
    assert (consumer._new_offset(CALLS), consumer._new_offset(CALLS)) == (10, 10)
    assert consumer.oldest_ms(CALLS) == 1_000
    consumer.ack(consumer.deliver(CALLS, 10, 14))
    assert consumer.committable() == {CALLS: 15}
    assert consumer.committable() == {}
    assert consumer.oldest_ms(CALLS) is None


def test_acknowledging_twice_counts_once() -> None:
    consumer = Consumer()
    message = consumer.deliver(CALLS, 0, 9)
    assert consumer.ack(message)
    assert not consumer.ack(message)
    assert consumer.committable() == {CALLS: 10}
    assert consumer.committable() == {}


def test_partitions_commit_each_by_itself() -> None:
    consumer = Consumer()
    consumer.deliver(CALLS, 0, 9)
    consumer.ack(consumer.deliver(TEXTS, 5, 7))
    assert consumer.committable() == {TEXTS: 8}
    assert consumer.in_flight() == 1


async def test_a_late_acknowledgement_of_a_forgotten_batch_commits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch read again after a rebalance may end at the same offset and begin earlier."""

    async def seek(_: object) -> None:
        return None

    monkeypatch.setattr(f"{FAUST_S_OWN}.perform_seek", seek)
    consumer = Consumer()
    before = consumer.deliver(CALLS, 5, 9)
    await consumer.perform_seek()
    again = consumer.deliver(CALLS, 0, 9)
    consumer.ack(before)
    assert consumer.committable() == {}
    consumer.ack(again)
    assert consumer.committable() == {CALLS: 10}


class Fetching(Consumer):
    """One whose fetches are made by hand, too."""

    flow_active = True
    should_stop = False

    def __init__(self, meanwhile: Callable[["Fetching"], None]) -> None:
        super().__init__()
        self.app = SimpleNamespace(consumer_generation_id=1)
        self._buffered_partitions: set[TP] = set()
        self.sought = 0
        self._meanwhile = meanwhile

    async def _wait_next_records(self, _: float) -> tuple[dict[TP, list[Records]], set[TP]]:
        self._meanwhile(self)
        record = SimpleNamespace(offset=9, timestamp=1_000, timestamp_type=1)
        return {CALLS: [Records([record])], TEXTS: [Records([record])]}, {CALLS, TEXTS}

    async def perform_seek(self) -> None:
        self.sought += 1
        self._delivered.clear()


def a_rebalance_passes(consumer: Fetching) -> None:
    consumer.app.consumer_generation_id += 1


def a_rebalance_begins(consumer: Fetching) -> None:
    consumer.flow_active = False


MEANWHILE = [
    # while it waits          partitions delivered, seeks
    (lambda _: None,          [CALLS, TEXTS], 0),
    (a_rebalance_passes,      [],             1),
    (a_rebalance_begins,      [],             1),
]  # fmt: skip


@pytest.mark.parametrize(("meanwhile", "delivered", "sought"), MEANWHILE)
async def test_what_was_fetched_before_a_rebalance_is_read_again_after_it(
    meanwhile: Callable[[Fetching], None], delivered: list[TP], sought: int
) -> None:
    """From the old generation's position it could be committed before what comes before it."""
    consumer = Fetching(meanwhile)
    assert [tp async for tp, _ in consumer.getmany(1.0)] == delivered
    assert consumer.sought == sought
    assert sorted(consumer._delivered) == sorted(delivered)


async def test_where_nothing_is_committed_yet_it_is_back_to_the_beginning() -> None:
    """aiokafka's own seek leaves such a partition where it was, and what was dropped is lost."""
    begun: list[TP] = []

    class Asked:
        async def seek_to_committed(self) -> dict[TP, int | None]:
            return {CALLS: None, TEXTS: 7}

        async def seek_to_beginning(self, *places: TP) -> None:
            begun.extend(places)

    thread = object.__new__(BatchConsumerThread)
    thread._consumer = Asked()
    assert await thread._seek_to_committed() == {CALLS: None, TEXTS: 7}
    assert begun == [CALLS]


async def test_a_revoked_partition_is_forgotten_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def revoked(_: object, __: set[TP]) -> None:
        return None

    monkeypatch.setattr(f"{FAUST_S_OWN}.on_partitions_revoked", revoked)
    consumer = Consumer()
    calls, texts = consumer.deliver(CALLS, 0, 9), consumer.deliver(TEXTS, 0, 3)
    await consumer.on_partitions_revoked({CALLS})
    consumer.ack(calls)
    consumer.ack(texts)
    assert consumer.committable() == {TEXTS: 4}


def test_records_stay_as_they_were_read() -> None:
    """By aiokafka's own unpacking of what a broker would send, with and without our wrapping."""
    lean, usual = _unpacked(_Fetched(), _batch(0)), _unpacked({}, _batch(0))
    (whole,) = lean
    assert [type(record) for record in whole] == [DefaultRecord, DefaultRecord]
    assert {type(record) for record in usual} == {ConsumerRecord}
    for name in ("offset", "timestamp", "key", "value"):
        assert [getattr(one, name) for one in whole] == [getattr(one, name) for one in usual]
    assert [(one.offset, one.key, one.value) for one in whole] == [(0, b"a", b"1"), (1, None, b"2")]


@pytest.mark.parametrize("first", range(7))
def test_whole_record_batches_have_the_records_that_are_wanted(first: int) -> None:
    """From an offset that may lie within a batch, without control records and aborted batches."""
    by_last = {
        1: _batch(0),
        3: _batch(2, producer_id=7, transactional=True),  # aborted by the marker at 4
        4: _batch(4, producer_id=7, transactional=True, control=True),
        6: _batch(5),
    }
    log = b"".join(batch for last, batch in by_last.items() if last >= first)
    aborted = [(7, 2)]
    usual = _unpacked({}, log, first, aborted)
    lean = [one for whole in _unpacked(_Fetched(), log, first, aborted) for one in whole]
    assert [one.offset for one in usual] == [offset for offset in (0, 1, 5, 6) if offset >= first]
    assert [one.offset for one in lean] == [one.offset for one in usual]


class Assigned:
    """An assignment of one partition, as a fetch sees it."""

    active, paused = True, False

    def __init__(self) -> None:
        self.position = 0

    def consumed_to(self, position: int) -> None:
        self.position = position

    def state_value(self, _: TopicPartition) -> "Assigned":
        return self


def test_offsets_without_a_record_are_told_with_the_record_that_follows() -> None:
    """Within a fetch, and where one ends with them; not where a reader begins anew elsewhere."""
    place, results, assigned = TopicPartition("usage.call.v1", 0), _Fetched(), Assigned()

    def read(first: int, log: bytes) -> list[tuple[list[int], Skipped]]:
        assigned.position = first
        results[place] = fetched = _fetched(place, log, first, [(7, 2)])
        fetched._assignment = assigned
        return [([one.offset for one in some], some.skipped) for some in fetched.getall()]

    taken_back = _batch(2, producer_id=7, transactional=True)
    marker = _batch(4, producer_id=7, transactional=True, control=True)
    assert read(0, _batch(0) + taken_back + marker + _batch(5)) == [
        ([0, 1], ()),
        ([5, 6], ((2, 4),)),
    ]
    last_marker = _batch(7, producer_id=8, transactional=True, control=True)
    assert read(7, last_marker) == []
    assert assigned.position == 8
    assert read(8, _batch(8)) == [([8, 9], ((7, 7),))]
    assert read(20, _batch(20)) == [([20, 21], ())], "it began anew there: a gap, if it is one"
    assert read(8, _batch(8)) == [([8, 9], ())]


def test_what_was_handed_out_is_let_go_without_the_collector() -> None:
    place = TopicPartition("usage.call.v1", 0)
    fetched = _fetched(place, _batch(0))
    results = _Fetched({place: fetched})
    kept = weakref.ref(fetched._partition_records)
    gc.disable()
    try:
        assert list(fetched._partition_records)
        del results[place], fetched
        assert kept() is None
    finally:
        gc.enable()


async def test_a_fetch_is_handed_out_as_its_records_and_those_unread_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread = Records([Unread(3, 1_000, b"", Reject(Reason.BAD_BATCH, ""))])

    async def fetch(*_: object, **__: object) -> dict[TP, list[Records]]:
        return {
            CALLS: [Records([1]), Records([2]), unread, Records([4])],
            TEXTS: [Records([5])],
        }

    monkeypatch.setattr(
        "faust.transport.drivers.aiokafka.AIOKafkaConsumerThread._fetch_records", fetch
    )
    thread = object.__new__(BatchConsumerThread)
    consumer: Any = SimpleNamespace(make_room=lambda: None)
    assert await thread._fetch_records(consumer) == {CALLS: [[1, 2], unread, [4]], TEXTS: [[5]]}


async def test_nothing_is_fetched_while_too_much_is_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer = Fetching(lambda _: None)
    monkeypatch.setattr(batches, "IN_FLIGHT_BYTES_MAX", 100)
    large = Records([SimpleNamespace(offset=0, timestamp=1_000, timestamp_type=1)])
    large.size = 101
    message = consumer._to_batch_message(CALLS, large, 1)
    consumer._delivered[CALLS].append(message)
    assert [tp async for tp, _ in consumer.getmany(1.0)] == []
    consumer.ack(message)
    assert [tp async for tp, _ in consumer.getmany(1.0)] == [CALLS, TEXTS]


def _batch(
    first: int, *, producer_id: int = -1, transactional: bool = False, control: bool = False
) -> bytes:
    """A record batch as it lies in a log: two records, or a marker that aborts a transaction."""
    builder = DefaultRecordBatchBuilder(2, 0, transactional, producer_id, 0, 0, 10_000)
    records = [(b"a", b"1"), (None, b"2")] if not control else [(b"\0\0\0\0", b"")]
    for offset, (key, value) in enumerate(records):
        builder.append(offset, 1_000 + offset, key, value, [])
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")
    if control:
        raw[22] |= 0x20
    return bytes(raw)


def _unpacked(
    results: dict[Any, Any], log: bytes, first: int = 0, aborted: Any = None
) -> list[Any]:
    place = TopicPartition("usage.call.v1", 0)
    results[place] = _fetched(place, log, first, aborted)
    return list(results[place]._partition_records)


def _fetched(place: TopicPartition, log: bytes, first: int = 0, aborted: Any = None) -> Any:
    records = PartitionRecords(
        place, RecordBatches(log), aborted, first, None, None, False, READ_COMMITTED
    )
    return FetchResult(place, assignment=None, partition_records=records, backoff=0)


def test_other_versions_are_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check_versions()
    assert not caplog.messages, "the lock and the transport disagree about the version"
    monkeypatch.setattr(batches, "version", lambda _: "9.9.9")
    check_versions()
    for name, written_for in batches.WRITTEN_FOR.items():
        assert f"{name} 9.9.9 is installed; the batch transport was written for {written_for}" in (
            caplog.text
        )
