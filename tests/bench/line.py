"""`make bench`: events a second from Kafka to durable rows, beside what bounds and what rivals it.

Starts real Kafka, puts the same events on topics once, and measures in one run:

- ours: `rater worker` with the engine in its process, until every row is durable
- plain: the same rating and the same insert in plain Faust agents with `take`
- Quix Streams and Bytewax: the same again, with batches as each library has them (`make bench`
  installs both; where one isn't installed, its rows are left out)
- ours and these two without the insert, which is the same for all and hides how they differ:
  records to rated rows that nobody keeps, as ratios to ours without the insert
- aiokafka: reading the records and nothing else
- the engine: rating the same JSON by SQL, with one price a line (`tests/bench/ceiling.py`)
- each step alone: decode, rate, columns, insert

A figure is good for its ratio to the others of its run, and for nothing else.
"""

import argparse
import asyncio
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import aiokafka
from rich.console import Console
from rich.table import Table

from rater.events import KINDS, Event, decode
from rater.rate import rate
from rater.tariff_file import load_book
from streams.embedded.kafka import EmbeddedKafka
from streams.ledger import open_ledger
from streams.pipeline import Batch, add_records
from streams.services import calm_collector
from streams.settings import Settings, load_settings
from streams.simulate import Simulated
from tests.bench.ceiling import rate_by_sql, write_lines
from tests.bench.figures import PATIENCE_S, Figure, core_seconds, environment, slope
from tests.bench.rivals import installed_rivals, measure_plain, measure_rival
from tests.bench.traffic import RECEIVED_MS, make_events, mix, preload, records_of
from tests.support.workers import WorkerProcess

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = ("faust-streaming", "aiokafka", "chdb-core", "msgspec", "pyarrow")
# Rated rows are dropped where they would be made into columns and written.
NOTHING_KEPT = "from streams.ledger import Ledger; Ledger.write = lambda ledger, batch: None"

console = Console(stderr=True)


def measure_ours(settings: Settings, folder: Path, total: int, *, inserts: bool = True) -> Figure:
    """The worker as a user starts it, or with a ledger that keeps no rows."""
    store = folder / ("ours" if inserts else "ours-no-insert")
    with WorkerProcess(environment(settings, store), store.with_suffix(".log")) as worker:
        worker.start(wait_ready=False, first="" if inserts else NOTHING_KEPT)

        def samples() -> Iterator[tuple[float, int]]:
            give_up_at = time.monotonic() + PATIENCE_S
            while time.monotonic() < give_up_at:
                _, text = worker.get("/metrics")
                counts = re.findall(r"^rater_events_consumed_total\{.*\} (\S+)$", text, re.M)
                yield time.monotonic(), int(sum(map(float, counts)))
                time.sleep(0.05)

        per_second = slope(samples(), total)
        used = core_seconds(worker.process.pid)
        worker.terminate()
    name = f"ours: rater worker, {'rows durable' if inserts else 'no insert'}"
    return Figure(name, per_second, used / total * 1e6, inserts)


def measure_aiokafka(settings: Settings, total: int) -> Figure:
    """Reading alone, in this process."""

    async def read() -> tuple[float, float]:
        consumer = aiokafka.AIOKafkaConsumer(
            *(settings.topic(kind.topic) for kind in KINDS.values()),
            bootstrap_servers=settings.kafka_bootstrap,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=settings.fetch_max_bytes,
        )
        await consumer.start()
        try:
            count, began, used = 0, time.perf_counter(), time.process_time()
            while count < total:
                fetched = await consumer.getmany(timeout_ms=1_000, max_records=100_000)
                count += sum(map(len, fetched.values()))
            return time.perf_counter() - began, time.process_time() - used
        finally:
            await consumer.stop()

    took_s, used_s = asyncio.run(read())
    return Figure("aiokafka alone, no work", total / took_s, used_s / total * 1e6)


def measure_ceiling(events: list[Simulated], folder: Path) -> Figure:
    """The engine by SQL, in this process."""
    lines = folder / "events.jsonl"
    write_lines(events, lines)
    settings = load_settings(clickhouse_url=f"chdb:{folder / 'ceiling'}")
    ledger = open_ledger(settings, migrate=True)
    try:
        began, used = time.perf_counter(), time.process_time()
        rate_by_sql(ledger, lines)
        took_s, used_s = time.perf_counter() - began, time.process_time() - used
    finally:
        ledger.close()
    return Figure("the engine alone, by SQL", len(events) / took_s, used_s / len(events) * 1e6)


def measure_steps(events: list[Simulated], folder: Path) -> list[Figure]:
    """Each step of the line alone, in this process, one thread."""
    settings = load_settings(clickhouse_url=f"chdb:{folder / 'steps'}")
    book = load_book(settings.tariff)
    records = records_of(events)
    received_us = RECEIVED_MS * 1_000
    decoded: list[Event] = []
    batch = Batch()

    def decode_all() -> None:
        for kind, of_kind in records.items():
            for record in of_kind:
                event = decode(KINDS[kind], record.value, received_us)
                assert isinstance(event, Event), event
                decoded.append(event)

    def rate_all() -> None:
        for event in decoded:
            rate(event, book)

    def line() -> None:
        for kind, of_kind in records.items():
            add_records(batch, KINDS[kind], f"usage.{kind}.v1", 0, of_kind, book)

    ledger = open_ledger(settings, migrate=True)
    try:
        steps: list[tuple[str, Callable[[], None]]] = [
            ("decode alone", decode_all),
            ("rate alone", rate_all),
            ("decode, rate, rows", line),
            ("columns and insert", lambda: ledger.write(batch)),
        ]
        figures = []
        for name, step in steps:
            began, used = time.perf_counter(), time.process_time()
            step()
            took_s, used_s = time.perf_counter() - began, time.process_time() - used
            figures.append(Figure(name, len(events) / took_s, used_s / len(events) * 1e6))
        return figures
    finally:
        ledger.close()


def machine() -> str:
    """The processor, the cores and the versions behind the figures."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    rivals = [rival.library for rival in installed_rivals(Console(quiet=True))]
    parts = ", ".join(f"{part} {version(part)}" for part in (*PARTS, *rivals))
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores that also run the"
        f" broker, {memory_gib:.0f} GiB; {platform.system()}, Python {platform.python_version()};"
        f" {parts}"
    )


def main() -> None:
    """Measures, prints the table, and writes it to docs/benchmarks.md when asked to."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=400_000, help="on the topics")
    options.add_argument("--seed", type=int, default=1, help="of the traffic")
    options.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    arguments = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rater-bench-"))
    try:
        figures, what = run(folder, arguments.events, arguments.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours = {
        figure.inserts: figure.per_second for figure in figures if figure.name.startswith("ours")
    }
    table = Table(title=f"{what}")
    for heading in ("what", "events/s", "ours is", "core-s per million"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows = [
        (
            figure.name,
            f"{figure.per_second:,.0f}",
            f"{ours[figure.inserts] / figure.per_second:.2f}x",
            "" if figure.core_s_per_million is None else f"{figure.core_s_per_million:.1f}",
        )
        for figure in figures
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if arguments.write:
        REPORT.write_text(report(rows, what, " ".join(sys.argv[1:])), encoding="utf-8")
        console.print(f"written to {REPORT}")


def run(folder: Path, count: int, seed: int) -> tuple[list[Figure], str]:
    """All figures of one run, ours first."""
    events = make_events(count, seed)
    what = mix(events)
    with EmbeddedKafka(folder / "kafka", on_progress=console.print) as kafka:
        settings = load_settings(kafka_bootstrap=kafka.bootstrap, topic_prefix="bench.")
        with console.status(f"putting {count:,} events on the topics"):
            preload(settings, events)
        figures = []
        with console.status("measuring rater worker"):
            figures.append(measure_ours(settings, folder, count))
        with console.status("measuring plain Faust"):
            figures.append(measure_plain(settings, folder, max(count // 8, 50_000)))
        figures += measure_rivals(settings, folder, count)
        with console.status("measuring aiokafka"):
            figures.append(measure_aiokafka(settings, count))
    with console.status("measuring the engine alone"):
        figures.append(measure_ceiling(events, folder))
    with console.status("measuring each step"):
        calm_collector()
        figures += measure_steps(events, folder)
    return figures, what


def measure_rivals(settings: Settings, folder: Path, count: int) -> list[Figure]:
    """The other libraries, then ours and theirs without the insert."""
    rivals = installed_rivals(console)
    figures = []
    for inserts in (True, False):
        how = "" if inserts else " without the insert"
        if not inserts:
            with console.status(f"measuring rater worker{how}"):
                figures.append(measure_ours(settings, folder, count, inserts=False))
        for rival in rivals:
            with console.status(f"measuring {rival.library}{how}"):
                figures.append(measure_rival(rival, settings, folder, count, inserts=inserts))
    return figures


def report(rows: Sequence[tuple[str, ...]], what: str, arguments: str) -> str:
    """docs/benchmarks.md."""
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"""# Benchmarks

Written by `make bench` (`python -m tests.bench.line {arguments}`); every figure is of that one run,
and only the ratios travel to another machine.

{machine()}.

The traffic: {what}; taxes, prefixes and all columns of the ledger.

| what | events/s | ours is | core-s per million |
|---|---:|---:|---:|
{table}

All workers are measured from the end of their first batch to the end of their last; core-seconds
include the start of the process and the engine. What has no insert is compared with ours without
one.
"""


if __name__ == "__main__":
    main()
