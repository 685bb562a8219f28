"""The worker: the Faust app, the writer and the maintenance on one event loop."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import faust
import structlog
from faust.types import TP

from streams.base import metrics
from streams.base.books import BookFile
from streams.base.errors import first_line, in_words
from streams.base.settings import Settings
from streams.base.shutdown import wait_briefly
from streams.ingest.agents import add_agents
from streams.ingest.app import make_app
from streams.ingest.startup import check_app, check_tables
from streams.ingest.writer import Writer
from streams.kafka.clients import BrokerErrors, make_producer
from streams.kafka.dead_letter_topic import send_dead_letters
from streams.kafka.log import Reader
from streams.kafka.topics import INPUTS, check_topics
from streams.maintenance.jobs import Maintenance
from streams.rows.batch import RejectedRow
from streams.runtime.progress import ProgressTeller
from streams.store.ledger import Ledger

TICK_S = 0.5
# The ends of the partitions, asked for apart from the fetching that may stand still.
BOUNDS_EVERY_S = 5.0
BROKER_SILENT_S = 15.0  # and it is not ready
BROKER_TIMEOUT_S = 5.0  # so that an absent broker does not hold up the next question

log = structlog.get_logger()


class WorkerFailedError(RuntimeError):
    """The worker had to stop; the message says why and what to do."""


class Behind(NamedTuple):
    """From which offset a partition is behind, and when that was first seen."""

    offset: int
    at: float


class Worker:
    """Reads topics, rates, writes, acknowledges; stops at the first thing it can't put right."""

    def __init__(self, settings: Settings, ledger: Ledger, book_file: BookFile) -> None:
        self._settings = settings
        self._ledger = ledger
        self._producer = make_producer(settings)
        self._writer = Writer(ledger, lambda: book_file.book, self._send_dead_letters, settings)
        self._app: faust.App = make_app(settings)
        self.maintenance = Maintenance(settings, ledger, book_file, self._keeps_house)
        add_agents(self._app, settings, self._writer)
        self._idle_at = time.monotonic()  # when there was last no lag
        self._known_at = time.monotonic()  # when the broker last said how much there is
        metrics.BROKER_ANSWERED.set(time.time())  # it has this long to say something
        self._behind: dict[TP, Behind] = {}
        self._bounds: dict[tuple[str, int], tuple[int, int]] = {}
        self._bounds_at_s = 0.0  # in Unix seconds: when the broker was last asked for them
        self._progress = ProgressTeller(settings, ledger)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then drains and stops.

        Raises StartupError or TopicsError before the first record, WorkerFailedError after.
        """
        await asyncio.to_thread(check_tables, self._ledger)
        await check_app(self._app)
        await check_topics(self._settings)
        await self._producer.start()
        tasks: set[asyncio.Task[object]] = set()
        try:
            stopping = asyncio.create_task(stop.wait(), name="stop")
            belonging = asyncio.create_task(self._watch_group(), name="group")
            starting = asyncio.create_task(self._app.start(), name="start")
            tasks |= {stopping, belonging, starting}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                tasks.remove(starting)
                tasks |= {
                    asyncio.create_task(self._writer.run(), name="writer"),
                    asyncio.create_task(self._tick(), name="tick"),
                    asyncio.create_task(self.maintenance.schedule.run(), name="maintenance"),
                    asyncio.create_task(self._watch_bounds(), name="bounds"),
                    asyncio.create_task(self._progress.run(), name="progress"),
                    asyncio.create_task(self._app.wait_until_stopped(), name="faust"),
                }
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and (error := task.exception()) is not None:
                    raise WorkerFailedError(str(error)) from error
            if not stop.is_set():
                reason = self._app.crash_reason
                raise WorkerFailedError(
                    f"Faust stopped: {in_words(reason) if reason else 'no reason given'}; what "
                    "was not acknowledged is read again after a restart"
                ) from reason
            if starting.done():
                await self._drain()
                if self.maintenance.is_keeper:
                    await self.maintenance.conflicts.run_last()
        finally:
            for any_task in tasks:
                any_task.cancel()
            await wait_briefly(*tasks)
            await wait_briefly(asyncio.create_task(self._app.stop()))
            await wait_briefly(asyncio.create_task(self._producer.stop()))
            self._writer.close()

    async def _watch_group(self) -> None:
        """Raises WorkerFailedError once this worker can't be in its group."""
        while (error := self._app.consumer.group_error()) is None:
            await asyncio.sleep(TICK_S)
        raise WorkerFailedError(
            f"the group {self._settings.group} can't be joined: {in_words(error)}; what was not "
            "acknowledged is read again after a restart"
        ) from error

    async def _drain(self) -> None:
        """Takes no more records, writes those taken, commits: within stop_timeout_s."""
        log.info("draining", stops_in_s=self._settings.stop_timeout_s)
        self._app.consumer.stop_flow()
        step = "write"
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await self._writer.drain()
                step = "commit"
                await self._app.consumer.commit()
        except TimeoutError:
            log.warning("not_drained", step=step, outcome="what was not acknowledged is read again")

    async def _send_dead_letters(self, rows: Sequence[RejectedRow]) -> None:
        for row in rows:
            # The reason and the place say enough: no number and no body goes to a log.
            log.warning(
                "rejected",
                reason=row.reject.reason.value,
                topic=row.place.topic,
                partition=row.place.partition,
                offset=row.place.offset,
            )
        await send_dead_letters(self._producer, self._settings, rows)

    async def _tick(self) -> None:
        """How much there is to do."""
        while True:
            self._show_lag(time.monotonic())
            await asyncio.sleep(TICK_S)

    async def _watch_bounds(self) -> None:
        """Keeps what the broker says of the assigned partitions, and when it last said anything."""
        while True:
            assigned = self._app.consumer.assignment() if self._app.started else ()
            places = [(tp.topic, tp.partition) for tp in assigned]
            if not places and time.monotonic() - self._known_at < BOUNDS_EVERY_S:
                await asyncio.sleep(TICK_S)
                continue
            try:
                async with Reader(self._settings, timeout_s=BROKER_TIMEOUT_S) as reader:
                    asked_at_s = time.time()
                    self._bounds = await reader.bounds(places)
                    self._bounds_at_s = asked_at_s
                    self._known_at = time.monotonic()
                    metrics.BROKER_ANSWERED.set(time.time())
            except (TimeoutError, *BrokerErrors) as error:
                log.warning("bounds_unknown", error=first_line(error))
            await asyncio.sleep(BOUNDS_EVERY_S)

    def _show_lag(self, now: float) -> None:
        consumer = self._app.consumer
        lags = consumer.lags(self._bounds) if self._is_assigned() else {}
        metrics.LAG_MESSAGES.clear()
        oldest_s = 0.0
        behind: dict[TP, Behind] = {}
        for tp, lag in lags.items():
            metrics.LAG_MESSAGES.labels(tp.topic, str(tp.partition)).set(lag)
            if lag:
                offset = consumer.committed_offset(tp)
                before = self._behind.get(tp)
                # Of what was not read yet nobody knows the age: as old as it has been seen.
                since = before if before and before.offset == offset else Behind(offset, now)
                behind[tp] = since
                oldest_ms = consumer.oldest_ms(tp)
                age_s = 0.0 if oldest_ms is None else time.time() - oldest_ms / 1000
                oldest_s = max(oldest_s, age_s, now - since.at)
        self._behind = behind
        if not any(lags.values()):
            self._idle_at = now
        self._progress.reached.update(
            lags,
            consumer.in_flight_since(),
            bounds_at_s=self._bounds_at_s,
            now_s=time.time(),
        )
        metrics.LAG_SECONDS.set(oldest_s)

    def _stalled_s(self, now: float) -> float:
        """Seconds since the broker last said yes to a commit while there is something to do."""
        committed_at: float = self._app.consumer.committed_at
        return max(0.0, now - max(self._idle_at, committed_at))

    def _is_assigned(self) -> bool:
        return self._app.started and bool(self._app.consumer.assignment())

    def _keeps_house(self) -> bool:
        """One worker of the group does its maintenance: that of the first input's partition 0."""
        first = TP(self._settings.topic(INPUTS[0]), 0)
        return self._app.started and first in self._app.consumer.assignment()

    # Health, as the web shows it. A rebalance makes nothing ill.

    def alive(self) -> str | None:
        """None when well: the broker says how much there is, and what there is gets committed."""
        now = time.monotonic()
        most_s = self._settings.health_stall_s
        if now - self._known_at > most_s:
            return f"the broker has not said for {now - self._known_at:.0f} s how much there is"
        stalled_s = self._stalled_s(now)
        if stalled_s > most_s:
            return f"there are records to read and no progress for {stalled_s:.0f} s"
        return None

    def ready(self) -> str | None:
        """None when partitions are assigned, and the broker and the store answer and the store has
        room (the tariff is loaded)."""
        if not self._is_assigned():
            return "no partitions are assigned yet"
        if time.monotonic() - self._known_at > BROKER_SILENT_S:
            return "the broker does not answer"
        return self.maintenance.store_problem
