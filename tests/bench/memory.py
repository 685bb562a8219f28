"""What a worker holds of the machine's memory: at rest, and while it reads as fast as it can.

With the engine in its process, and without: then the store is another process, as in production.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.base.settings import Settings
from streams.kafka.topics import create_topics
from streams.store.ledger import open_ledger
from tests.bench.tables import Table
from tests.bench.watch import memory_mib, watch
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import WorkerProcess, environment_of

REST_S = 5


@contextmanager
def store_apart(settings: Settings, folder: Path, name: str) -> Iterator[Settings]:
    """The settings with their store behind HTTP, in a process of its own."""
    with ClickHouseHttp(folder / name) as store:
        settings = settings.model_copy(update={"clickhouse_url": store.url})
        open_ledger(settings, migrate=True).close()
        yield settings


def measure_memory(settings: Settings, folder: Path, total: int) -> Table:
    """On the topics that hold the events already."""
    inside = settings.model_copy(update={"clickhouse_url": f"chdb:{folder / 'memory'}"})
    rows = [("with the engine in its process", *measure_one(inside, folder, total))]
    with store_apart(settings, folder, "memory-apart") as apart:
        rows.append(("without the engine", *measure_one(apart, folder, total)))
    return Table(
        "What a worker holds of the machine's memory, in MiB",
        ("`rater worker`", "at rest", "a quarter read", "half", "all", "the most"),
        rows,
        f"While it reads {total:,} events as fast as it can.",
    )


def measure_one(settings: Settings, folder: Path, total: int) -> tuple[str, ...]:
    """At rest; after a quarter, half and all of the events; the most of all samples."""
    empty = settings.model_copy(update={"topic_prefix": "rest.", "group": "memory-rest"})
    asyncio.run(create_topics(empty))
    with WorkerProcess(environment_of(empty), folder / "memory.log") as worker:
        worker.start()
        time.sleep(REST_S)
        held = [memory_mib(worker.process.pid)]
        worker.terminate()
    name = "memory-inside" if settings.clickhouse_url.startswith("chdb:") else "memory-apart"
    settings = settings.model_copy(update={"group": name})
    most = 0.0
    with WorkerProcess(environment_of(settings), folder / "memory.log") as worker:
        worker.start(wait_ready=False)
        for count in watch(worker, every_s=0.25):
            now = memory_mib(worker.process.pid)
            most = max(most, now)
            reached = [share for share in (0.25, 0.5, 1) if count >= share * total]
            held += [now] * (len(reached) - (len(held) - 1))
            if count >= total:
                break
        worker.terminate()
    return tuple(f"{mib:,.0f}" for mib in (*held, most))
