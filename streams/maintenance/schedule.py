"""When maintenance jobs run: a table of jobs, and one runner that keeps to it.

Jobs of one lane run one after another; the lanes side by side, so that what takes the longer the
more there is in the store holds up nothing that is quick.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple

import structlog

from streams.base import metrics
from streams.base.errors import first_line
from streams.store.ledger import StoreErrors

TICK_S = 0.5

log = structlog.get_logger()


class Lane(Enum):
    """Which jobs wait for one another."""

    QUICK = "quick"
    LONG = "long"


class Job(NamedTuple):
    """A maintenance job: `do` runs at the start, then every `every_s` from start to start.

    It rests at least `rests` times as long as it took, so that it takes no more than that part of
    the store's time. `do` says whether it earned that rest: a first look at everything does not.
    """

    name: str
    every_s: float
    do: Callable[[], Awaitable[bool]]
    rests: int = 0
    lane: Lane = Lane.QUICK


class Schedule:
    """Runs jobs until cancelled. A store that does not answer is told of and tried again.

    `now_s` never goes back (a monotonic clock); `unix_s` is what the last success is shown as.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        on_store_down: Callable[[], None],
        *,
        now_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._jobs = jobs
        self._on_store_down = on_store_down
        self._now_s = now_s
        self._unix_s = unix_s
        self._sleep = sleep
        self._due_s = {job.name: now_s() for job in jobs}

    def make_due(self, name: str) -> None:
        """Lets a job run at its lane's next turn."""
        self._due_s[name] = self._now_s()

    async def run(self) -> None:
        """Raises what a job raises, but for one of StoreErrors."""
        lanes = [
            asyncio.create_task(self._run_lane([job for job in self._jobs if job.lane is lane]))
            for lane in Lane
        ]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane_task in lanes:
                lane_task.cancel()

    async def _run_lane(self, jobs: Sequence[Job]) -> None:
        while True:
            for job in jobs:
                if self._now_s() >= self._due_s[job.name]:
                    await self._run_job(job)
            await self._sleep(TICK_S)

    async def _run_job(self, job: Job) -> None:
        began_s = self._now_s()
        self._due_s[job.name] = began_s + job.every_s
        try:
            earned_rest = await job.do()
        except StoreErrors as error:
            self._on_store_down()
            log.warning("store_down", error=first_line(error), job=job.name)
            return
        ended_s = self._now_s()
        if earned_rest:
            rested_s = ended_s + (ended_s - began_s) * job.rests
            self._due_s[job.name] = max(self._due_s[job.name], rested_s)
        metrics.MAINTENANCE_DURATION.labels(job.name).set(ended_s - began_s)
        metrics.MAINTENANCE_SUCCESS.labels(job.name).set(self._unix_s())
