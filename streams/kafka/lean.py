"""The worker's consumer: records as they were read, in lists, and no more at once than fits."""

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import proxy

import aiokafka
from aiokafka.consumer.fetcher import FetchResult

from streams.kafka.record_batches import RecordBatch, RecordBatches, Records, skipped_by

# What one reading of all partitions hands out, about, and one record batch of more at the most.
HANDED_OUT_BYTES = 67_108_864


class LeanConsumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer without a ConsumerRecord for each record: lists of them in its place."""

    async def start(self) -> None:
        await super().start()
        self._fetcher._records = _Fetched(self._fetcher._records)

    def make_room(self) -> None:
        """To be called before each reading."""
        self._fetcher._records.room = HANDED_OUT_BYTES


class _Fetched(OrderedDict[Any, Any]):
    """What aiokafka has fetched, by partition, to be handed out by lists of records.

    Their records stay as aiokafka's C reader made them: they have all that rating reads, and a
    ConsumerRecord of each costs more than to decode it.
    """

    room = HANDED_OUT_BYTES

    def __init__(self, *args: Any) -> None:
        # Of each partition: up to where its last fetch was read, and what of it was handed out.
        self._ends: dict[Any, tuple[int, int]] = {}
        super().__init__(*args)

    def __setitem__(self, tp: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            fetched = result._partition_records
            # What is skipped at the end of a fetch is told with the first record of the next one,
            # if that goes on where it ended.
            begin = fetched.next_fetch_offset
            read, handed_out = self._ends.get(tp, (begin, begin))
            result.handed_out = handed_out if read == begin else begin
            fetched._consumer_record = _as_read
            fetched._records = _Lists(fetched._records, begin)
            # Weakly: in a cycle, a fetch would stay until the collector comes.
            result.getall = partial(self._take, proxy(result))
        super().__setitem__(tp, result)

    def _take(self, result: Any, _: int | None = None) -> list[Records]:
        """As FetchResult.getall, while there is room; the rest is unpacked the next time."""
        taken: list[Records] = []
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            return taken
        while self.room > 0:
            records = next(result._partition_records, None)
            if records is None:
                self._update(result)
                result._partition_records = None
                return taken
            records.skipped = skipped_by(records, result.handed_out)
            result.handed_out = records.offset + 1
            taken.append(records)
            self.room -= records.size
        if taken:
            self._update(result)
        return taken

    def _update(self, result: Any) -> None:
        result._update_position()
        read = result._partition_records.next_fetch_offset
        self._ends[result._topic_partition] = read, result.handed_out


def _as_read(_: Any, records: Any) -> Any:
    return records


class _Lists:
    """The record batches of a fetch, as aiokafka goes through them; each holds lists of records."""

    def __init__(self, batches: RecordBatches, first_offset: int) -> None:
        # Not PartitionRecords, which has this: they would be a cycle, too.
        self._batches = batches
        self._first_offset = first_offset

    def has_next(self) -> bool:
        return self._batches.has_next()

    def next_batch(self) -> Any:
        return _ListsOfOne(self._batches.next_batch(), self._first_offset)


class _ListsOfOne:
    def __init__(self, batch: Any, first_offset: int) -> None:
        self._batch = batch
        self._first_offset = first_offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """A control batch's record."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Records]:
        is_old = not isinstance(self._batch, RecordBatch)
        for records in [Records(self._batch)] if is_old else self._batch.lists():
            some = records
            if records[0].offset < self._first_offset:
                some = Records(one for one in records if one.offset >= self._first_offset)
                some.size = records.size
            if some:
                yield some
