"""When maintenance jobs run: a table of jobs, and one runner that keeps to it.

Each job is a task of its own: none waits for another, whatever it takes and however it fails.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from streams.base import metrics
from streams.base.errors import first_line
from streams.store.ledger import StoreErrors

TICK_S = 0.5

log = structlog.get_logger()


class Job(NamedTuple):
    """A maintenance job: `do` runs at the start, then every `every_s` from start to start.

    It rests at least `rests` times as long as it took, so that it takes no more than that part of
    the store's time. `do` says whether it earned that rest: a first look at everything does not,
    and what failed does.
    """

    name: str
    every_s: float
    do: Callable[[], Awaitable[bool]]
    rests: int = 0
    of_group: bool = False  # is done by one worker of the group


class Schedule:
    """Runs jobs until cancelled. A store that does not answer is told of and tried again.

    Jobs of the group wait while `keeps` says that another worker does them. `now_s` never goes back
    (a monotonic clock); `unix_s` is what the last success is shown as.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        keeps: Callable[[], bool] = lambda: True,
        now_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._jobs = jobs
        self._keeps = keeps
        self._now_s = now_s
        self._unix_s = unix_s
        self._sleep = sleep
        self._due_s = {job.name: now_s() for job in jobs}

    def make_due(self, name: str) -> None:
        """Lets a job run at its next turn."""
        self._due_s[name] = self._now_s()

    async def run(self) -> None:
        """Raises what a job raises, but for one of StoreErrors."""
        tasks = [asyncio.create_task(self._repeat(job), name=job.name) for job in self._jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _repeat(self, job: Job) -> None:
        while True:
            is_due = self._now_s() >= self._due_s[job.name]
            if is_due and (self._keeps() or not job.of_group):
                await self._run_job(job)
            await self._sleep(TICK_S)

    async def _run_job(self, job: Job) -> None:
        began_s = self._now_s()
        self._due_s[job.name] = began_s + job.every_s
        problem: Exception | None = None
        earned_rest = True
        try:
            earned_rest = await job.do()
        except StoreErrors as error:
            problem = error
        ended_s = self._now_s()
        if earned_rest:
            rested_s = ended_s + (ended_s - began_s) * job.rests
            self._due_s[job.name] = max(self._due_s[job.name], rested_s)
        if problem is not None:
            metrics.MAINTENANCE_ERRORS.labels(job.name).inc()
            log.warning("store_down", error=first_line(problem), job=job.name)
            return
        metrics.MAINTENANCE_DURATION.labels(job.name).set(ended_s - began_s)
        metrics.MAINTENANCE_SUCCESS.labels(job.name).set(self._unix_s())
