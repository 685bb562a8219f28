"""The writer: stretches of the log in, rated and written together, then acknowledged in order.

Agents put stretches; while one batch is being written the next one is gathered, so a busy topic
moves in large blocks and a quiet one waits no longer than `batch_wait_s`. While a large one is
being written the next is rated too. Acknowledge last: a crash before that line re-reads the batch,
and row identity absorbs the copies. What can't be rated or stored, however often it is tried, is
looked for (`streams/ingest/isolate.py`): it alone becomes a dead letter.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from rater.tariff import Book, Memo
from streams.base import faults, metrics
from streams.base.errors import first_line, in_words
from streams.base.settings import Settings
from streams.ingest import counting
from streams.ingest.isolate import RefusedError, isolate
from streams.ingest.stretch import Stretch, by_topic, rate_all, rate_topic
from streams.ingest.unknown_fields import UnknownFieldLog
from streams.rows.batch import Batch, RejectedRow
from streams.store.errors import StoreErrors, why_refused
from streams.store.ledger import Ledger

# A smaller batch is written before the next one is rated, which gathers more company meanwhile: its
# insert costs what it costs whatever is in it. A larger one takes long enough to rate the next.
LARGE_RECORDS = 10_000
# Of a batch's records, its last stretch apart: batch_rows of a mebibyte each are all of memory.
BATCH_BYTES_MAX = 67_108_864
RETRY_FIRST_S = 0.1
RETRY_MOST_S = 5.0

log = structlog.get_logger()


class StoreDownError(RuntimeError):
    """The store stayed down past store_outage_max_s; nothing of the batch was acknowledged."""


Rated = tuple[list[Stretch], Batch | None]  # without a batch: the engine failed on some of it


class Writer:
    """One for each worker. `run` is its task; when it raises, the worker has to stop."""

    def __init__(
        self,
        ledger: Ledger,
        book: Callable[[], Book],
        send_dead_letters: Callable[[Sequence[RejectedRow]], Awaitable[None]],
        settings: Settings,
    ) -> None:
        self._ledger = ledger
        self._book = book
        self._send_dead_letters = send_dead_letters
        self._settings = settings
        self._queue: asyncio.Queue[Stretch] = asyncio.Queue(settings.queue_batches)
        self._rated: asyncio.Queue[Rated] = asyncio.Queue(1)
        # One batch is rated while the one before it is written, and both leave the event loop free
        # for the web and the group. Two topics are rated side by side: half of it is in Arrow.
        self._rating = ThreadPoolExecutor(2, thread_name_prefix="rating")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._ready = asyncio.Event()  # to rate: no batch is being rated, no small one written
        self._ready.set()
        self._unknown_fields = UnknownFieldLog()
        self._memos: dict[str, tuple[Book, Memo]] = {}

    async def put(self, stretch: Stretch) -> None:
        """Hands a stretch over; waits while the queue is full."""
        await self._queue.put(stretch)

    async def run(self) -> None:
        """Writes until cancelled. Raises StoreDownError when the store stays down."""
        tasks = [
            asyncio.create_task(self._rate_all(), name="rate"),
            asyncio.create_task(self._write_all(), name="write"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # they end by an error alone
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _rate_all(self) -> None:
        gathering = asyncio.create_task(self._gather())
        try:
            while True:
                stretches = await gathering
                self._ready.clear()
                gathering = asyncio.create_task(self._gather())
                batch = await self._rate(stretches)
                await self._rated.put((stretches, batch))
                if batch is not None and batch.record_count() >= LARGE_RECORDS:
                    self._ready.set()
        finally:
            gathering.cancel()

    async def _write_all(self) -> None:
        while True:
            stretches, batch = await self._rated.get()
            await self._write(stretches, batch)
            if batch is None or batch.record_count() < LARGE_RECORDS:
                self._ready.set()
            for _ in stretches:
                self._queue.task_done()

    async def drain(self) -> None:
        """Returns once all that was put has been written and acknowledged."""
        await self._queue.join()

    def close(self) -> None:
        for thread in (self._rating, self._writing):
            thread.shutdown(wait=False, cancel_futures=True)

    async def _gather(self) -> list[Stretch]:
        """What comes for `batch_wait_s` and until the next may be rated: up to `batch_rows`."""
        stretches = [await self._queue.get()]
        rows, size = len(stretches[0].records), stretches[0].size()
        ready = asyncio.create_task(self._wait_for_company())
        try:
            while rows < self._settings.batch_rows and size < BATCH_BYTES_MAX:
                stretch = await self._next_until(ready)
                if stretch is None:
                    break
                stretches.append(stretch)
                rows += len(stretch.records)
                size += stretch.size()
        finally:
            ready.cancel()
        return stretches

    async def _wait_for_company(self) -> None:
        await asyncio.sleep(self._settings.batch_wait_s)
        await self._ready.wait()

    async def _next_until(self, ready: asyncio.Task[None]) -> Stretch | None:
        """The next stretch; None when there is none and a batch is ready."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        coming = asyncio.create_task(self._queue.get())
        try:
            await asyncio.wait({coming, ready}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            coming.cancel()

    async def _write(self, stretches: list[Stretch], rated: Batch | None) -> None:
        faults.reach("before_insert")
        batch, insert_s = await self._store(stretches, rated)
        faults.reach("after_insert")
        if batch.rejected:
            await self._send_dead_letters(batch.rejected)
        for stretch in stretches:
            stretch.acknowledge()
            stretch.records.clear()  # Faust holds the list until it has committed
        faults.reach("after_ack")
        counting.count_batch(batch, written_s=time.time(), insert_s=insert_s)
        self._unknown_fields.tell(batch)

    async def _rate(self, stretches: list[Stretch]) -> Batch | None:
        """One batch of all of them, each topic rated by itself; None where the engine fails."""
        loop = asyncio.get_running_loop()
        book = self._book()
        parts = await asyncio.gather(
            *(
                loop.run_in_executor(
                    self._rating, rate_topic, some, book, self._memo(some[0].topic, book)
                )
                for some in by_topic(stretches)
            ),
            return_exceptions=True,  # no thread is left that still rates
        )
        batch = Batch()
        for part in parts:
            if not isinstance(part, BaseException):
                batch.merge(part)
            elif isinstance(part, Exception) and not isinstance(part, MemoryError):
                log.error("not_rated", error=type(part).__name__)  # its text may tell of the data
                return None
            else:
                raise part
        return batch

    def _memo(self, topic: str, book: Book) -> Memo:
        """What rating a topic remembers of a book: one thread at a time rates a topic."""
        known, memo = self._memos.get(topic, (None, None))
        if known is not book or memo is None:
            memo = Memo()
            self._memos[topic] = book, memo
        return memo

    async def _store(self, stretches: list[Stretch], batch: Batch | None) -> tuple[Batch, float]:
        """Writes until the store has said yes to all of it: what was written, and the seconds of
        the try that was the last.

        Where something is refused, what comes next is taken along (and put into `stretches`), for
        it may show that the store is well.
        """
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._settings.store_outage_max_s
        wait_s = RETRY_FIRST_S
        while True:
            started = time.monotonic()
            try:
                stored = await loop.run_in_executor(
                    self._writing, self._store_once, stretches, batch
                )
                return stored, time.monotonic() - started
            except Exception as error:
                if batch is not None and (why := why_refused(error)):
                    log.error("refused", error=why, records=batch.record_count())
                    batch = None
                    continue
                if not isinstance(error, (RefusedError, *StoreErrors)):
                    raise
                metrics.STORE_ERRORS.inc()
                left_s = deadline - time.monotonic()
                if wait_s > left_s:
                    raise StoreDownError(
                        f"the store did not take a batch for {self._settings.store_outage_max_s} s"
                        f" ({in_words(error)}); nothing of it was acknowledged, so a restart"
                        " reads it again: mend the store and start the worker"
                    ) from error
                log.warning(
                    "store_down",
                    error=first_line(error),
                    records=sum(len(stretch.records) for stretch in stretches),
                    retry_in_s=wait_s,
                    gives_up_in_s=round(left_s),
                )
            if batch is None:
                self._ready.set()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_MOST_S)
            while batch is None and not self._rated.empty():
                stretches += self._rated.get_nowait()[0]

    def _store_once(self, stretches: list[Stretch], batch: Batch | None) -> Batch:
        """Writes the batch, or where there is none, all of it that can be."""
        if batch is None:
            return isolate(stretches, partial(rate_all, book=self._book()), self._ledger.write)
        self._ledger.write(batch)
        return batch
