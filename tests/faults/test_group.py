"""The group and its broker: zombies, workers that come and go, a broker that dies or freezes."""

import time

import pytest

from tests.faults.actions import (
    OUTLIVES_SESSION_S,
    freeze_broker,
    join_and_leave,
    kill_broker,
)
from tests.faults.check import stored_ends
from tests.faults.scene import Scene
from tests.support.broker import committed
from tests.support.workers import wait_for


@pytest.mark.timeout(240)
def test_a_zombie_writes_late_what_another_has_written_and_workers_come_and_go(
    scene: Scene,
) -> None:
    scene.fleet.add("a", f"before_insert:{scene.chance.randint(2, 6)}:stop")
    scene.fleet.add("b")
    scene.traffic.start()
    wait_for(lambda: scene.fleet.is_frozen("a"), "a frozen before its insert", 60)
    frozen_at = time.monotonic()
    join_and_leave(scene)
    time.sleep(max(0.0, frozen_at + OUTLIVES_SESSION_S - time.monotonic()))
    scene.fleet.wake("a")
    scene.fleet.terminate("b")
    join_and_leave(scene)
    assert scene.settle() == []


@pytest.mark.timeout(240)
def test_a_broker_killed_and_frozen_while_commits_are_made(scene: Scene) -> None:
    scene.begin("a", "b")
    kill_broker(scene)
    scene.pause(1, 4)
    freeze_broker(scene, OUTLIVES_SESSION_S)
    scene.pause(1, 4)
    assert scene.settle() == []


COMMITS_FAIL_S = 60
COMMITS_FAIL = """
import time
from aiokafka import errors
from aiokafka.consumer.group_coordinator import GroupCoordinator

commit = GroupCoordinator._do_commit_offsets

async def commit_or_fail(*arguments):
    if time.time() < {until}:
        raise errors.{error}()
    await commit(*arguments)

GroupCoordinator._do_commit_offsets = commit_or_fail
"""


@pytest.mark.timeout(300)
def test_commits_that_fail_for_a_minute_while_all_else_works(scene: Scene) -> None:
    """One worker's are to be tried again, as by a coordinator that is away; the other's are not."""
    until = time.time() + COMMITS_FAIL_S
    errors = {"a": "GroupCoordinatorNotAvailableError", "b": "UnknownError"}
    for name, error in errors.items():
        scene.fleet.add(name, first=COMMITS_FAIL.format(until=until, error=error))
    scene.traffic.start()
    ledger = scene.ledger()
    wait_for(lambda: stored_ends(ledger)[0], "rows in the store", 60)
    scene.pause(3, 12)
    scene.fleet.kill("a")
    wait_for(lambda: scene.fleet.ended("b"), "the other ended by itself", 60)
    assert not any(committed(scene.settings).values())
    assert time.time() < until, "this was looked at too late"
    time.sleep(until - time.time())
    ledger.close()
    assert scene.settle() == []


@pytest.mark.timeout(240)
def test_workers_that_start_while_the_broker_is_frozen_go_on_when_it_wakes(scene: Scene) -> None:
    """A broker that wakes tells of no broker at first: that is no answer to live by for minutes."""
    scene.begin("a", "b")
    for name in scene.fleet.names():
        scene.fleet.kill(name)
    freeze_broker(scene, 16)
    assert scene.settle() == []
