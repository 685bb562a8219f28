"""The worker: the Faust app, the writer, the housekeeping and the web on one event loop."""

import asyncio
import gc
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import faust
import structlog

from rater.events import KINDS
from rater.months import previous_month
from streams.base import metrics
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.ingest.agents import add_agents
from streams.ingest.app import make_app
from streams.ingest.startup import check_app, check_tables
from streams.ingest.writer import Writer, first_line
from streams.kafka.log import Reader
from streams.kafka.topics import (
    BrokerErrors,
    check_topics,
    make_producer,
    read_committed,
    send_dead_letters,
)
from streams.maintenance.audit import audit_lately
from streams.maintenance.conflicts import resolve_conflicts
from streams.maintenance.parked import count_parked, retry_parked
from streams.maintenance.recurring import Changed, Thing, make_months
from streams.rows.batch import RejectedRow
from streams.rows.log_position import Span
from streams.store.ledger import Ledger, StoreErrors

TICK_S = 0.5
STORE_PROBE_S = 5.0
# The ends of the partitions, asked for apart from the fetching that may stand still.
BOUNDS_EVERY_S = 5.0
BROKER_TIMEOUT_S = 5.0  # so that an absent broker does not hold up housekeeping
STOP_S = 2.0  # for each part that has to stop, after the drain
# A conflict is told within a minute.
CONFLICTS_EVERY_S = 20.0
# What was written in the window, or since the audit before began, is audited again and again: a
# store that was away meanwhile leaves nothing out, and what was found is told for as long.
AUDIT_EVERY_S = 300.0
AUDIT_WINDOW = timedelta(hours=1)
# What housekeeping asks the store rests so many times as long as it took: neither a backlog of
# recordings nor a long history may keep the store.
MONTHLY_REST = 19
LOOK_BACK_REST = 9
# Cycles come from the web, from errors and from Faust's own tasks: few. What has outlived a
# collection, the book above all, is looked at seldom: it takes 0.1 s, and nothing else goes on.
GARBAGE_EVERY_S = 30.0
OLD_GARBAGE_EVERY_S = 600.0
# Beside each reload of the book: what was parked by the old book just after it.
PARKED_RETRY_S = 30.0

log = structlog.get_logger()


class WorkerFailedError(RuntimeError):
    """The worker had to stop; the message says why and what to do."""


class Worker:
    """Reads topics, rates, writes, acknowledges; stops at the first thing it can't put right."""

    def __init__(self, settings: Settings, ledger: Ledger, book_file: BookFile) -> None:
        self._settings = settings
        self._ledger = ledger
        self._book_file = book_file
        self._producer = make_producer(settings)
        self._writer = Writer(ledger, lambda: book_file.book, self._send_dead_letters, settings)
        self._app: faust.App = make_app(settings)
        add_agents(self._app, settings, self._writer)
        self._tick_at = time.monotonic()
        self._idle_at = time.monotonic()  # when there was last no lag
        self._store_answers = False
        self._bounds: dict[tuple[str, int], tuple[int, int]] = {}
        self._made: set[date] = set()  # open months, of all things
        self._unpriced: set[tuple[date, Thing]] = set()
        # Parts of the log. None is all of it: a worker that was killed left no list of what it had
        # written.
        self._unsettled: list[Span | None] = [None]
        self._conflicts: set[tuple[str, str, str]] = set()
        self._audited_at = datetime.now(UTC)

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then drains and stops.

        Raises StartupError or PartitionCountError before the first record, WorkerFailedError after.
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
                    asyncio.create_task(self._keep_house(), name="housekeeping"),
                    asyncio.create_task(self._look_back(), name="looking back"),
                    asyncio.create_task(self._watch_bounds(), name="bounds"),
                    asyncio.create_task(self._app.wait_until_stopped(), name="faust"),
                }
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and (error := task.exception()) is not None:
                    raise WorkerFailedError(str(error)) from error
            if not stop.is_set():
                reason = self._app.crash_reason
                raise WorkerFailedError(
                    f"Faust stopped: {first_line(reason) if reason else 'no reason given'}; what "
                    "was not acknowledged is read again after a restart"
                ) from reason
            if starting.done():
                await self._drain()
                await self._settle_last()
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
            f"the group {self._settings.group} can't be joined: {first_line(error)}; what was not "
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

    async def _settle_last(self) -> None:
        """What was written last: whoever takes over looks at what it writes itself."""
        with suppress(TimeoutError), self._store_may_be_down():
            async with asyncio.timeout(STOP_S):
                await self._settle_conflicts()

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
        """That the event loop turns, and how much there is to do."""
        while True:
            self._tick_at = time.monotonic()
            self._show_lag(self._tick_at)
            await asyncio.sleep(TICK_S)

    # Housekeeping: what is due by the clock. A store that does not answer is tried again.

    async def _keep_house(self) -> None:
        tasks = ("tariff", "parked", "monthly", "probe", "garbage", "old_garbage")
        due = dict.fromkeys(tasks, 0.0)
        while True:
            now = time.monotonic()
            if now >= due["garbage"]:
                due["garbage"] = now + GARBAGE_EVERY_S
                gc.collect(1)
            if now >= due["old_garbage"]:
                due["old_garbage"] = now + OLD_GARBAGE_EVERY_S
                gc.collect()
            with self._store_may_be_down():
                if now >= due["tariff"]:
                    due["tariff"] = now + self._settings.tariff_reload_s
                    if await asyncio.to_thread(self._book_file.reload):
                        due["parked"] = 0.0
                        self._made.clear()
                if now >= due["parked"]:
                    due["parked"] = now + PARKED_RETRY_S
                    await self._retry_parked()
                if now >= due["monthly"]:
                    due["monthly"] = now + self._settings.monthly_every_s
                    began = bool(self._made)
                    await self._make_months()
                    if began:
                        due["monthly"] += (time.monotonic() - now) * MONTHLY_REST
                if now >= due["probe"]:
                    due["probe"] = now + STORE_PROBE_S
                    metrics.PARKED_NOW.set(await asyncio.to_thread(count_parked, self._ledger))
                    self._store_answers = True
            await asyncio.sleep(TICK_S)

    async def _look_back(self) -> None:
        """What takes the longer the more there is in the store: nothing else waits for it."""
        due = dict.fromkeys(("conflicts", "audit"), 0.0)
        while True:
            now = time.monotonic()
            with self._store_may_be_down():
                if now >= due["conflicts"]:
                    due["conflicts"] = now + CONFLICTS_EVERY_S
                    of_all = None in self._unsettled
                    await self._settle_conflicts()
                    if not of_all:
                        due["conflicts"] = max(due["conflicts"], _rested(now))
                if now >= due["audit"]:
                    began = time.monotonic()
                    due["audit"] = began + AUDIT_EVERY_S
                    await self._audit()
                    due["audit"] = max(due["audit"], _rested(began))
            await asyncio.sleep(TICK_S)

    @contextmanager
    def _store_may_be_down(self) -> Iterator[None]:
        try:
            yield
        except StoreErrors as error:
            self._store_answers = False
            log.warning("store_down", error=first_line(error), task="housekeeping")

    async def _retry_parked(self) -> None:
        retried, accounts = await asyncio.to_thread(
            retry_parked, self._ledger, self._book_file.book
        )
        self._writer.put_changed(Changed(set(), accounts))
        if retried:
            log.info("parked_rated", events=retried)

    async def _settle_conflicts(self) -> None:
        """Of all events at first, then of those that were written since the last time."""
        self._unsettled += await asyncio.to_thread(self._ledger.take_written)
        while self._unsettled:
            span = self._unsettled.pop(0)
            try:
                found = await asyncio.to_thread(resolve_conflicts, self._ledger, span)
            except StoreErrors:
                self._unsettled.append(span)
                raise
            self._conflicts.update(one[:3] for one in found)
            metrics.CONFLICTS.set(len(self._conflicts))
            # An event that told of one thing may turn out to have told of another one before.
            accounts = {one.account_id for one in found if KINDS[one.kind].monthly}
            self._writer.put_changed(Changed(set(), accounts))

    async def _audit(self) -> None:
        """What was written lately, and what the group has committed, as gauges and log lines."""
        try:
            committed = await read_committed(self._settings, timeout_s=BROKER_TIMEOUT_S)
        except BrokerErrors as error:
            log.warning("audit_without_commits", error=first_line(error))
            committed = {}
        now = datetime.now(UTC)
        audit = await asyncio.to_thread(
            audit_lately,
            self._ledger,
            open_months(now),
            min(now - AUDIT_WINDOW, self._audited_at),
            topic_prefix=self._settings.topic_prefix,
            committed=committed,
        )
        self._audited_at = now
        metrics.show_audit(audit, at_s=time.time())
        for finding in audit.findings:
            log.error("audit", check=finding.check, message=finding.message)
        if any(finding.check == "unsettled" for finding in audit.findings):
            self._unsettled.append(None)  # another worker was killed, and none has started since

    async def _make_months(self) -> None:
        """The open months: of all things once, then of those that changed."""
        changed = self._writer.take_changed()
        now = datetime.now(UTC)
        months = open_months(now)
        new = [month for month in months if month not in self._made]
        old = [month for month in months if month in self._made]
        try:
            for some in [None, *changed.in_parts()]:
                made = await asyncio.to_thread(
                    make_months,
                    self._ledger,
                    self._book_file.book,
                    new if some is None else old,
                    as_of=now,
                    topic_prefix=self._settings.topic_prefix,
                    changed=some,
                )
                self._unpriced = made.unpriced | {
                    (month, thing)
                    for month, thing in self._unpriced
                    if month in old and not (some and some.has(thing))
                }
        except StoreErrors:
            self._writer.put_changed(changed)
            raise
        self._made = set(months)
        metrics.UNPRICED_THINGS.set(len(self._unpriced))

    async def _watch_bounds(self) -> None:
        """Keeps what the broker says of the assigned partitions; while it is away, the last."""
        while True:
            if self._is_assigned():
                places = [(tp.topic, tp.partition) for tp in self._app.consumer.assignment()]
                try:
                    async with (
                        asyncio.timeout(BROKER_TIMEOUT_S),
                        Reader(self._settings) as reader,
                    ):
                        self._bounds = await reader.bounds(places)
                except (TimeoutError, *BrokerErrors) as error:
                    log.warning("bounds_unknown", error=first_line(error))
            await asyncio.sleep(BOUNDS_EVERY_S if self._bounds else TICK_S)

    def _show_lag(self, now: float) -> None:
        lags = self._app.consumer.lags(self._bounds) if self._is_assigned() else {}
        metrics.LAG_MESSAGES.clear()
        for tp, lag in lags.items():
            metrics.LAG_MESSAGES.labels(tp.topic, str(tp.partition)).set(lag)
        if not any(lags.values()):
            self._idle_at = now
        metrics.LAG_SECONDS.set(self._stalled_s(now))

    def _stalled_s(self, now: float) -> float:
        """Seconds since the last progress while there is something to do; 0 when there is not."""
        return max(0.0, now - max(self._idle_at, self._writer.progressed_at))

    def _is_assigned(self) -> bool:
        return self._app.started and bool(self._app.consumer.assignment())

    # Health, as the web shows it. A rebalance makes nothing ill.

    def alive(self) -> str | None:
        """None when well: the loop turns, and a worker that is behind makes progress."""
        now = time.monotonic()
        if now - self._tick_at > self._settings.health_stall_s:
            return f"the event loop has stood still for {now - self._tick_at:.0f} s"
        stalled_s = self._stalled_s(now)
        if stalled_s > self._settings.health_stall_s:
            return f"there are records to read and no progress for {stalled_s:.0f} s"
        return None

    def ready(self) -> str | None:
        """None when partitions are assigned and the store answers (the tariff is loaded)."""
        if not self._is_assigned():
            return "no partitions are assigned yet"
        return None if self._store_answers else "the store does not answer"


def _rested(began: float) -> float:
    """When what began then and has ended now may begin again."""
    ended = time.monotonic()
    return ended + (ended - began) * LOOK_BACK_REST


async def wait_briefly(*tasks: asyncio.Task[Any]) -> None:
    """For STOP_S at the most, whether they end or not: whoever hangs must not keep the process."""
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=STOP_S)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("not_stopped", task=task.get_name(), error=first_line(error))


def open_months(now: datetime) -> list[date]:
    """The months whose monthly lines are made by the worker: wherever on Earth it is this month or
    was the last one."""
    ahead = (now + timedelta(hours=14)).date().replace(day=1)
    behind = (now - timedelta(hours=12)).date().replace(day=1)
    return sorted({ahead, behind, previous_month(behind)})


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the event; a second one does nothing more."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
