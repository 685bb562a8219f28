"""The compose file's Kafka for real: its users, rights and listeners on the embedded broker."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka
import orjson
import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from streams.base.settings import Settings, load_settings
from streams.kafka.clients import admin_client, client_options, make_producer
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.embedded.ports import free_port
from streams.kafka.produce import send_all
from streams.kafka.simulate import Simulated
from streams.kafka.topics import INPUTS, REJECTED
from streams.store.ledger import open_ledger
from tests.conftest import call, environment, rows_of
from tests.support.workers import ROOT, WorkerProcess, wait_for
from tests.test_deploy import make_secrets, services

# What the test's own machine decides: where to listen, where data lie, how many brokers there are.
OF_THE_MACHINE = (
    "KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_LOG_DIRS", "KAFKA_NODE_ID", "KAFKA_HEAP_OPTS", "KAFKA_OPTS",
)  # fmt: skip


class ComposeKafka(EmbeddedKafka):
    """The broker as the compose file has it, its listeners on ports of this machine."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        super().__init__(folder)
        compose = services()["kafka"]["environment"]
        ports = {"LOCAL": self.port, "CONTROLLER": self.controller_port}
        for name in ("INSIDE", "OUTSIDE"):
            ports[name] = free_port(self.host, besides=self.port)
        named = [listener.split(":")[0] for listener in compose["KAFKA_LISTENERS"].split(",")]
        assert set(named) == set(ports)
        self.inside = f"{self.host}:{ports['INSIDE']}"
        listeners = {name: f"{name}://{self.host}:{ports[name]}" for name in named}
        told = {
            key.removeprefix("KAFKA_").lower().replace("_", "."): value
            for key, value in compose.items()
            if key.startswith("KAFKA_") and key not in OF_THE_MACHINE
        }
        told["listeners"] = ",".join(listeners.values())
        del listeners["CONTROLLER"]
        told["advertised.listeners"] = ",".join(listeners.values())
        self._properties = "".join(f"{name}={value}\n" for name, value in told.items())
        self.options = compose["KAFKA_OPTS"].replace("/run/secrets", str(secrets))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    make_secrets(folder)
    return folder


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, secrets: Path) -> Iterator[ComposeKafka]:
    broker = ComposeKafka(tmp_path_factory.mktemp("kafka"), secrets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", broker.options)
        broker.start()
    yield broker
    broker.stop()


def variables(kafka: ComposeKafka, secrets: Path, service: str) -> dict[str, str]:
    """A service's environment, its Kafka and its secrets where they are here."""
    told: dict[str, Any] = services()[service]["environment"]
    return {
        key: str(value).replace("/run/secrets", str(secrets)).replace("kafka:19092", kafka.inside)
        for key, value in told.items()
    }


def settings_of(kafka: ComposeKafka, secrets: Path, service: str) -> Settings:
    with environment(**variables(kafka, secrets, service)):
        return load_settings()


@pytest.fixture(scope="module")
def made(kafka: ComposeKafka, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the one-shot `topics` does, by its own lines."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "rater"
    program.write_text(f"#!{sys.executable}\nfrom streams.cli.main import main\nmain()\n")
    program.chmod(0o755)
    topics = services()["topics"]
    own = variables(kafka, secrets, "topics")
    path = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*topics["entrypoint"], *topics["command"]],
        env=os.environ | own | path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_of_the_compose_file_rates_what_its_producer_sends(
    kafka: ComposeKafka, secrets: Path, made: None, tmp_path: Path
) -> None:
    event = Simulated("call", "acme", orjson.dumps(call()))
    asyncio.run(send_all(settings_of(kafka, secrets, "simulate"), [event]))
    store = {
        "RATER_CLICKHOUSE_URL": f"chdb:{tmp_path / 'store'}", "RATER_CLICKHOUSE_PASSWORD_FILE": "",
        "RATER_OPS_HOST": "127.0.0.1",
    }  # fmt: skip
    with WorkerProcess(variables(kafka, secrets, "worker") | store, tmp_path / "log") as worker:
        worker.start()
        counted = 'rater_events_rated_total{kind="call"} 1.0'
        wait_for(lambda: counted in worker.get("/metrics")[1], "a call rated", log=worker.log)
        assert worker.terminate()[0] == 0
    ledger = open_ledger(Settings(clickhouse_url=store["RATER_CLICKHOUSE_URL"]), migrate=False)
    try:
        assert len(rows_of(ledger)) == 1
    finally:
        ledger.close()


async def test_who_has_a_password_has_the_rights_of_his_job_alone(
    kafka: ComposeKafka, secrets: Path, made: None
) -> None:
    for service, topic in (("worker", INPUTS[0]), ("simulate", REJECTED)):
        producer = make_producer(settings_of(kafka, secrets, service))
        try:
            await producer.start()
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic, b"{}")
        finally:
            await producer.stop()
    async with admin_client(settings_of(kafka, secrets, "topics")) as admin:
        assert set(await admin.list_topics()) >= {*INPUTS, REJECTED}


async def test_nobody_is_let_in_without_a_password(
    kafka: ComposeKafka, secrets: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guessed")
    settings = settings_of(kafka, secrets, "topics")
    for update in (
        {"kafka_sasl_password_file": wrong},
        {"kafka_security_protocol": "PLAINTEXT"},
    ):
        options = client_options(settings.model_copy(update=update))
        producer = aiokafka.AIOKafkaProducer(**options, request_timeout_ms=2000)
        try:
            with pytest.raises(aiokafka.errors.KafkaError):
                await producer.start()
        finally:
            await producer.stop()
