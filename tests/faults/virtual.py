"""Time that passes when it is told to, and an event loop whose threads are steps of a schedule."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, NamedTuple


class Job(NamedTuple):
    """What would run in a thread: the schedule says when, or never."""

    executor: Any
    call: Callable[[], Any]
    done: "asyncio.Future[Any]"


class _Idle(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, it stops and says until when."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.loop.next_at = None if timeout is None else self.loop.now + timeout
            self.loop.stop()
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which a second costs nothing."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.next_at: float | None = None  # of the first timer
        self.jobs: list[Job] = []
        idle = _Idle()
        idle.loop = self
        super().__init__(idle)

    def time(self) -> float:
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = self.create_future()
        self.jobs.append(Job(executor, lambda: func(*args), done))
        return done

    def settle(self) -> None:
        """Runs until everything waits: for a job, a timer, or somebody else."""
        self.run_forever()

    def tick(self) -> None:
        """On to the next timer."""
        if self.next_at is not None:
            self.now = max(self.now, self.next_at) + 1e-6
            self.settle()


class VirtualTime:
    """The module `time`, of a loop."""

    def __init__(self, loop: VirtualLoop, start_s: float) -> None:
        self._loop, self._start_s = loop, start_s

    def monotonic(self) -> float:
        return self._loop.now

    def time(self) -> float:
        return self._start_s + self._loop.now
