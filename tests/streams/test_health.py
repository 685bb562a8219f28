"""What a worker says of itself while its broker, its commits or its disk fail: on a real Kafka."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import schemas
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.kafka.clients import read_committed
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.produce import send_all
from streams.kafka.simulate import Simulator
from streams.kafka.topics import create_topics
from streams.runtime.worker import Worker
from streams.store import health
from streams.store.health import why_not_ready
from streams.store.ledger import Ledger, open_ledger
from tests.conftest import ROOT

STALL_S = 5.0


async def until(holds: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.1)


def value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


class Running:
    """A worker in this process, its broker and its store."""

    def __init__(self, settings: Settings, kafka: EmbeddedKafka, ledger: Ledger) -> None:
        self.settings, self.kafka, self.ledger = settings, kafka, ledger
        self.worker = Worker(settings, ledger, BookFile(schemas.SAMPLE_TARIFF))

    def lag(self) -> float:
        return float(sum(self.worker._app.consumer.lags(self.worker._bounds).values()))


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr("streams.runtime.worker.BOUNDS_EVERY_S", 0.2)
    monkeypatch.setattr("streams.runtime.worker.BROKER_TIMEOUT_S", 2.0)
    monkeypatch.setattr("streams.runtime.worker.BROKER_SILENT_S", 3.0)
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        settings = Settings(
            kafka_bootstrap=kafka.bootstrap, clickhouse_url=f"chdb:{tmp_path / 'store'}",
            topic_partitions=2, health_stall_s=STALL_S, session_timeout_s=30,
        )  # fmt: skip
        ledger, stop = open_ledger(settings, migrate=True), asyncio.Event()
        await create_topics(settings)
        one = Running(settings, kafka, ledger)
        task = asyncio.create_task(one.worker.run(stop))
        try:
            await until(lambda: one.worker.ready() is None)
            yield one
        finally:
            stop.set()
            await task
            ledger.close()


@pytest.mark.timeout(120)
async def test_a_broker_that_is_silent_is_ill_and_not_ready_until_it_speaks(
    running: Running,
) -> None:
    assert running.worker.alive() is None
    assert running.kafka.pid is not None
    os.kill(running.kafka.pid, signal.SIGSTOP)
    try:
        await until(lambda: running.worker.ready() == "the broker does not answer")
        await until(lambda: "the broker has not said" in (running.worker.alive() or ""))
    finally:
        os.kill(running.kafka.pid, signal.SIGCONT)
    await until(lambda: running.worker.alive() is None and running.worker.ready() is None)


@pytest.mark.timeout(120)
async def test_a_commit_counts_once_the_broker_has_said_yes(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that returns False was taken for made: no lag, a last commit, and never tried again."""
    thread = running.worker._app.consumer._thread
    commit, refused = thread.commit, asyncio.Event()

    async def refuse(offsets: object) -> bool:
        refused.set()
        return False

    monkeypatch.setattr(thread, "commit", refuse)
    before = value("rater_last_commit_timestamp_seconds")
    errors = value("rater_commit_errors_total")
    sent = await send_all(running.settings, list(Simulator(seed=7, accounts=3).opening())[:40])
    await asyncio.wait_for(refused.wait(), 30)
    await until(lambda: "no progress" in (running.worker.alive() or ""))
    assert value("rater_last_commit_timestamp_seconds") == before
    assert value("rater_commit_errors_total") > errors
    assert running.lag() == sent
    await until(lambda: value("rater_consumer_lag_seconds") >= STALL_S)
    assert value("rater_event_age_seconds_count") >= sent
    assert not any((await read_committed(running.settings)).values())
    monkeypatch.setattr(thread, "commit", commit)
    # Nothing more comes, and what was refused is tried again.
    await until(lambda: running.lag() == 0 and running.worker.alive() is None)
    assert sum((await read_committed(running.settings)).values()) == sent
    assert value("rater_last_commit_timestamp_seconds") > before
    assert value("rater_commit_duration_seconds_count") >= 1
    await until(lambda: value("rater_consumer_lag_seconds") == 0)


def test_a_disk_that_is_full_is_not_ready(
    any_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_not_ready(any_ledger) is None
    monkeypatch.setattr(health, "FREE_MIN_BYTES", 2**60)
    assert "the store's disk is full" in (why_not_ready(any_ledger) or "")


WITHOUT = """
from prometheus_client import generate_latest
from streams.base import metrics
metrics.leave_out_worker()
print(generate_latest().decode())
"""


def test_a_process_that_is_no_worker_exports_nothing_of_one() -> None:
    """Its last commit was fifty-six years ago as soon as it was scraped."""
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    ours = {line.split("{")[0].split()[0] for line in said.splitlines() if line[:6] == "rater_"}
    assert ours == {"rater_build_info", "rater_store_up"}
