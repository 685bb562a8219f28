"""The store fails: on the way to it, its process, its disk."""

import pytest

from tests.faults.actions import STRACE, break_disk, break_inserts, kill_store
from tests.faults.proxy import BREAKS
from tests.faults.scene import Scene


@pytest.mark.timeout(240)
def test_inserts_broken_on_their_way_and_a_store_killed_while_it_writes(scene: Scene) -> None:
    scene.begin("a", "b")
    break_inserts(scene)
    assert {f"insert: {name}" for name in BREAKS} <= scene.injected.keys()
    kill_store(scene)
    scene.pause(1, 3)
    kill_store(scene)
    assert scene.settle() == []
    assert [scene.fleet.ended(name) for name in ("a", "b")] == [[], []]  # nobody gave up


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.timeout(240)
def test_a_store_whose_disk_fails_at_rename_and_fsync(scene: Scene) -> None:
    scene.sync_every_insert()
    scene.begin("a")
    break_disk(scene)
    assert {"rename failed", "fsync failed"} <= scene.injected.keys()
    assert scene.settle() == []
