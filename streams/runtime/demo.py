"""The demo: real Kafka as a child process; the engine, its store, traffic and the page in ours."""

import asyncio
import os
import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from streams.base.books import BookFile
from streams.base.errors import in_words
from streams.base.settings import Settings, load_settings
from streams.base.shutdown import stop_on_signals
from streams.kafka.clients import BrokerErrors
from streams.kafka.embedded.jars import KafkaUnavailable
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.embedded.ports import PortTaken, refuse_taken_port
from streams.kafka.history import past_days
from streams.kafka.produce import send_all, send_traffic
from streams.kafka.simulate import Simulator
from streams.kafka.topics import create_topics
from streams.runtime.logs import configure_logs
from streams.runtime.services import ServiceError, start_web, started, work
from streams.store.http_front import build_app
from streams.store.ledger import StoreErrors, StoreHeldError, open_ledger
from streams.web.serve import WebServer

# Beside the data: how other programs of this machine get in.
PASSWORD, ENVIRONMENT = "clickhouse.password", "env"

console = Console(highlight=False, soft_wrap=True)


class Ports(NamedTuple):
    """Where the demo listens, on loopback alone; 0 is any free port."""

    web: int
    kafka: int
    store: int


async def run_demo(
    path: Path, ports: Ports, *, rate: float, seconds: float, history_days: int = 0
) -> None:
    """Runs until Ctrl-C, SIGTERM or `seconds` have passed; then stops all of it.

    It begins with the events of the last `history_days`, which a second start does not add again.
    Other programs of this machine share its Kafka and its store meanwhile. A second start continues
    on the same data. Raises ServiceError for a taken port or path.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    path = path.resolve()
    for option, port in zip(("--port", "--kafka-port", "--store-port"), ports, strict=True):
        try:
            refuse_taken_port("127.0.0.1", port)  # before anything is started
        except PortTaken as error:
            raise ServiceError(f"{error} with {option}") from error
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)  # its user's alone: numbers and texts lie in it
    broker = EmbeddedKafka(
        path / "kafka", port=ports.kafka, on_progress=lambda step: console.print(f"  {step}")
    )
    console.print(f"rater demo, its data in {path}")
    try:
        await asyncio.to_thread(broker.start)
        settings = load_settings(
            kafka_bootstrap=broker.bootstrap,
            clickhouse_url=f"chdb:{path / 'clickhouse'}",
            web_port=ports.web,
            ops_port=0,
            topic_partitions=4,
            group="rater-demo",
        )
        configure_logs(settings)
        ledger = await asyncio.to_thread(open_ledger, settings, migrate=True)
        try:
            await create_topics(settings)
            book_file = BookFile(settings.tariff)
            web = await start_web(settings, ledger, book_file)
            store = await start_store(path, ports.store)
            say_where(web.url, share(path, settings, store.url))
            traffic = asyncio.create_task(_send(settings, rate, history_days, stop))
            if seconds:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            try:
                await work(settings, ledger, book_file, stop)
            finally:
                stop.set()
                await web.stop()
                await store.stop()
                await traffic
        finally:
            ledger.close()
    except (KafkaUnavailable, PortTaken, StoreHeldError) as error:
        raise ServiceError(str(error)) from error
    except (*StoreErrors, *BrokerErrors) as error:
        raise ServiceError(f"the demo had to stop: {in_words(error)}") from error
    finally:
        await asyncio.to_thread(broker.stop)
    console.print("stopped; nothing is left running")


async def start_store(path: Path, port: int) -> WebServer:
    """Serves the demo's store to other programs of this machine. Raises ServiceError."""
    secret = path / PASSWORD
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(secrets.token_urlsafe(24))
    app = build_app(path / "clickhouse", secret.read_text())
    return await started(WebServer(app, "127.0.0.1", port, setting="--store-port"))


def share(path: Path, settings: Settings, store_url: str) -> Path:
    """Writes what other programs need to use the demo's Kafka and store, as a shell reads it."""
    file = path / ENVIRONMENT
    file.write_text(
        f"export RATER_KAFKA_BOOTSTRAP={settings.kafka_bootstrap}\n"
        f"export RATER_GROUP={settings.group}\n"
        f"export RATER_CLICKHOUSE_URL={store_url}\n"
        f"export RATER_CLICKHOUSE_PASSWORD_FILE={shlex.quote(str(path / PASSWORD))}\n"
    )
    return file


def say_where(url: str, environment: Path) -> None:
    console.print(f"\n  [bold]{url}[/]   the statement, live; Ctrl-C stops all of it")
    console.print(f"  in another shell: . {environment}   then: rater usage acme\n")


async def _send(settings: Settings, rate: float, history_days: int, stop: asyncio.Event) -> None:
    if history_days:
        sent = await send_all(settings, past_days(history_days, datetime.now(UTC)))
        console.print(f"  {sent} events of the last {history_days} days are sent")
    # A seed of its own each time: a second start makes new events beside the standing things.
    simulator = Simulator(seed=int.from_bytes(os.urandom(4)))
    await send_traffic(settings, simulator, rate=rate, steady=True, stop=stop)
