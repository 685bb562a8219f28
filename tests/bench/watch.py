"""Watching processes: what a worker has done, what it has used, how fast it goes.

How fast is told by the process itself, batch by batch: to ask a worker's /metrics five times a
second took a twentieth of what is measured.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streams.ingest import counting
from streams.rows.batch import Batch
from tests.support.workers import WorkerProcess

PATIENCE_S = 900


class Sample(NamedTuple):
    """What a process had done when a batch of it was durable."""

    at: float  # by the machine's monotonic clock
    done: int  # events
    used_s: float  # core-seconds

    @classmethod
    def now(cls, done: int) -> "Sample":
        return cls(time.monotonic(), done, time.process_time())

    @classmethod
    def read(cls, line: str) -> "Sample":
        at, done, used_s = line.split()
        return cls(float(at), int(done), float(used_s))

    def line(self) -> str:
        return f"{self.at} {self.done} {self.used_s}"


def after_each_batch(note: Callable[[Batch, float], None]) -> None:
    """To be run in a worker's process: notes each batch, and when it was written (seconds since the
    epoch), just after its acknowledgement."""
    count_batch = counting.count_batch

    def count_and_note(batch: Batch, *, written_s: float, insert_s: float) -> None:
        count_batch(batch, written_s=written_s, insert_s=insert_s)
        note(batch, written_s)

    counting.count_batch = count_and_note


def note_samples(path: str) -> None:
    """To be run in a worker's process: a line for each batch."""
    file = Path(path).open("a", buffering=1, encoding="ascii")  # noqa: SIM115 (as long as the process)
    done = 0

    def note(batch: Batch, _: float) -> None:
        nonlocal done
        done += batch.record_count()
        print(Sample.now(done).line(), file=file)

    after_each_batch(note)


class NotingWorker(WorkerProcess):
    """A worker that notes its samples, after code that its process runs `first`."""

    @property
    def notes(self) -> Path:
        return self.log_path.with_suffix(".notes")

    def start(self, *, wait_ready: bool = False, first: str = "") -> "NotingWorker":
        self.notes.touch()
        own = f"from tests.bench.watch import note_samples; note_samples({str(self.notes)!r})"
        super().start(wait_ready=wait_ready, first=f"{first}\n{own}")
        return self

    def samples(self) -> list[Sample]:
        return list(map(Sample.read, self.notes.read_text("ascii").splitlines()))


def consumed(worker: WorkerProcess) -> int:
    """Events that have their rows; 0 as long as the worker does not answer."""
    _, text = worker.get("/metrics")
    counts = re.findall(r"^rater_events_consumed_total\{.*\} (\S+)$", text, re.M)
    return int(sum(map(float, counts)))


def watch(worker: WorkerProcess, every_s: float) -> Iterator[int]:
    """Again and again what the worker has done. Raises RuntimeError as `wait_long` does."""
    for _ in wait_long([worker], every_s):
        yield consumed(worker)


def wait_long(workers: Sequence[WorkerProcess], every_s: float) -> Iterator[None]:
    """Again and again. Raises RuntimeError when one ends, or after PATIENCE_S."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        yield
        time.sleep(every_s)
        for worker in workers:
            if worker.process.poll() is not None:
                raise RuntimeError(f"a worker ended: {worker.log()[-2_000:]}")
    raise RuntimeError(f"not done in {PATIENCE_S} s")


def slope_of(worker: NotingWorker, total: int) -> tuple[float, float]:
    """As `slope`, once the worker has done all."""
    for _ in wait_long([worker], 0.5):
        samples = worker.samples()
        if samples and samples[-1].done >= total:
            break
    return slope(samples, total)


def slope(samples: Iterable[Sample], total: int) -> tuple[float, float]:
    """Events a second, and core-seconds of the process for a million events.

    From the end of the first batch to the end of the last: what came before (start, group, fetch)
    counts neither as time nor as events.
    """
    first: Sample | None = None
    for sample in samples:
        first = first or sample
        if sample.done >= total:
            done = sample.done - first.done
            if done < total / 2:
                raise SystemExit(f"{total:,} events are too few: one batch took most; say --events")
            return done / (sample.at - first.at), (sample.used_s - first.used_s) / done * 1e6
    raise RuntimeError(f"ended before all {total} events were done")


def memory_mib(pid: int) -> float:
    """What a process holds of the machine's memory (its resident set)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def core_s(pid: int) -> float:
    """Core-seconds that a process has used, its threads' and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """The least value that so much of the weight does not exceed; 0.5 is the median."""
    order = np.argsort(values)
    sums = np.cumsum(np.asarray(weights, dtype=float)[order])
    return float(np.asarray(values)[order][np.searchsorted(sums, share * sums[-1])])
