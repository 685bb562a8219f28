"""The broker: it dies, it freezes, and workers start while it does."""

import pytest

from tests.faults.actions import OUTLIVES_SESSION_S, freeze_broker, kill_broker
from tests.faults.scene import Scene


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
