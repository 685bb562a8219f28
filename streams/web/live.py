"""Live streams as server-sent events: one feed for each thing that is watched, for all its viewers.

A feed reads the ledger for all of its viewers together, when its account has news and at most twice
a second. What a viewer is
sent is made from what it has and what stands now, so a slow one misses what was between, and one
that comes back is told the newest at once.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.web.news import News
from streams.web.reads import StoreDownError

TICK_S = 0.5
HEARTBEAT_S = 10.0
STREAMS_MOST = 100  # of one account
WATCHED_MOST = 8  # of one account at once; each is read again and again
RETRY_MS = 2000

T = TypeVar("T")


class Told(NamedTuple):
    """An event of a stream, before it is encoded."""

    name: str
    data: dict[str, Any]


class TooManyStreamsError(RuntimeError):
    """An account watches as much as it may. The message is for the reader."""


class Watched(NamedTuple, Generic[T]):
    """What a stream shows: whose it is, what tells it apart, how it is read and told.

    `tell` gives the event for a viewer that has `before` (None at first) where `after` stands now,
    or None where there is nothing new. `as_of` says up to when it is right.
    """

    account: str
    key: Hashable
    read: Callable[[], Awaitable[T]]
    tell: Callable[[T | None, T], Told | None]
    as_of: Callable[[T], str]


class Feed(Generic[T]):
    """The newest of what is watched, and those who wait for it."""

    def __init__(self, watched: Watched[T], news: News | None = None) -> None:
        self._watched = watched
        self._news = news
        self.now: T | None = None
        self.stale: Told | None = None
        self.as_of: str | None = None
        self._last_id = 0
        self.viewers: set[asyncio.Event] = set()
        self._told: tuple[T | None, T, bytes | None] | None = None
        self.task = asyncio.create_task(self._run(), name="live feed")
        self.task.add_done_callback(lambda _: self.wake())

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            account, times = self._watched.account, 0
            if self._news is not None:
                times = await self._news.times(account)
            try:
                self._stands(await self._watched.read())
            except StoreDownError as error:
                self._is_stale(str(error))
            took = time.monotonic() - started
            # At least as long as the read took: a slow store is never asked without a pause.
            await asyncio.sleep(max(TICK_S - took, took))
            if self._news is not None:
                await self._news.wait(account, times)

    def _stands(self, now: T) -> None:
        """Keeps what stands now; wakes the viewers if it says anything new."""
        self.as_of = self._watched.as_of(now)
        if self.now is None or self.stale or self._watched.tell(self.now, now) is not None:
            self.now, self.stale = now, None
            # By the clock, so that a restarted server goes on counting upwards.
            self._last_id = max(self._last_id + 1, time.time_ns() // 1_000_000)
            self.wake()

    def _is_stale(self, reason: str) -> None:
        if self.stale is None:
            self.stale = Told("stale", {"since": self.as_of, "reason": reason})
            self.wake()

    def event_for(self, has: T | None) -> bytes | None:
        """What a viewer is sent that has `has`; made once for all that have the same."""
        if self.stale is not None:
            return encode_event(*self.stale)
        assert self.now is not None
        if self._told is None or self._told[0] is not has or self._told[1] is not self.now:
            told = self._watched.tell(has, self.now)
            event = None if told is None else encode_event(*told, self._last_id)
            self._told = (has, self.now, event)
        return self._told[2]

    def heartbeat(self) -> bytes:
        """A comment for proxies and, where the store answers, up to when what is shown is right."""
        comment = b": heartbeat\n\n"
        if self.stale is not None or self.now is None:
            return comment
        return comment + encode_event("heartbeat", {"as_of": self.as_of})

    def wake(self) -> None:
        for viewer in self.viewers:
            viewer.set()


class Live:
    """All live streams of a process. `close` ends them, so that the server can stop."""

    def __init__(
        self,
        news: News | None = None,
        *,
        tick_s: float = TICK_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._news = news  # without it what is watched is read at each tick
        self._tick_s = tick_s
        self._heartbeat_s = heartbeat_s
        self._feeds: dict[Hashable, Feed[Any]] = {}
        self._open: Counter[tuple[str, Hashable]] = Counter()
        self._closed = False

    def response(self, watched: Watched[Any]) -> "EventStream":
        """The stream of what is watched, as a response. Raises TooManyStreamsError."""
        account, key = watched.account, (watched.account, watched.key)
        others = {other for other in self._open if other[0] == account} | {key}
        streams = sum(count for (who, _), count in self._open.items() if who == account)
        if len(others) > WATCHED_MOST:
            raise TooManyStreamsError(
                f"{WATCHED_MOST} pages or months of this account are watched already"
            )
        if streams >= STREAMS_MOST:
            raise TooManyStreamsError(f"this account has {STREAMS_MOST} live streams already")
        self._open[key] += 1
        return EventStream(self._watch(watched, key), on_end=partial(self._leave, key))

    def _leave(self, key: tuple[str, Hashable]) -> None:
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
        if self._news is not None:
            await self._news.close()

    async def _watch(self, watched: Watched[T], key: Hashable) -> AsyncGenerator[bytes, None]:
        if self._closed:
            return
        if key not in self._feeds:
            self._feeds[key] = Feed(watched, self._news)
        feed: Feed[T] = self._feeds[key]
        news = asyncio.Event()
        if feed.now is not None or feed.stale is not None:
            news.set()
        feed.viewers.add(news)
        has: T | None = None
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
                event = feed.event_for(has)
                has = None if feed.stale is not None else feed.now
                if event is not None:
                    yield event
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
