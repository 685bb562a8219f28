"""What a running process is made of: settings, ledger, book, worker, web; and how it ends."""

import asyncio
import gc
import os
import resource
import sys

import pyarrow as pa
import structlog

from rater.tariff_file import TariffError
from streams.base import faults, metrics
from streams.base.books import BookFile
from streams.base.errors import in_words
from streams.base.settings import Settings
from streams.base.shutdown import stop_on_signals, wait_briefly
from streams.ingest.startup import StartupError
from streams.kafka.clients import BrokerErrors, trouble
from streams.kafka.topics import TopicsError
from streams.runtime.logs import configure_logs
from streams.runtime.worker import Worker, WorkerFailedError
from streams.store.ledger import (
    Ledger,
    NoStoreError,
    StoreErrors,
    StoreHeldError,
    open_ledger,
)
from streams.web.app import create_app
from streams.web.health import Health, StoreHealth
from streams.web.operators import Operators
from streams.web.ops import create_ops_app
from streams.web.serve import PortTakenError, WebServer

# A thread that computes lets the others in after so long. Rating and columns compute for tens of
# milliseconds, and a record passes three threads before it is rated: by Python's default of 5 ms it
# is a third older when it is acknowledged than by 1 ms (10,000 events a second), and no more get
# done. Rating asks for the interpreter again after each of Arrow's calls, so less is better still.
SWITCH_S = 0.0002

log = structlog.get_logger()


class ServiceError(RuntimeError):
    """A service could not start or had to stop; one line that says why and what to do."""


async def run_worker(settings: Settings) -> None:
    """The worker with its health and metrics, until SIGTERM. Raises ServiceError."""
    configure_logs(settings)
    faults.arm(settings.fault)
    stop = asyncio.Event()
    stop_on_signals(stop)
    book_file, ledger = await asyncio.to_thread(_open, settings)
    try:
        await work(settings, ledger, book_file, stop)
    finally:
        ledger.close()


async def work(
    settings: Settings, ledger: Ledger, book_file: BookFile, stop: asyncio.Event
) -> None:
    """A worker and the operators' door on the running loop, until `stop`. Raises ServiceError."""
    calm_collector()
    choose_allocator()
    sys.setswitchinterval(SWITCH_S)
    worker = Worker(settings, ledger, book_file)
    ops = await start_ops(settings, worker, Operators(ledger, settings))
    log.info("worker_started", ops=ops.url, kafka=settings.kafka_bootstrap, group=settings.group)
    try:
        await worker.run(stop)
    except (WorkerFailedError, StartupError, TopicsError) as error:
        raise ServiceError(str(error)) from error
    except BrokerErrors as error:
        raise ServiceError(await trouble(settings, error)) from error
    finally:
        await wait_briefly(asyncio.create_task(ops.stop()))
    log.info("worker_stopped")


def calm_collector() -> None:
    """Stops Python's garbage collector from running by itself; a maintenance job calls it.

    A batch is many small objects without cycles: the collector would walk all of them, again and
    again, and find nothing (measured: a fifth of the worker's time, were it only to run seldom).
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def collect_seldom() -> None:
    """Lets the collector run seldom, and not over what stands since the start.

    Open pages are many small objects without cycles that live long: it walked all of them for each
    few hundred that were made, a third of what a thousand streams cost.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def allow_many_files() -> None:
    """As many open files as the machine lets this process have: each open page is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def choose_allocator() -> None:
    """Lets Arrow allocate by jemalloc where it has it and its user has not said otherwise.

    By Arrow's own choice each of the threads that rate keeps what it has freed: a worker that is
    behind held a sixth more of the machine's memory.
    """
    backend = "jemalloc"
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and backend in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


async def run_api(settings: Settings) -> None:
    """The page and the API, health and metrics beside them, until SIGTERM. Raises ServiceError."""
    configure_logs(settings)
    metrics.leave_out_worker()
    allow_many_files()
    stop = asyncio.Event()
    stop_on_signals(stop)
    book_file, ledger = await asyncio.to_thread(_open, settings, make=False)
    try:
        metrics.STORE_UP.set_function(lambda: float(ledger.ping()))  # whenever it is scraped
        ops = await start_ops(settings, StoreHealth(ledger))
        web = await start_web(settings, ledger, book_file)
        collect_seldom()
        log.info("api_started", web=web.url, ops=ops.url)
        await stop.wait()
        await web.stop()
        await ops.stop()
    finally:
        ledger.close()


async def start_web(settings: Settings, ledger: Ledger, book_file: BookFile) -> WebServer:
    """The page and the API on their port. Raises ServiceError."""
    app = create_app(ledger, lambda: book_file.book, settings)
    live = app.state.live
    server = WebServer(
        app,
        settings.web_host,
        settings.web_port,
        trusted_proxies=settings.trusted_proxies,
        before_stop=live.close,
    )
    return await started(server)


async def start_ops(
    settings: Settings, health: Health, operators: Operators | None = None
) -> WebServer:
    """Health and metrics on theirs, and the page of operators where the process may read what it
    shows: a worker may. Raises ServiceError."""
    app = create_ops_app(health, settings, operators)
    return await started(
        WebServer(app, settings.ops_host, settings.ops_port, setting="RATER_OPS_PORT")
    )


async def started(server: WebServer) -> WebServer:
    """The server, serving. Raises ServiceError where its address can't be had."""
    try:
        await server.start()
    except PortTakenError as error:
        raise ServiceError(str(error)) from error
    return server


def _open(settings: Settings, *, make: bool = True) -> tuple[BookFile, Ledger]:
    try:
        return BookFile(settings.tariff), open_ledger(
            settings, migrate=settings.clickhouse_url.startswith("chdb:"), make=make
        )
    except (TariffError, NoStoreError, StoreHeldError) as error:
        raise ServiceError(str(error)) from error
    except StoreErrors as error:
        raise ServiceError(
            f"the store at {settings.clickhouse_url} can't be used ({in_words(error)}); "
            "is it running, and was `rater migrate` run?"
        ) from error
