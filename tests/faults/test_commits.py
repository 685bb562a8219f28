"""Commits that fail while all else works."""

import time

import pytest

from tests.faults.check import stored_ends
from tests.faults.scene import Scene
from tests.support.broker import committed
from tests.support.workers import wait_for

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
