"""News of what is watched: one question a tick for all streams of a process.

Whatever the question misses (a file's rows, a recurring charge, an event that waits) is read with
all that is watched, after `live.AGAIN_S`: no error lives longer.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta

ASK_EVERY_S = 0.25
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

    async def ask(self, now: datetime) -> frozenset[str] | None:
        """The accounts that had news since this was asked last; None where any may have had.

        Raises one of StoreErrors; nothing is lost by it.
        """
        before, since = self._since, self._since
        if since is None or (now - since).total_seconds() > BACK_S + WINDOW_S:
            since = now - timedelta(seconds=BACK_S)
        counts = await asyncio.to_thread(self._read, since)
        had, self._since, self._counts = self._counts, since, counts
        if since != before:
            return None  # counts of two windows say nothing of each other
        return frozenset(key[0] for key, count in counts.items() if had.get(key) != count)
