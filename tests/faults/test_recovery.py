"""What a killed worker held goes on within seconds, and nothing of it is lost."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.kafka.embedded.kafka import EmbeddedKafka
from tests.conftest import MEASURED
from tests.faults.check import stored_ends
from tests.faults.scene import open_scene
from tests.faults.seed import fresh_seed
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import wait_for


@pytest.mark.timeout(180)
def test_what_a_killed_worker_held_goes_on_with_default_settings(
    chaos_broker: EmbeddedKafka,
    chaos_store: ClickHouseHttp,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    with open_scene(chaos_broker, chaos_store, tmp_path, seed=fresh_seed(), more={}) as scene:
        scene.begin("a", "b")
        ledger = scene.ledger()
        wait_for(lambda: len(stored_ends(ledger)[0]) >= 8, "rows of many partitions")

        def held_by_a() -> set[tuple[str, int]]:
            return {place for place in stored_ends(ledger)[0] if scene.holds("a", place)}

        # A worker tells its partitions once it knows their ends, after the first rows.
        wait_for(lambda: bool(held_by_a()), "partitions of the worker to be killed")
        held = held_by_a()
        scene.fleet.kill("a")
        killed_at = time.monotonic()
        time.sleep(0.5)  # what the store was doing for the dead is done
        before = stored_ends(ledger)[0]
        wait_for(
            lambda: any(stored_ends(ledger)[0][place] > before[place] for place in held),
            "a record of a partition that the dead worker held",
            60,
        )
        record_property(MEASURED, f"rated again {time.monotonic() - killed_at:.1f} s after a kill")
        ledger.close()
        assert scene.settle() == []
        # And the comparison sees what is lost, or what is charged twice.
        scene.execute("ALTER TABLE rated DELETE WHERE line = 'texts' SETTINGS mutations_sync = 2")
        assert any(difference.startswith("identities of rows") for difference in scene.settle())
