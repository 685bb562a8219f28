"""Reading the log again: a stretch of the topics, batch by batch, with no group of its own."""

import time
from collections.abc import AsyncIterator, Collection, Iterable
from itertools import chain
from types import TracebackType
from typing import NamedTuple, Self

from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from rater.kinds.kind import Kind
from streams.base.settings import Settings
from streams.kafka.clients import admin_client, client_options
from streams.kafka.lean import LeanConsumer
from streams.rows.batch import Record

BATCH_RECORDS = 10_000
BATCH_BYTES = 32 * 1024 * 1024
READ_WAIT_MS = 500
READ_TIMEOUT_S = 30.0  # without any progress of a partition
REQUEST_TIMEOUT_S = 40.0

RecordTooLargeError = MessageSizeTooLargeError  # for what sends a record again


class LogReadError(RuntimeError):
    """The log can't be read as asked; the message says what to do."""


# What the log gives


class Span(NamedTuple):
    """A stretch of a partition: from `first` up to, and without, `end`."""

    kind: Kind
    topic: str
    partition: int
    first: int
    end: int


class Chunk(NamedTuple):
    """A part of a span that is in memory: the offsets it covers, and their records."""

    first: int
    end: int
    records: list[Record]


class Reader:
    """Reads the log without a group: nothing is committed and no worker loses a partition."""

    def __init__(self, settings: Settings, *, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """`timeout_s` is for each request. It is better than to cancel one: aiokafka leaves its
        first connection open then.
        """
        self._consumer = LeanConsumer(
            **client_options(settings),
            request_timeout_ms=round(timeout_s * 1000),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=settings.fetch_max_bytes,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def bounds(
        self, places: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], tuple[int, int]]:
        """Where the log of each (topic, partition) begins and ends now."""
        partitions = [TopicPartition(*place) for place in places]
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        return {place: (begins[place], ends[place]) for place in partitions}

    async def offsets_at(
        self, at_ms: int, ends: dict[tuple[str, int], int]
    ) -> dict[tuple[str, int], int]:
        """The offset of the first record at or after an instant; the end where there is none."""
        instants = {TopicPartition(*place): max(0, at_ms) for place in ends}
        found = await self._consumer.offsets_for_times(instants)
        return {place: found[place].offset if found.get(place) else ends[place] for place in ends}

    async def read(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[Chunk]:
        """Offsets from `first` up to, and without, `end`, in chunks that fit into memory.

        Raises LogReadError when the log falls silent before the end.
        """
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, first)
        position = first
        records: list[Record] = []
        size = 0
        progressed_at = time.monotonic()
        while position < end:
            self._consumer.make_room()
            fetched = await self._consumer.getmany(place, timeout_ms=READ_WAIT_MS)
            for record in chain.from_iterable(fetched.get(place, ())):
                if record.offset < end:
                    records.append(record)
                    size += len(record.value or b"")
            before, position = position, await self._consumer.position(place)
            if position > before:
                progressed_at = time.monotonic()
            elif time.monotonic() - progressed_at > READ_TIMEOUT_S:
                raise LogReadError(
                    f"{topic} {partition} gave nothing from offset {position} for "
                    f"{READ_TIMEOUT_S:.0f} s, and ends at {end}; is its leader up?"
                )
            if len(records) >= BATCH_RECORDS or size >= BATCH_BYTES or position >= end:
                position = min(position, end)
                yield Chunk(first, position, records)
                first, records, size = position, [], 0

    async def read_record(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record, or None when the log no longer holds it."""
        [(begin, end)] = (await self.bounds([(topic, partition)])).values()
        if not begin <= offset < end:
            return None
        async for chunk in self.read(topic, partition, offset, offset + 1):
            for record in chunk.records:
                return record
        return None


async def partition_counts(settings: Settings, topics: Collection[str]) -> dict[str, int]:
    """How many partitions each topic has; without those that do not exist."""
    async with admin_client(settings) as admin:
        described = await admin.describe_topics(sorted(topics))
    return {
        topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]
    }


# What is compared
