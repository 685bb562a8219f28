"""When maintenance jobs run, in virtual time: no job is in another one's way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import REGISTRY

from streams.maintenance.schedule import TICK_S, Job, Schedule

UNIX_S = 1_800_000_000.0
Do = Callable[[], Awaitable[bool]]


class VirtualTime:
    """A clock that is advanced: who sleeps wakes in the order of time, with nothing waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asleep: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._asleep.append((self.now + seconds, woken))
        await woken

    async def advance_to(self, until: float) -> None:
        await self._settle()
        while due := [one for one in self._asleep if one[0] <= until]:
            first = min(due, key=lambda one: one[0])
            self._asleep.remove(first)
            self.now = first[0]
            if not first[1].done():
                first[1].set_result(None)
            await self._settle()
        self.now = until

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


class World:
    """Jobs that take as long as they are told, and when each began."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.began: list[tuple[float, str]] = []

    def job(self, name: str, takes_s: float, *, rests: bool = True) -> Do:
        async def do() -> bool:
            self.began.append((self.time.now, name))
            if takes_s:
                await self.time.sleep(takes_s)
            return rests

        return do

    def failing(self, name: str, error: Exception) -> Do:
        async def do() -> bool:
            self.began.append((self.time.now, name))
            raise error

        return do

    def starts(self, name: str) -> list[float]:
        return [at for at, who in self.began if who == name]

    @asynccontextmanager
    async def running(
        self, *jobs: Job, keeps: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[Schedule]:
        schedule = Schedule(
            jobs,
            keeps=keeps,
            now_s=lambda: self.time.now,
            unix_s=lambda: UNIX_S + self.time.now,
            sleep=self.time.sleep,
        )
        task = asyncio.create_task(schedule.run())
        try:
            yield schedule
            await asyncio.sleep(0)
            if task.done():
                task.result()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, RuntimeError):
                await task


STARTS = [
    # every  takes  rests  earned | began until 40 s
    (10,     0,     0,     True,    [0, 10, 20, 30, 40]),
    (10,     4,     0,     True,    [0, 10, 20, 30, 40]),  # from start to start
    (10,     0,     19,    True,    [0, 10, 20, 30, 40]),
    (10,     1,     19,    True,    [0, 20, 40]),          # a twentieth of the time at the most
    (10,     1,     19,    False,   [0, 10, 20, 30, 40]),  # a first look at everything
    (10,     12,    0,     True,    [0, 12.5, 25, 37.5]),  # longer than its time: at its next turn
]  # fmt: skip


@pytest.mark.parametrize(("every_s", "takes_s", "rests", "earned", "starts"), STARTS)
async def test_a_job_runs_from_start_to_start_and_rests_as_it_took(
    every_s: float, takes_s: float, rests: int, earned: bool, starts: list[float]
) -> None:
    world = World()
    do = world.job("one", takes_s, rests=earned)
    async with world.running(Job("one", every_s, do, rests)):
        await world.time.advance_to(40 + TICK_S / 2)
    assert world.starts("one") == starts


async def test_a_long_job_holds_up_no_quick_one() -> None:
    world = World()
    async with world.running(
        Job("slow", 20, world.job("slow", 1_000)),
        Job("quick", 5, world.job("quick", 0)),
    ):
        await world.time.advance_to(20)
    assert (world.starts("slow"), world.starts("quick")) == ([0], [0, 5, 10, 15, 20])


async def test_a_store_that_is_down_is_tried_again_and_keeps_no_other_job() -> None:
    world = World()
    async with world.running(
        Job("down", 5, world.failing("down", OSError("refused")), rests=19),
        Job("after", 5, world.job("after", 0)),
    ):
        await world.time.advance_to(10)
    assert world.starts("down") == world.starts("after") == [0, 5, 10]


async def test_a_search_that_takes_its_whole_time_and_fails_rests_and_holds_up_no_other() -> None:
    """Of a search of everything on a large ledger: it was due again at once, before the audit."""
    world = World()

    async def time_out() -> bool:
        world.began.append((world.time.now, "conflicts"))
        await world.time.sleep(60)
        raise OSError("read timed out")

    async with world.running(
        Job("conflicts", 20, time_out, rests=9), Job("audit", 300, world.job("audit", 5), rests=9)
    ):
        await world.time.advance_to(901)
    assert world.starts("conflicts") == [0, 600]
    assert world.starts("audit") == [0, 300, 600, 900]
    errors = REGISTRY.get_sample_value("rater_maintenance_errors_total", {"job": "conflicts"})
    assert errors == 2


async def test_a_job_of_the_group_runs_in_the_worker_that_keeps_it() -> None:
    world = World()
    keeps = False
    async with world.running(
        Job("own", 10, world.job("own", 0)),
        Job("groups", 10, world.job("groups", 0), of_group=True),
        keeps=lambda: keeps,
    ):
        await world.time.advance_to(15)
        assert (world.starts("own"), world.starts("groups")) == ([0, 10], [])
        keeps = True
        await world.time.advance_to(26)
        assert world.starts("groups") == [15 + TICK_S, 25 + TICK_S]
        keeps = False
        await world.time.advance_to(50)
    assert world.starts("groups") == [15 + TICK_S, 25 + TICK_S]


async def test_what_is_no_outage_stops_the_worker() -> None:
    world = World()
    with pytest.raises(RuntimeError, match="a fault of ours"):
        async with world.running(
            Job("broken", 5, world.failing("broken", RuntimeError("a fault of ours")))
        ):
            await world.time.advance_to(1)


async def test_a_job_made_due_runs_at_its_next_turn() -> None:
    world = World()
    async with world.running(Job("one", 30, world.job("one", 0))) as schedule:
        await world.time.advance_to(10)
        schedule.make_due("one")
        await world.time.advance_to(35)
    assert world.starts("one") == [0, 10 + TICK_S]


async def test_each_job_shows_when_it_last_ended_well_and_how_long_it_took() -> None:
    world = World()
    async with world.running(
        Job("shown", 60, world.job("shown", 4)),
        Job("refused", 60, world.failing("refused", OSError("refused"))),
    ):
        await world.time.advance_to(10)

    def shown(name: str, job: str) -> float | None:
        return REGISTRY.get_sample_value(f"rater_maintenance_{name}", {"job": job})

    assert shown("last_success_timestamp_seconds", "shown") == UNIX_S + 4
    assert shown("duration_seconds", "shown") == 4
    assert shown("last_success_timestamp_seconds", "refused") is None
