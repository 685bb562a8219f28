"""Watching processes: what a worker has done, what it has used, how fast it goes."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.support.workers import WorkerProcess

PATIENCE_S = 900


def consumed(worker: WorkerProcess) -> int:
    """Events that have their rows; 0 as long as the worker does not answer."""
    _, text = worker.get("/metrics")
    counts = re.findall(r"^rater_events_consumed_total\{.*\} (\S+)$", text, re.M)
    return int(sum(map(float, counts)))


def watch(worker: WorkerProcess, every_s: float = 0.2) -> Iterator[tuple[float, int]]:
    """Again and again the instant and what the worker has done, as `watch_all`."""
    for at, counts in watch_all([worker], every_s):
        yield at, counts[0]


def watch_all(
    workers: Sequence[WorkerProcess], every_s: float = 0.2
) -> Iterator[tuple[float, list[int]]]:
    """Again and again the instant and what each worker has done.

    Raises RuntimeError when one ends, or after PATIENCE_S.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        yield time.monotonic(), [consumed(worker) for worker in workers]
        time.sleep(every_s)
        for worker in workers:
            if worker.process.poll() is not None:
                raise RuntimeError(f"a worker ended: {worker.log()[-2_000:]}")
    raise RuntimeError(f"not done in {PATIENCE_S} s")


def slope(samples: Iterator[tuple[float, int]], total: int, pid: int) -> tuple[float, float]:
    """Events a second, and core-seconds of the process for a million events.

    From the end of the first batch seen to the end of the last: what came before (start, group,
    fetch) counts neither as time nor as events.
    """
    first: tuple[float, int, float] | None = None
    for at, count in samples:
        if first is None and count:
            first = at, count, core_seconds(pid)
        if first is not None and count >= total:
            done, used_s = count - first[1], core_seconds(pid) - first[2]
            if done < total / 2:
                raise SystemExit(f"{total:,} events are too few: one batch took most; say --events")
            return done / (at - first[0]), used_s / done * 1e6
    raise RuntimeError(f"ended before all {total} events were done")


def core_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """What a process holds of the machine's memory (its resident set)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """The least value that so much of the weight does not exceed; 0.5 is the median."""
    order = np.argsort(values)
    sums = np.cumsum(np.asarray(weights, dtype=float)[order])
    return float(np.asarray(values)[order][np.searchsorted(sums, share * sums[-1])])
