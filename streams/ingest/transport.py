"""Record batches through Faust: one message to an agent is one fetch's records of one partition.

Faust spends about 100 us on each message whatever the agent does, so the message here is a whole
fetch: its value is the list of records and its offset the last one's. What is committed is exact:
per partition the batches are kept in the order of delivery, and a commit goes up to the last of
those acknowledged without a gap. A batch that was dropped by a rebalance is forgotten together
with the rest, and read again from the committed offset.

Written for the versions in WRITTEN_FOR, whose consumers' inner parts it overrides; `check_versions`
says when another one is installed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any, NamedTuple

import aiokafka
import faust
import faust._cython.streams
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import ack_lock
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.base import faults, metrics
from streams.kafka.clients import METADATA_MAX_AGE_MS
from streams.kafka.lean import LeanConsumer
from streams.kafka.record_batches import Records, join

WRITTEN_FOR = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}
# A broker answers a fetch when it has so much, or after so long: a few large fetches, where each
# record batch would be one, cost half of the event loop's time at 10,000 events a second.
FETCH_WAIT_MS = 100
FETCH_MIN_BYTES = 1_048_576
# Of records that were delivered and not acknowledged, about: beyond it nothing more is unpacked.
IN_FLIGHT_BYTES_MAX = 268_435_456
IN_FLIGHT_WAIT_S = 0.05

logger = logging.getLogger(__name__)


def check_versions() -> None:
    """Says so when what is installed is not what has its inner parts overridden here."""
    for name, written_for in WRITTEN_FOR.items():
        if (installed := version(name)) != written_for:
            logger.warning(
                "%s %s is installed; the batch transport was written for %s: "
                "run the tests before trusting it",
                name,
                installed,
                written_for,
            )


class Owed(NamedTuple):
    """An offset to commit, and the timestamp of the oldest record before it that is not."""

    offset: int
    oldest_ms: int


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer; here for the consumer's own settings."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        """Reads committed records only, and gives one worker the same partition of every topic.

        Faust's own way reads uncommitted records and spreads an account over several workers.
        """
        conf = self.app.conf
        # Faust asks its own attribute for the assignor when it reports the assignment.
        self._assignor = RangePartitionAssignor
        return LeanConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=transport.instance_id or None,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_min_bytes=FETCH_MIN_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def _fetch_records(
        self, consumer: LeanConsumer, *args: Any, **kwargs: Any
    ) -> Mapping[TP, list[Records]]:
        consumer.make_room()
        fetched = await super()._fetch_records(consumer, *args, **kwargs)
        return {tp: join(lists) for tp, lists in fetched.items()}

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Back to what is committed, and to the beginning where nothing is yet.

        aiokafka leaves the position as it is there, and what was fetched and dropped would never
        be read.
        """
        offsets: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return offsets

    async def _seek_to_committed(self) -> Mapping[Any, Any]:
        consumer = self._ensure_consumer()
        offsets: Mapping[Any, Any] = await consumer.seek_to_committed()
        if unread := [tp for tp, offset in offsets.items() if not offset]:
            await consumer.seek_to_beginning(*unread)
        return offsets


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer with one message per partition and fetch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What was delivered and is not committed yet, in order. Acknowledging marks the message
        # itself: an offset alone can't tell a batch from its second reading after a rebalance.
        self._delivered: defaultdict[TP, deque[ConsumerMessage]] = defaultdict(deque)
        # What is to be committed and the broker has not said yes to: tried again until it has.
        self._owed: dict[TP, Owed] = {}
        self.committed_at = time.monotonic()  # when the broker last said yes

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def assignment(self) -> set[TP]:
        """The partitions of this worker; none while the consumer's thread is still starting.

        Faust asks during its own start, when the thread may not be there yet, and would crash.
        """
        try:
            assigned: set[TP] = super().assignment()
        except ConsumerNotStarted:
            return set()
        return assigned

    def group_error(self) -> BaseException | None:
        """Why this worker can't be in its group, or None.

        aiokafka tells whoever fetches; but Faust fetches nothing before it has partitions, and
        would wait for them for ever.
        """
        consumer = self._thread._consumer
        coordinator = consumer._coordinator if consumer is not None else None
        if coordinator is None:
            return None
        routine: asyncio.Task[None] = coordinator._coordination_task
        if routine.done() and not routine.cancelled() and (error := routine.exception()):
            return error
        pending: BaseException | None = coordinator._pending_exception
        return pending

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetches, and hands out each partition's records as one message; those that can't be read
        as one of their own. Nothing more while too much is in flight.
        """
        if self.bytes_in_flight() > IN_FLIGHT_BYTES_MAX:
            await asyncio.sleep(IN_FLIGHT_WAIT_S)
            return
        # Before the wait: what an old generation fetched, from its own position, must not go
        # before what the new one reads from the committed offset.
        generation = self.app.consumer_generation_id
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        # All of them before the first is handed out, which may wait: what was read and is not
        # among these counts as done.
        messages = [
            (tp, self._to_batch_message(tp, batch, generation))
            for tp, lists in records.items()
            if active is None or tp in active or tp in self._buffered_partitions
            for batch in lists
        ]
        for tp, message in messages:
            self._delivered[tp].append(message)
        for tp, message in messages:
            if not self.flow_active or self.app.consumer_generation_id != generation:
                # A rebalance has begun or passed: what was fetched is read again.
                with suppress(AssertionError, IllegalStateError):  # where nothing is assigned
                    await self.perform_seek()
                return
            yield tp, message

    def _to_batch_message(self, tp: TP, batch: Records, generation: int) -> ConsumerMessage:
        last = batch[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            batch,
            None,
            serialized_value_size=batch.size,
            tp=tp,
            generation_id=generation,
        )

    def ack(self, message: ConsumerMessage) -> bool:
        """Marks a batch as durable. It is committed once all batches before it are."""
        with ack_lock:
            if message.acked:
                return False
            message.acked = True
            self._unacked_messages.discard(message)
            self._n_acked += 1
            notify(self._waiting_for_ack)
            return True

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterator[TP]:
        return (
            tp
            for tp in list(self._delivered)
            if topics is None or tp in topics or tp.topic in topics
        )

    def _new_offset(self, tp: TP) -> int | None:
        """The offset after the last batch that is acknowledged with all before it, or None; again
        and again until the broker has said yes to it."""
        delivered = self._delivered[tp]
        owed = self._owed.get(tp)
        while delivered and delivered[0].acked:
            message = delivered.popleft()
            oldest_ms = owed.oldest_ms if owed else round(message.timestamp * 1000)
            owed = self._owed[tp] = Owed(message.offset + 1, oldest_ms)
        return owed.offset if owed else None

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        """Faust takes every commit for made; what the broker has not said yes to is as before."""
        before = {tp: self._committed_offset[tp] for tp in offsets}
        committed: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:
            self._committed_offset.update(before)
        return committed

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to do: whole fetches, in order, have no gaps that matter to a commit."""

    async def perform_seek(self) -> None:
        """Back to the committed offsets: what was delivered before counts no more."""
        self._delivered.clear()
        self._owed.clear()
        await super().perform_seek()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        metrics.REBALANCES.inc()
        metrics.ASSIGNED.set(len(assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._delivered.pop(tp, None)
            self._owed.pop(tp, None)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Counts as made once the broker has said yes; what it has not is tried again."""
        faults.reach("in_commit")
        began = time.monotonic()
        committed = False
        try:
            committed = await super()._commit(offsets)
        finally:
            if not committed:
                metrics.COMMIT_ERRORS.inc()
        if not committed:
            return False
        for tp, offset in offsets.items():
            if (owed := self._owed.get(tp)) and owed.offset <= offset:
                del self._owed[tp]
        self.committed_at = time.monotonic()
        metrics.COMMIT_DURATION.observe(self.committed_at - began)
        metrics.LAST_COMMIT.set(time.time())
        faults.reach("after_commit")
        return True

    def in_flight(self) -> int:
        """Batches delivered to agents and not yet acknowledged."""
        return sum(not message.acked for batch in self._delivered.values() for message in batch)

    def in_flight_since(self) -> dict[TP, float]:
        """By partition, when the log took the oldest record that is not acknowledged, Unix s."""
        since = {}
        for tp, delivered in self._delivered.items():
            # The writer empties what it has written, just before it acknowledges it.
            oldest = next((one for one in delivered if not one.acked and one.value), None)
            if oldest is not None:
                since[tp] = oldest.value[0].timestamp / 1000
        return since

    def bytes_in_flight(self) -> int:
        """About what they take of memory."""
        return sum(
            message.serialized_value_size
            for batch in self._delivered.values()
            for message in batch
            if not message.acked
        )

    def _reached(self, tp: TP) -> tuple[int, int]:
        """Up to where a partition was read, and up to where it can be; 0 where nobody knows yet."""
        consumer = self._thread._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or tp not in assignment.tps:
            return 0, 0
        state = assignment.state_value(tp)
        return (state.position if state.has_valid_position else 0), state.lso or 0

    def lags(self, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> Mapping[TP, int]:
        """Records not yet committed of each assigned partition whose log's `bounds` are known.

        The bounds are asked for apart from what is fetched: a consumer that stands still would
        say that there is nothing to read. What retention took before it was read is no lag; nor is
        what nobody can read, a transaction's marker or what it has not committed: where nothing is
        in flight, what was read up to is done.
        """
        lags = {}
        for tp in self.assignment():
            if (known := bounds.get((tp.topic, tp.partition))) is not None:
                first, end = known
                position, stable_end = self._reached(tp)
                done = max(first, self.committed_offset(tp))
                if not self._delivered[tp] and tp not in self._owed:
                    done = max(done, position)
                lags[tp] = max(0, max(end, stable_end) - done)
        return lags

    def committed_offset(self, tp: TP) -> int:
        """What the broker has said yes to; 0 where nothing is committed."""
        return self._committed_offset[tp] or 0

    def oldest_ms(self, tp: TP) -> int | None:
        """The broker's timestamp of the oldest record that was delivered and is not committed; of a
        batch that is acknowledged, of its last record. None where nothing was delivered."""
        if (owed := self._owed.get(tp)) is not None:
            return owed.oldest_ms
        if not self._delivered[tp]:
            return None
        head = self._delivered[tp][0]
        return int(head.value[0].timestamp if head.value else head.timestamp * 1000)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the batch consumer; set as `app.transport`."""

    Consumer = BatchConsumer
    instance_id = ""  # of a static member of the group


def use_batches(app: faust.App, instance_id: str = "") -> None:
    """Makes an app's agents receive record batches.

    A worker that has an instance id keeps its partitions while it is away, for as long as its
    session lasts; without one the group divides them anew when it stops.
    """
    check_versions()
    app.transport = BatchTransport(app.conf.broker_consumer, app, loop=app.loop)
    app.transport.instance_id = instance_id
