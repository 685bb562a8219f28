"""Live streams as server-sent events: one feed for each thing that is watched, for all its viewers.

One loop reads for all feeds of the process: those whose account has news, and at most twice a
second each, are read together. What a viewer is sent is made from what it has and what stands now,
so a slow one misses what was between, and one that comes back is told the newest at once.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from streams.store.errors import StoreErrors
from streams.web.news import ASK_EVERY_S, News
from streams.web.reads import StoreDownError
from streams.web.watched import Reader, Told, Watched

TICK_S = 0.5
AGAIN_S = 10.0  # all that is watched is read again: no error of what has news lives longer
TOGETHER_MOST = 100  # read at once: the first are told while the next are read
HEARTBEAT_S = 10.0
STREAMS_MOST = 100  # of one account
WATCHED_MOST = 8  # of one account at once; each is read again and again
RETRY_MS = 2000

T = TypeVar("T")


class TooManyStreamsError(RuntimeError):
    """An account watches as much as it may. The message is for the reader."""


class Feed(Generic[T]):
    """The newest of what is watched, and those who wait for it."""

    def __init__(self, watched: Watched[T]) -> None:
        self.watched = watched
        self.streams = 0
        self.viewers: set[asyncio.Event] = set()
        self.has_news = True
        self.now: T | None = None
        self.stale: Told | None = None
        self.error: Exception | None = None
        self._read_s = -AGAIN_S
        self._as_of: str | None = None
        self._last_id = 0
        self._told: tuple[T | None, T, bytes | None] | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether it is to be read: on news after a tick, else again after a while."""
        wait_s = TICK_S if self.has_news or self.stale else AGAIN_S
        return self.error is None and now_s - self._read_s >= wait_s

    def begins_to_be_read(self, now_s: float) -> None:
        """What is written from now on is news."""
        self._read_s, self.has_news = now_s, False

    def stands(self, now: T | Exception) -> None:
        """Keeps what stands now; wakes the viewers if it says anything new."""
        if isinstance(now, Exception):
            self.error = now
            self.wake()
            return
        self._as_of = self.watched.as_of(now)
        if self.now is None or self.stale or self.watched.tell(self.now, now) is not None:
            self.now, self.stale = now, None
            # By the clock, so that a restarted server goes on counting upwards.
            self._last_id = max(self._last_id + 1, time.time_ns() // 1_000_000)
            self.wake()

    def is_stale(self, reason: str) -> None:
        if self.stale is None:
            self.stale = Told("stale", {"since": self._as_of, "reason": reason})
            self.wake()

    def event_for(self, has: T | None) -> bytes | None:
        """What a viewer is sent that has `has`; made once for all that have the same."""
        if self.stale is not None:
            return encode_event(*self.stale)
        assert self.now is not None
        if self._told is None or self._told[0] is not has or self._told[1] is not self.now:
            told = self.watched.tell(has, self.now)
            event = None if told is None else encode_event(*told, self._last_id)
            self._told = (has, self.now, event)
        return self._told[2]

    def heartbeat(self) -> bytes:
        """A comment for proxies and, where the store answers, up to when what is shown is right."""
        comment = b": heartbeat\n\n"
        if self.stale is not None or self.now is None:
            return comment
        return comment + encode_event("heartbeat", {"as_of": self._as_of})

    def has_something(self) -> bool:
        return self.now is not None or self.stale is not None or self.error is not None

    def wake(self) -> None:
        for viewer in self.viewers:
            viewer.set()


class Live:
    """All live streams of a process. `close` ends them, so that the server can stop."""

    def __init__(self, news: News | None = None, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._news = news  # without it what is watched is read at each tick
        self._heartbeat_s = heartbeat_s
        self._feeds: dict[tuple[str, Hashable], Feed[Any]] = {}
        self._of_account: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def opened(
        self, watched: Watched[Any], *, allowed: Callable[[], bool] = lambda: True
    ) -> "EventStream":
        """The stream of what is watched, once there is something to tell; it ends when it is not
        `allowed` any more.

        A stream that has begun can say 404 no more. Raises TooManyStreamsError, and what kept the
        first of it from being made.
        """
        stream = self.response(watched, allowed)
        feed, told = self._feeds[watched.account, watched.key], asyncio.Event()
        feed.viewers.add(told)
        try:
            if not feed.has_something():
                await told.wait()
            self._raise_what_ended(feed)
            if feed.stale is not None:
                raise StoreDownError(feed.stale.data["reason"])
        except BaseException:
            stream.on_end()
            raise
        finally:
            feed.viewers.discard(told)
        return stream

    def response(
        self, watched: Watched[Any], allowed: Callable[[], bool] = lambda: True
    ) -> "EventStream":
        """The stream of what is watched, as a response. Raises TooManyStreamsError."""
        account, key = watched.account, (watched.account, watched.key)
        if key not in self._feeds and len(self._keys_of(account)) >= WATCHED_MOST:
            raise TooManyStreamsError(
                f"{WATCHED_MOST} pages or months of this account are watched already"
            )
        if self._of_account[account] >= STREAMS_MOST:
            raise TooManyStreamsError(f"this account has {STREAMS_MOST} live streams already")
        feed = self._feeds.setdefault(key, Feed(watched))
        feed.streams += 1
        self._of_account[account] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="live")
            self._task.add_done_callback(lambda _: self._wake_all())
        return EventStream(self._watch(feed, allowed), on_end=partial(self._leave, key))

    def _keys_of(self, account: str) -> list[tuple[str, Hashable]]:
        """What of an account is watched."""
        if not self._of_account[account]:
            return []
        return [key for key in self._feeds if key[0] == account]

    def _leave(self, key: tuple[str, Hashable]) -> None:
        feed = self._feeds[key]
        feed.streams -= 1
        if not feed.streams:
            del self._feeds[key]
        self._of_account[key[0]] -= 1
        if not self._of_account[key[0]]:
            del self._of_account[key[0]]

    async def close(self) -> None:
        """Ends every stream, and waits for the read that is under way."""
        self._closed = True
        self._wake_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake_all(self) -> None:
        for feed in self._feeds.values():
            feed.wake()

    def _raise_what_ended(self, feed: Feed[Any]) -> None:
        """A feed that can't be made, or all: a stream ends instead of being silent."""
        if feed.error is not None:
            raise feed.error
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        """Reads what has news, and all now and then, for as long as anything is watched."""
        while self._feeds:
            began = time.monotonic()
            await self._hear()
            due: defaultdict[Reader, list[Feed[Any]]] = defaultdict(list)
            for feed in self._feeds.values():
                if feed.is_due(began):
                    due[feed.watched.reader].append(feed)
            for reader, feeds in due.items():
                for start in range(0, len(feeds), TOGETHER_MOST):
                    await self._read(reader, feeds[start : start + TOGETHER_MOST])
            took = time.monotonic() - began
            # At least as long as the reads took: a slow store is never asked without a pause.
            await asyncio.sleep(max(ASK_EVERY_S - took, took))

    async def _hear(self) -> None:
        """Which accounts have news; all may, where nobody can tell."""
        accounts = None
        if self._news is not None:
            try:
                accounts = await self._news.ask(datetime.now(UTC))
            except StoreErrors:  # whoever reads tells of it
                accounts = frozenset()
        for feed in self._feeds.values():
            feed.has_news |= accounts is None or feed.watched.account in accounts

    async def _read(self, reader: Reader, feeds: Sequence[Feed[Any]]) -> None:
        now_s = time.monotonic()
        for feed in feeds:
            feed.begins_to_be_read(now_s)
        try:
            stood = await reader.read_watched([(feed.watched, feed.now) for feed in feeds])
        except StoreDownError as error:
            for feed in feeds:
                feed.is_stale(str(error))
        else:
            for feed, now in zip(feeds, stood, strict=True):
                feed.stands(now)

    async def _watch(
        self, feed: Feed[T], allowed: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        news = asyncio.Event()
        if feed.has_something():
            news.set()
        feed.viewers.add(news)
        has: T | None = None
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while not self._closed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._heartbeat_s):
                        await news.wait()
                if self._closed or not allowed():
                    return
                self._raise_what_ended(feed)
                if not news.is_set():
                    yield feed.heartbeat()
                    continue
                news.clear()
                event = feed.event_for(has)
                has = None if feed.stale is not None else feed.now
                if event is not None:
                    yield event
        finally:
            feed.viewers.discard(news)


class EventStream(StreamingResponse):
    """Server-sent events. When the client leaves, the generator ends with the response."""

    def __init__(self, events: AsyncGenerator[bytes, None], on_end: Callable[[], None]) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
        )
        self._events = events
        self.on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_end()

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


def encode_event(name: str, data: dict[str, Any], event_id: int | None = None) -> bytes:
    """One event of the stream; JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" if event_id is None else f"event: {name}\nid: {event_id}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
