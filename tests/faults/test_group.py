"""The group and its broker: zombies, workers that come and go, a broker that dies or freezes."""

import time

import pytest

from tests.faults.actions import (
    OUTLIVES_SESSION_S,
    freeze_broker,
    join_and_leave,
    kill_broker,
)
from tests.faults.scene import Scene
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


@pytest.mark.timeout(240)
def test_workers_that_start_while_the_broker_is_frozen_go_on_when_it_wakes(scene: Scene) -> None:
    """A broker that wakes tells of no broker at first: that is no answer to live by for minutes."""
    scene.begin("a", "b")
    for name in scene.fleet.names():
        scene.fleet.kill(name)
    freeze_broker(scene, 16)
    assert scene.settle() == []
