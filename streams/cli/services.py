"""The commands that run until they are stopped: worker, page and API, the demo, traffic."""

import asyncio
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.base.settings import SettingsError, load_settings
from streams.cli.console import FAILED, WRONG_USE, Stop, err, no_broker, out


def worker() -> None:
    """Rate events from Kafka into ClickHouse until stopped; SIGTERM drains."""
    from streams.runtime.services import run_worker

    _serve(run_worker(load_settings()))


def api() -> None:
    """Serve the usage page and the HTTP API on an existing ledger."""
    from streams.runtime.services import run_api

    _serve(run_api(load_settings()))


def demo(
    path: Annotated[Path, typer.Option("--path", help="Where its data lives.")] = Path(".rater"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the page.")] = 6066,
    kafka_port: Annotated[int, typer.Option(min=0, max=65_535, help="Of its Kafka.")] = 9092,
    store_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of its store, as ClickHouse's HTTP.")
    ] = 8123,
    rate: Annotated[float, typer.Option(min=0.01, help="Simulated events a second.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 goes on.")] = 0,
    history: Annotated[
        str, typer.Option("--history", metavar="DAYS", help="Begin with so many days: 90d.")
    ] = "",
) -> None:
    """All in one: real Kafka as a child process, the engine, traffic and the live page.

    Other commands use its Kafka and its store meanwhile: it says how. A port 0 is any free one.
    """
    from streams.runtime.demo import Ports, run_demo

    days = _days("--history", history)
    ports = Ports(port, kafka_port, store_port)
    _serve(run_demo(path, ports, rate=rate, seconds=seconds, history_days=days))


def _days(option: str, text: str) -> int:
    """Days written as 90d; no text is none."""
    from streams.kafka.history import DAYS_MAX

    if not text:
        return 0
    days = int(text[:-1]) if re.fullmatch(r"[0-9]{1,4}d", text) else 0
    if not 1 <= days <= DAYS_MAX:
        raise Stop(f"{option} {text!r} is no number of days: 90d, at most {DAYS_MAX}d", WRONG_USE)
    return days


def _serve(service: Any) -> None:
    asyncio.run(_serve_and_leave(service))


async def _serve_and_leave(service: Any) -> None:
    from streams.runtime.services import ServiceError
    from streams.web.tokens import TokensError

    status = 0
    try:
        await service
    except (ServiceError, TokensError) as error:
        err.print(str(error), style="red", markup=False)
        status = FAILED
    except SettingsError as error:
        err.print(str(error), style="red", markup=False)
        status = WRONG_USE
    except Exception:
        traceback.print_exc()
        status = FAILED
    # Leave at once: a thread that still waits for a store that does not answer would hold up the
    # exit, and nothing that was acknowledged depends on it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second at the day's peak.")] = 20,
    steady: Annotated[bool, typer.Option("--steady", help="The same rate at every hour.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed makes the same traffic.")] = 1,
    accounts: Annotated[int, typer.Option(min=1, help="How many accounts.")] = 3,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 goes on.")] = 0,
) -> None:
    """Send realistic traffic to the broker until stopped: calls, texts, dials, AMD, recordings."""
    from streams.base.shutdown import stop_on_signals
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.produce import send_traffic
    from streams.kafka.simulate import Simulator

    settings = load_settings()

    async def run() -> int:
        stop = asyncio.Event()
        stop_on_signals(stop)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        with err.status("") as status:
            return await send_traffic(
                settings,
                Simulator(seed=seed, accounts=accounts),
                rate=rate,
                steady=steady,
                stop=stop,
                on_tick=lambda sent, now: status.update(f"{sent} events sent, {now:.1f} a second"),
            )

    try:
        sent = asyncio.run(run())
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    out.print(f"{sent} events sent")
