"""The group: zombies, and workers that come and go."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.store.ledger import open_ledger
from tests.conftest import call
from tests.faults.actions import OUTLIVES_SESSION_S, join_and_leave
from tests.faults.scene import Scene
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.poison import send
from tests.support.workers import WorkerProcess, environment_of, own_settings, wait_for


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


def rebalances(worker: WorkerProcess) -> float:
    shown = worker.get("/metrics")[1].splitlines()
    told = [line.split()[-1] for line in shown if line.startswith("rater_rebalances_total ")]
    return float(told[0]) if told else 0.0


@pytest.mark.timeout(240)
def test_a_named_worker_that_is_killed_and_comes_back_stops_no_other(tmp_path: Path) -> None:
    """Within its session. The group divided its partitions anew, twice, and all stood meanwhile."""
    with ExitStack() as stack:
        kafka = stack.enter_context(EmbeddedKafka(tmp_path / "kafka"))
        store = stack.enter_context(ClickHouseHttp(tmp_path / "clickhouse"))
        settings = own_settings(kafka.bootstrap, store.url, tmp_path)
        ledger = open_ledger(settings, migrate=False)
        stack.callback(ledger.close)
        named = {"RATER_SESSION_TIMEOUT_S": "60"}
        killed, other = (
            stack.enter_context(
                WorkerProcess(
                    environment_of(settings) | named | {"RATER_GROUP_INSTANCE_ID": name},
                    tmp_path / f"{name}.log",
                )
            )
            for name in ("worker-0", "worker-1")
        )
        killed.start()
        other.start()
        wait_for(lambda: rebalances(killed) * rebalances(other), "partitions", 60, killed.log)
        before = rebalances(other)
        killed.kill()
        killed.start()
        for partition in range(settings.topic_partitions):
            value = orjson.dumps(call(id=f"c{partition}"))
            asyncio.run(send(settings, "usage.call.v1", partition, value))
        question = "SELECT uniqExact(event_id) FROM rated_rows"
        expected = [(settings.topic_partitions,)]
        wait_for(lambda: ledger.query(question) == expected, "all are rated", 50, killed.log)
        assert rebalances(other) == before
