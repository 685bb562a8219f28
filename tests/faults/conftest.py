"""One broker and one store for all faults; a scene of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka.embedded.kafka import EmbeddedKafka
from tests.faults.scene import Scene, open_scene
from tests.faults.seed import fresh_seed
from tests.support.clickhouse_http import ClickHouseHttp


@pytest.fixture(scope="session")
def chaos_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("chaos-kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def chaos_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with ClickHouseHttp(tmp_path_factory.mktemp("chaos-store") / "store") as store:
        yield store


@pytest.fixture
def scene(
    chaos_broker: EmbeddedKafka, chaos_store: ClickHouseHttp, tmp_path: Path
) -> Iterator[Scene]:
    with open_scene(chaos_broker, chaos_store, tmp_path, seed=fresh_seed()) as opened:
        yield opened
