"""The line: events a second from Kafka to durable rows, beside what bounds it and what rivals it.

- ours: `rater worker` with the engine in its process, until every row is durable
- plain: the same rating and the same insert in plain Faust agents with `take`
- Quix Streams and Bytewax: the same again, with batches as each library has them (`make bench`
  installs both; where one isn't installed, its rows are left out)
- ours and these two without the insert: records to rated rows that nobody keeps, as ratios to ours
  without the insert
- aiokafka: reading the records and nothing else
- the engine: rating the same JSON by SQL, with one price a line (`tests/bench/ceiling.py`)
- each step alone: decode, rate, columns, insert
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import aiokafka
from rich.console import Console

from rater.decode import decode_all
from rater.kinds import KINDS
from rater.rate_columns import rate_columns
from rater.tariff import Memo
from rater.tariff_file import load_book
from rater.usage_columns import UsageColumns, usage_columns
from streams.base.settings import Settings, load_settings
from streams.kafka.simulate import Simulated
from streams.rows.batch import Batch, add_columns
from streams.store.ledger import open_ledger
from tests.bench.ceiling import rate_by_sql, write_lines
from tests.bench.figures import Figure, environment
from tests.bench.rivals import installed_rivals, measure_plain, measure_rival
from tests.bench.tables import Table
from tests.bench.traffic import RECEIVED_MS, records_of
from tests.bench.watch import NotingWorker, slope_of

# Rated rows are dropped where they would be made into columns and written.
NOTHING_KEPT = "from streams.store.ledger import Ledger; Ledger.write = lambda ledger, batch: None"


def measure_line(
    settings: Settings, folder: Path, events: list[Simulated], console: Console
) -> list[Figure]:
    """What reads the topics, on which the events are already; ours is the first."""
    count = len(events)
    figures = []
    with console.status("measuring rater worker"):
        figures.append(measure_ours(settings, folder, count))
    with console.status("measuring plain Faust"):
        figures.append(measure_plain(settings, folder, max(count // 8, 50_000)))
    rivals = installed_rivals(console)
    for inserts in (True, False):
        how = "" if inserts else " without the insert"
        if not inserts:
            with console.status(f"measuring rater worker{how}"):
                figures.append(measure_ours(settings, folder, count, inserts=False))
        for rival in rivals:
            with console.status(f"measuring {rival.library}{how}"):
                figures.append(measure_rival(rival, settings, folder, count, inserts=inserts))
    with console.status("measuring aiokafka"):
        figures.append(measure_aiokafka(settings, count))
    return figures


def measure_ours(settings: Settings, folder: Path, total: int, *, inserts: bool = True) -> Figure:
    """The worker as a user starts it, or with a ledger that keeps no rows."""
    store = folder / ("ours" if inserts else "ours-no-insert")
    with NotingWorker(environment(settings, store), store.with_suffix(".log")) as worker:
        worker.start(first="" if inserts else NOTHING_KEPT)
        speed = slope_of(worker, total)
        worker.terminate()
    return Figure(
        f"ours: rater worker, {'rows durable' if inserts else 'no insert'}", *speed, inserts
    )


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
    decoded: dict[str, UsageColumns] = {}
    batch = Batch()

    def decode_records() -> None:
        for kind, of_kind in records.items():
            values = [record.value for record in of_kind]
            columns, rows, others, _ = decode_all(KINDS[kind], values, [received_us] * len(values))
            assert len(rows) + len(others) == len(values)
            if columns is not None:
                decoded[kind] = usage_columns(columns)

    def rate_all() -> None:
        for usage in decoded.values():
            assert not len(rate_columns(usage, book, Memo()).by_row)

    def line() -> None:
        for kind, of_kind in records.items():
            add_columns(batch, KINDS[kind], f"usage.{kind}.v1", [(0, of_kind)], book)

    ledger = open_ledger(settings, migrate=True)
    try:
        steps: list[tuple[str, Callable[[], None]]] = [
            ("decode alone", decode_records),
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


def table_of(figures: list[Figure]) -> Table:
    """The line's table; what has no insert is compared with ours without one."""
    ours = {
        figure.inserts: figure.per_second for figure in figures if figure.name.startswith("ours")
    }
    rows = [
        (
            figure.name,
            f"{figure.per_second:,.0f}",
            f"{ours[figure.inserts] / figure.per_second:.2f}x",
            f"{figure.core_s_per_million:.1f}",
        )
        for figure in figures
    ]
    return Table(
        "From Kafka to durable rows",
        ("what", "events/s", "ours is", "core-s per million"),
        rows,
        "Workers are measured from the end of their first batch to the end of their last, with"
        " the engine in their process; what has no insert is compared with ours without one. Plain"
        " Faust suffers most from its small inserts: what `take` gathers while its loop turns.",
    )
