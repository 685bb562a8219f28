"""Two workers against one: the same topics, and one store that is another process.

As fast as they can; and each held to a share of a core, so that the cores allow two of them, the
store and the broker. Holding takes Linux's cpu controller (cgroups v1) and root; without these, the
second half is left out.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streams.base.settings import Settings
from tests.bench.memory import store_apart
from tests.bench.tables import Table
from tests.bench.watch import NotingWorker, Sample, wait_long
from tests.support.workers import environment_of

STILL_S = 3.0  # without a further event: all is done
SHARE = 0.4  # of a core, for each worker that is held
CONTROLLER = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 20_000


def measure_two(settings: Settings, folder: Path, total: int) -> Table:
    """On the topics that hold the events already."""
    rows = []
    shares = [None, SHARE] if os.access(CONTROLLER / "cpu.cfs_quota_us", os.W_OK) else [None]
    for share in shares:
        held = f", held to {share:g} of a core each" if share else ""
        one, two = (measure_workers(settings, folder, total, count, share) for count in (1, 2))
        rows += [
            (f"one{held}", f"{one:,.0f}", "1.00x"),
            (f"two{held}", f"{two:,.0f}", f"{two / one:.2f}x"),
        ]
    return Table(
        "Two workers against one",
        ("workers", "events/s", "ratio"),
        rows,
        "From the end of the first batch (of both) to the end of the last; the store is a third"
        f" process, the broker a fourth, and all share {os.cpu_count()} cores, which one worker"
        " nearly fills. Held, there is room for two.",
    )


@contextmanager
def held_to(share: float, worker: NotingWorker) -> Iterator[None]:
    """A worker that has started gets no more than a share of a core."""
    group = CONTROLLER / f"rater-bench-{worker.process.pid}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD_US * share)))
        (group / "cgroup.procs").write_text(str(worker.process.pid))
        yield
    finally:
        worker.kill()  # a group that has processes can't be removed
        group.rmdir()


def measure_workers(
    settings: Settings, folder: Path, total: int, count: int, share: float | None
) -> float:
    """Events a second of some workers of one group together."""
    name = f"workers-{count}" + "-held" * bool(share)
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
            if share:
                stack.enter_context(held_to(share, worker))
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
