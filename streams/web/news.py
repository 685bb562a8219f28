"""News of what is watched: one question a tick for all streams of a process.

A stream's feed waits here until its account's month is touched, and reads again then. Whatever the
question misses (a file's rows, a recurring charge, an event that waits) is read with all the rest
after AGAIN_S: no error lives longer.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

from streams.store.errors import StoreErrors

ASK_EVERY_S = 0.25
AGAIN_S = 10.0
# Rows are counted from an instant that stays for so long, and lies so far back: a row counts from
# when it is written, which may be some time after the log took it.
WINDOW_S = 60.0
BACK_S = 120.0

Key = tuple[str, date]
Touched = Mapping[Key, int]


class News:
    """Who has news. `read` asks the ledger for all rows logged since an instant; it blocks."""

    def __init__(self, read: Callable[[datetime], Touched]) -> None:
        self._read = read
        self._counts: Touched = {}
        self._since: datetime | None = None
        self._times: defaultdict[str, int] = defaultdict(int)  # that an account had news
        self._windows = 0  # that all had news
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def times(self, account: str) -> int:
        """How often an account has had news so far: to be asked before it is read.

        The first question is over then, so that what is written from here on is news.
        """
        if self._task is None or self._task.done():
            self._asked.clear()
            self._task = asyncio.create_task(self._run(), name="news")
        await self._asked.wait()
        return self._now(account)

    def _now(self, account: str) -> int:
        return self._times[account] + self._windows

    async def wait(self, account: str, times: int) -> None:
        """Until an account has had news more often than `times`, for AGAIN_S at most."""
        woken = asyncio.Event()
        self._waiting[account].add(woken)
        try:
            if self._now(account) == times:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_S):
                        await woken.wait()
        finally:
            self._waiting[account].discard(woken)
            if not self._waiting[account]:
                del self._waiting[account]

    async def _run(self) -> None:
        """Asks while anybody waits, and a while longer."""
        idle_since = time.monotonic()
        while self._waiting or time.monotonic() - idle_since < AGAIN_S:
            if self._waiting:
                idle_since = time.monotonic()
            started = time.monotonic()
            with contextlib.suppress(*StoreErrors):  # whoever reads tells of it
                await self._ask(datetime.now(UTC))
            self._asked.set()
            took = time.monotonic() - started
            await asyncio.sleep(max(ASK_EVERY_S - took, took))

    async def _ask(self, now: datetime) -> None:
        since = self._since
        if since is None or (now - since).total_seconds() > BACK_S + WINDOW_S:
            since = now - timedelta(seconds=BACK_S)
        counts = await asyncio.to_thread(self._read, since)
        if since == self._since:
            self.tell(account for account, _ in self._changed(counts))
        elif self._since is not None:
            self._windows += 1  # counts of two windows say nothing of each other: news for all
            self.tell(self._waiting)
        self._since, self._counts = since, counts

    def _changed(self, counts: Touched) -> list[Key]:
        return [key for key, count in counts.items() if self._counts.get(key) != count]

    def tell(self, accounts: Iterable[str]) -> None:
        """That some accounts have news: wakes those who wait for one of them."""
        for account in set(accounts):
            self._times[account] += 1
            for woken in self._waiting.get(account, ()):
                woken.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
