"""How old an event is when its rows are durable and acknowledged, at a steady rate of events.

From the broker's timestamp, when the record came into the log, to the worker's acknowledgement.
The worker is the one a user starts; code that runs first in its process writes down the instants of
each batch just after its acknowledgement (`receipts.written_at` is the start of a write, not its
end).
"""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from streams.base.settings import Settings
from streams.kafka.topics import create_topics
from streams.rows.batch import Batch
from tests.bench.tables import Table
from tests.bench.watch import after_each_batch, memory_mib, quantile, watch
from tests.support.workers import WorkerProcess, environment_of

RATES = "1000,10000,50000"
SECONDS = 20.0
WARM_UP_S = 5  # of each rate, that do not count
# A worker that does only 95 of 100 events has ages that grow by so much a second; they are above a
# second by the end. Both, because on a shared machine a worse moment looks like growth.
GROWTH_MAX = 0.05
BEHIND_S = 1.0


def note_batches(path: str) -> None:
    """To be run in the worker's process: a line for each batch."""
    file = Path(path).open("ab", buffering=0)  # noqa: SIM115 (as long as the process)

    def note(batch: Batch, written_s: float) -> None:
        logged = Counter(ms for block in batch.blocks for ms in block.places.logged_ms.tolist())
        logged.update(row.place.logged_ms for row in batch.states)
        noted = {
            "written_ms": written_s * 1000,
            "records": batch.record_count(),
            "logged_ms": list(logged.items()),
        }
        file.write(orjson.dumps(noted) + b"\n")

    after_each_batch(note)


class Aged(NamedTuple):
    """What came of one rate; ages in seconds."""

    rate: int
    sent_per_second: float
    written_per_second: float
    growth: float  # of the age, in seconds a second
    end_s: float  # the age in the last third
    p50_s: float
    p99_s: float
    memory_mib: float

    def row(self) -> tuple[str, ...]:
        if self.sent_per_second < 0.95 * self.rate:
            ages = [f"sent only {self.sent_per_second:,.0f}/s", ""]
        elif self.growth > GROWTH_MAX and self.end_s > BEHIND_S:
            ages = [f"can't keep up: {self.written_per_second:,.0f}/s", ""]
        else:
            ages = [f"{self.p50_s:.2f} s", f"{self.p99_s:.2f} s"]
        return (f"{self.rate:,}", *ages, f"{self.memory_mib:,.0f} MiB")


def make_aged(rate: int, sent: dict[str, Any], noted: bytes, memory: float) -> Aged:
    """From what the sender said and what the worker wrote down."""
    from_ms, until_ms = sent["began_ms"] + WARM_UP_S * 1000, sent["ended_ms"]
    batches = [orjson.loads(line) for line in noted.splitlines()]
    ages: list[float] = []
    rows: list[int] = []
    logged: list[float] = []
    for batch in batches:
        for logged_ms, count in batch["logged_ms"]:
            if from_ms <= logged_ms < until_ms:
                ages.append((batch["written_ms"] - logged_ms) / 1000)
                rows.append(count)
                logged.append((logged_ms - from_ms) / 1000)
    written = [batch for batch in batches if from_ms <= batch["written_ms"] < until_ms]
    per_second = 0.0
    if len(written) > 1:
        took_s = (written[-1]["written_ms"] - written[0]["written_ms"]) / 1000
        per_second = sum(batch["records"] for batch in written[1:]) / took_s
    # The medians of the first and the last third: two thirds of the window lie between them.
    window_s = (until_ms - from_ms) / 1000
    thirds = [
        quantile(
            [age for age, at in zip(ages, logged, strict=True) if low <= at < low + window_s / 3],
            [row for row, at in zip(rows, logged, strict=True) if low <= at < low + window_s / 3],
            0.5,
        )
        for low in (0, window_s * 2 / 3)
    ]
    return Aged(
        rate,
        sent["sent"] / ((until_ms - sent["began_ms"]) / 1000),
        per_second,
        (thirds[1] - thirds[0]) / (window_s * 2 / 3),
        thirds[1],
        quantile(ages, rows, 0.5),
        quantile(ages, rows, 0.99),
        memory,
    )


def measure_ages(settings: Settings, folder: Path, rates: Sequence[int], seconds: float) -> Table:
    """One worker with the engine in its process, on topics of its own; each rate in its turn."""
    store = folder / "ages"
    own = {"topic_prefix": "ages.", "group": "ages", "clickhouse_url": f"chdb:{store}"}
    settings = settings.model_copy(update=own)
    asyncio.run(create_topics(settings))
    environment = environment_of(settings)
    noted_path = folder / "ages.jsonl"
    noted_path.touch()
    command = [sys.executable, "-m", "tests.bench.steady"]
    command += ["--rates", ",".join(map(str, rates)), "--seconds", str(seconds + WARM_UP_S)]
    aged = []
    with (
        WorkerProcess(environment, folder / "ages.log") as worker,
        subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as sender,
    ):
        assert sender.stdin is not None
        assert sender.stdout is not None
        try:
            own_code = "from tests.bench.ages import note_batches"
            worker.start(first=f"{own_code}; note_batches({str(noted_path)!r})")
            done = 0
            for rate in rates:
                if sender.stdout.readline() != b"ready\n":
                    raise RuntimeError("the sender ended")
                skip = noted_path.stat().st_size
                sender.stdin.write(b"go\n")
                sender.stdin.flush()
                sent = orjson.loads(sender.stdout.readline())
                memory = memory_mib(worker.process.pid)
                done += sent["sent"]
                wait_until_done(worker, done)
                aged.append(make_aged(rate, sent, noted_path.read_bytes()[skip:], memory))
            worker.terminate()
        finally:
            sender.kill()
    return Table(
        "The age of an event when its rows are durable and acknowledged",
        ("events/s, steady", "p50", "p99", "the worker holds"),
        [one.row() for one in aged],
        f"Each rate for {seconds:g} s after {WARM_UP_S} s that do not count, one worker with the"
        " engine in its process; the sender, the broker and the worker share the cores.",
    )


def wait_until_done(worker: WorkerProcess, total: int) -> None:
    """Until the worker has done so many events; a second more for the last batch's line."""
    for count in watch(worker, every_s=0.5):
        if count >= total:
            break
    time.sleep(1)
