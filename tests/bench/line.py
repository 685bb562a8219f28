"""`make bench`: events a second from Kafka to durable rows, beside what bounds and what rivals it.

Starts real Kafka, puts the same events on topics once, and measures in one run:

- ours: `rater worker` with the engine in its process, until every row is durable
- plain: the same rating and the same insert in plain Faust agents with `take`
- aiokafka: reading the records and nothing else
- the engine: rating the same JSON by SQL, with one price a line (`tests/bench/ceiling.py`)
- each step alone: decode, rate, columns, insert

and, as tables of their own, what the other files here measure: `--only` chooses.

A figure is good for its ratio to the others of its run, and for nothing else.
"""

import argparse
import asyncio
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import aiokafka
from rich.console import Console

from rater.events import KINDS, Event, decode
from rater.rate import rate
from rater.tariff_file import load_book
from streams.embedded.kafka import EmbeddedKafka
from streams.ledger import open_ledger
from streams.pipeline import Batch, add_records
from streams.services import calm_collector
from streams.settings import Settings, load_settings
from streams.simulate import Simulated
from tests.bench.ages import RATES, SECONDS, measure_ages
from tests.bench.ceiling import rate_by_sql, write_lines
from tests.bench.memory import measure_memory
from tests.bench.statement import MILLIONS, measure_statements
from tests.bench.tables import Table
from tests.bench.traffic import RECEIVED_MS, make_events, mix, preload, records_of
from tests.bench.two import measure_two
from tests.bench.watch import core_seconds, slope, watch
from tests.support.workers import WorkerProcess, environment_of

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = ("faust-streaming", "aiokafka", "chdb-core", "msgspec", "pyarrow")

console = Console(stderr=True)


# In the order of the report; and which of them read what was put on the topics once.
TABLES = ("line", "ages", "memory", "two", "statement")
ON_TOPICS = {"line", "memory", "two"}


class Figure(NamedTuple):
    """What one way reached; core-seconds are those of its own process."""

    name: str
    per_second: float
    core_s_per_million: float | None


def environment(settings: Settings, store: Path) -> dict[str, str]:
    own = {"group": store.name, "clickhouse_url": f"chdb:{store}"}
    return environment_of(settings.model_copy(update=own))


def measure_ours(settings: Settings, folder: Path, total: int) -> Figure:
    """The worker as a user starts it."""
    store = folder / "ours"
    with WorkerProcess(environment(settings, store), folder / "ours.log") as worker:
        worker.start(wait_ready=False)
        per_second = slope(watch(worker), total)
        used = core_seconds(worker.process.pid)
        worker.terminate()
    return Figure("ours: rater worker, rows durable", per_second, used / total * 1e6)


def measure_plain(settings: Settings, folder: Path, total: int) -> Figure:
    """Plain Faust with `take`, until it has done so many of the events: it takes long."""
    store = folder / "plain"
    with (folder / "plain.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.plain"],
            env=os.environ | environment(settings, store),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        lines = process.stdout

        def samples() -> Iterator[tuple[float, int]]:
            for line in lines:
                yield time.monotonic(), int(line)

        try:
            per_second = slope(samples(), total)
            used = core_seconds(process.pid)
        finally:
            process.kill()
            process.wait()
            lines.close()
    return Figure("plain Faust agents with take, rows durable", per_second, used / total * 1e6)


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
    parts = ", ".join(f"{part} {version(part)}" for part in PARTS)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores that also run the"
        f" broker, {memory_gib:.0f} GiB; {platform.system()}, Python {platform.python_version()};"
        f" {parts}"
    )


def main() -> None:
    """Measures, prints the tables, and writes them to docs/benchmarks.md when asked to."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=400_000, help="on the topics")
    options.add_argument("--seed", type=int, default=1, help="of the traffic")
    options.add_argument("--only", default=",".join(TABLES), help="these tables, by comma")
    options.add_argument("--rates", default=RATES, help="of ages: events a second")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of ages: of each rate")
    options.add_argument("--rows", default=MILLIONS, help="of statement: million rows")
    options.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    arguments = options.parse_args()
    if unknown := set(arguments.only.split(",")) - set(TABLES):
        options.error(f"--only {', '.join(sorted(unknown))}: say some of {', '.join(TABLES)}")
    folder = Path(tempfile.mkdtemp(prefix="rater-bench-"))
    try:
        tables, what = run(folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for table in tables:
        Console().print(table.to_rich())
    if arguments.write:
        REPORT.write_text(report(tables, what, " ".join(sys.argv[1:])), encoding="utf-8")
        console.print(f"written to {REPORT}")


def run(folder: Path, arguments: argparse.Namespace) -> tuple[list[Table], str]:
    """The tables that were asked for, ours first; and what the traffic is."""
    only, count = set(arguments.only.split(",")), arguments.events
    tables: dict[str, Table] = {}
    figures: list[Figure] = []
    events = make_events(count if only & ON_TOPICS else 0, arguments.seed)
    if only & {"ages", *ON_TOPICS}:
        with EmbeddedKafka(folder / "kafka", on_progress=console.print) as kafka:
            settings = load_settings(kafka_bootstrap=kafka.bootstrap, topic_prefix="bench.")
            if events:
                with console.status(f"putting {count:,} events on the topics"):
                    preload(settings, events)
            if "line" in only:
                with console.status("measuring rater worker"):
                    figures.append(measure_ours(settings, folder, count))
                with console.status("measuring plain Faust"):
                    figures.append(measure_plain(settings, folder, max(count // 8, 50_000)))
                with console.status("measuring aiokafka"):
                    figures.append(measure_aiokafka(settings, count))
            if "ages" in only:
                rates = [int(rate) for rate in arguments.rates.split(",")]
                with console.status("measuring the age of events at steady rates"):
                    tables["ages"] = measure_ages(settings, folder, rates, arguments.seconds)
            if "memory" in only:
                with console.status("measuring memory"):
                    tables["memory"] = measure_memory(settings, folder, count)
            if "two" in only:
                with console.status("measuring two workers"):
                    tables["two"] = measure_two(settings, folder, count)
    calm_collector()
    if "line" in only:
        with console.status("measuring the engine alone"):
            figures.append(measure_ceiling(events, folder))
        with console.status("measuring each step"):
            figures += measure_steps(events, folder)
        tables["line"] = table_of(figures)
    if "statement" in only:
        millions = [float(million) for million in arguments.rows.split(",")]
        with console.status("measuring statements") as status:
            tables["statement"] = measure_statements(folder, millions, on_progress=status.update)
    return [tables[name] for name in TABLES if name in tables], mix(events)


def table_of(figures: list[Figure]) -> Table:
    """The line's table; ours is the first figure."""
    ours = figures[0].per_second
    rows = [
        (
            figure.name,
            f"{figure.per_second:,.0f}",
            f"{ours / figure.per_second:.2f}x",
            "" if figure.core_s_per_million is None else f"{figure.core_s_per_million:.1f}",
        )
        for figure in figures
    ]
    return Table(
        "From Kafka to durable rows",
        ("what", "events/s", "ours is", "core-s per million"),
        rows,
        "Both workers are measured from the end of their first batch to the end of their last;"
        " core-seconds include the start of the process and the engine.",
    )


def report(tables: Sequence[Table], what: str, arguments: str) -> str:
    """docs/benchmarks.md."""
    shown = "\n".join(table.to_markdown() for table in tables)
    traffic = f"\nThe traffic: {what}; taxes, prefixes and all columns of the ledger.\n" * bool(
        what
    )
    return f"""# Benchmarks

Written by `make bench` (`{f"python -m tests.bench.line {arguments}".strip()}`); every figure is of
that one run, and only the ratios travel to another machine.

{machine()}.
{traffic}
{shown}"""


if __name__ == "__main__":
    main()
