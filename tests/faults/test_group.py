"""The group: zombies, and workers that come and go."""

import time

import pytest

from tests.faults.actions import OUTLIVES_SESSION_S, join_and_leave
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
