"""Live statements as server-sent events: one feed for each (account, month) that is watched.

A feed reads the ledger, at most twice a second, for all of its viewers together; a viewer that
is slow misses what was between and gets the newest, since each event is the whole statement.
For the same reason a client that comes back with a Last-Event-ID is told the newest at once.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import date
from functools import partial
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.web.reads import StoreDownError

TICK_S = 0.5
HEARTBEAT_S = 10.0
STREAMS_MOST = 100  # of one account
MONTHS_MOST = 4  # of one account watched at once; each is read again and again
RETRY_MS = 2000

Read = Callable[[str, date | None], Awaitable[dict[str, Any]]]
Key = tuple[str, date | None]


class TooManyStreamsError(RuntimeError):
    """An account watches as much as it may. The message is for the reader."""


class Feed:
    """The newest event of one (account, month), and those who wait for it."""

    def __init__(self, read: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._read = read
        self._shown: dict[str, Any] | None = None  # without as_of, which always changes
        self._as_of: str | None = None
        self._last_id = 0
        self.event = b""
        self.viewers: set[asyncio.Event] = set()
        self.task = asyncio.create_task(self._run(), name="live feed")
        self.task.add_done_callback(lambda _: self.wake())

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                self._tell(await self._read())
            except StoreDownError as error:
                self._tell_stale(str(error))
            took = time.monotonic() - started
            # At least as long as the read took: a slow store is never asked without a pause.
            await asyncio.sleep(max(TICK_S - took, took))

    def _tell(self, statement: dict[str, Any]) -> None:
        """Makes a statement the newest event, if it says anything new."""
        self._as_of = statement["as_of"]
        shown = {name: value for name, value in statement.items() if name != "as_of"}
        if shown == self._shown:
            return
        self._shown = shown
        # By the clock, so that a restarted server goes on counting upwards.
        self._last_id = max(self._last_id + 1, time.time_ns() // 1_000_000)
        self.event = encode_event("statement", statement, self._last_id)
        self.wake()

    def _tell_stale(self, reason: str) -> None:
        if self._shown is None and self.event:
            return
        self._shown = None
        self.event = encode_event("stale", {"since": self._as_of, "reason": reason})
        self.wake()

    def heartbeat(self) -> bytes:
        """A comment for proxies and, where the store answers, the instant it was last asked."""
        comment = b": heartbeat\n\n"
        if self._shown is None:
            return comment
        return comment + encode_event("heartbeat", {"as_of": self._as_of})

    def wake(self) -> None:
        for viewer in self.viewers:
            viewer.set()


class Live:
    """All live streams of a process. `close` ends them, so that the server can stop."""

    def __init__(
        self, read: Read, *, tick_s: float = TICK_S, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._read = read
        self._tick_s = tick_s
        self._heartbeat_s = heartbeat_s
        self._feeds: dict[Key, Feed] = {}
        self._open: Counter[Key] = Counter()
        self._closed = False

    def response(self, account: str, month: date | None) -> "EventStream":
        """The stream of a statement, as a response. Raises TooManyStreamsError."""
        key = account, month
        months = {watched for who, watched in self._open if who == account} | {month}
        streams = sum(count for (who, _), count in self._open.items() if who == account)
        if len(months) > MONTHS_MOST:
            raise TooManyStreamsError(f"{MONTHS_MOST} months of this account are watched already")
        if streams >= STREAMS_MOST:
            raise TooManyStreamsError(f"this account has {STREAMS_MOST} live streams already")
        self._open[key] += 1
        return EventStream(self._watch(key), on_end=partial(self._leave, key))

    def _leave(self, key: Key) -> None:
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]

    async def close(self) -> None:
        """Ends every stream and every feed, and waits for the read that is under way."""
        self._closed = True
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.wake()
            feed.task.cancel()
        await asyncio.gather(*(feed.task for feed in feeds), return_exceptions=True)

    async def _watch(self, key: Key) -> AsyncGenerator[bytes, None]:
        if self._closed:
            return
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(lambda: self._read(*key))
        news = asyncio.Event()
        if feed.event:
            news.set()
        feed.viewers.add(news)
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await news.wait()
                except TimeoutError:
                    yield feed.heartbeat()
                    continue
                if self._closed:
                    return
                if feed.task.done():
                    feed.task.result()  # raises what ended the feed
                news.clear()
                yield feed.event
                await asyncio.sleep(self._tick_s)
        finally:
            feed.viewers.discard(news)
            if not feed.viewers and self._feeds.get(key) is feed:
                del self._feeds[key]
                feed.task.cancel()


class EventStream(StreamingResponse):
    """Server-sent events. When the client leaves, the generator ends with the response."""

    def __init__(
        self, events: AsyncGenerator[bytes, None], on_end: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
        )
        self._events = events
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


def encode_event(name: str, data: dict[str, Any], event_id: int | None = None) -> bytes:
    """One event of the stream; JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" if event_id is None else f"event: {name}\nid: {event_id}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
