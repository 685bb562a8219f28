"""kill -9 of workers: at each point of a batch's way, and whenever."""

import signal

import pytest

from streams.faults import POINTS
from tests.faults.scene import Scene


@pytest.mark.timeout(180)
def test_workers_killed_at_every_point_of_a_batch_and_at_random_moments(scene: Scene) -> None:
    points = [f"{point}:{scene.chance.randint(1, 4)}" for point in POINTS]
    scene.chance.shuffle(points)
    scene.fleet.add("a", *points[::2])
    scene.fleet.add("b", *points[1::2])
    scene.traffic.send(800)
    scene.traffic.start()
    for name in ("a", "b"):
        scene.fleet.wait_for_deaths(name, len(POINTS) // 2, 90)
        assert set(scene.fleet.ended(name)) == {-signal.SIGKILL}
    for name in ("a", "b"):
        scene.fleet.wait_until_ready()
        scene.pause(0, 1)
        scene.fleet.kill(name)
    assert scene.settle() == []
