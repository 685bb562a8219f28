"""Two workers against one: the same topics, and one store that is another process."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from streams.settings import Settings
from tests.bench.memory import store_apart
from tests.bench.tables import Table
from tests.bench.watch import NotingWorker, Sample, wait_long
from tests.support.workers import environment_of

STILL_S = 3.0  # without a further event: all is done


def measure_two(settings: Settings, folder: Path, total: int) -> Table:
    """On the topics that hold the events already."""
    one = measure_workers(settings, folder, total, 1)
    two = measure_workers(settings, folder, total, 2)
    return Table(
        "Two workers against one",
        ("workers", "events/s", "ratio"),
        [("one", f"{one:,.0f}", "1.00x"), ("two", f"{two:,.0f}", f"{two / one:.2f}x")],
        "From the end of the first batch (of both) to the end of the last; the store is a third"
        f" process, the broker a fourth, and all share {os.cpu_count()} cores: two workers are"
        " faster where cores allow.",
    )


def measure_workers(settings: Settings, folder: Path, total: int, count: int) -> float:
    """Events a second of some workers of one group together."""
    name = f"workers-{count}"
    with ExitStack() as stack:
        settings = settings.model_copy(update={"group": name})
        settings = stack.enter_context(store_apart(settings, folder, name))
        environment = environment_of(settings)
        workers = [
            stack.enter_context(NotingWorker(environment, folder / f"{name}-{number}.log"))
            for number in range(count)
        ]
        for worker in workers:
            worker.start()
        per_second = slope_of_all(workers, total)
        for worker in workers:
            worker.terminate()
    return per_second


def slope_of_all(workers: Sequence[NotingWorker], total: int) -> float:
    """From when each has done a batch until none does any more.

    What a rebalance at the start makes them read twice comes before: a worker's first batch shows
    that it has its partitions.
    """
    for _ in wait_long(workers, 0.5):
        samples = [worker.samples() for worker in workers]
        last = [some[-1] if some else Sample(0, 0, 0) for some in samples]
        until = max(sample.at for sample in last)
        all_done = sum(sample.done for sample in last) >= total
        if all(samples) and all_done and time.monotonic() - until > STILL_S:
            break
    began = max(some[0].at for some in samples)
    done = sum(
        some[-1].done - max(sample.done for sample in some if sample.at <= began)
        for some in samples
    )
    if done < total / 4:
        raise SystemExit(f"{total:,} events are too few for several workers; say --events")
    return done / (until - began)
