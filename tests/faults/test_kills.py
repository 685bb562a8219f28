"""kill -9 of workers: at each point of a batch's way, at the worst moment, and whenever."""

import signal

import pytest

from streams.base.faults import POINTS
from tests.faults.actions import kill_at_worst_moment, kill_worker, terminate_at_worst_moment
from tests.faults.scene import Scene

WORKERS = ("a", "b", "c")


@pytest.mark.timeout(240)
def test_workers_killed_at_every_point_of_a_batch_at_random_and_at_the_worst_moment(
    scene: Scene,
) -> None:
    points = [f"{point}:{scene.chance.randint(1, 3)}" for point in POINTS]
    scene.chance.shuffle(points)
    for number, name in enumerate(WORKERS):
        scene.fleet.add(name, *points[number :: len(WORKERS)])
    scene.traffic.start()
    for name in WORKERS:
        scene.fleet.wait_for_deaths(name, len(POINTS) // len(WORKERS), 120)
        assert set(scene.fleet.ended(name)) == {-signal.SIGKILL}
    kill_worker(scene)
    kill_at_worst_moment(scene)
    terminate_at_worst_moment(scene)
    assert scene.settle() == []
