"""`make bench`: what the line does, and what it takes, on this machine.

Starts real Kafka, puts the same events on topics once, and measures each table in the same run:
`line` (tests/bench/line.py) and, as tables of their own, what the other files here measure.
`--only` chooses. A figure is good for its ratio to the others of its run, and for nothing else.
"""

import argparse
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from streams.base.settings import load_settings
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.runtime.services import calm_collector
from tests.bench.ages import RATES, SECONDS, measure_ages
from tests.bench.history import MILLIONS as HISTORY
from tests.bench.history import measure_history
from tests.bench.line import measure_ceiling, measure_line, measure_steps, table_of
from tests.bench.memory import measure_memory
from tests.bench.reading import READ_MILLIONS, measure_reading
from tests.bench.rivals import installed_rivals
from tests.bench.statement import MILLIONS, measure_statements
from tests.bench.streams import STREAMS, measure_streams
from tests.bench.tables import Table
from tests.bench.traffic import make_events, mix, preload
from tests.bench.two import measure_two

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = ("faust-streaming", "aiokafka", "chdb-core", "msgspec", "pyarrow")
# In the order of the report; and which of them read what was put on the topics once.
TABLES = ("line", "ages", "memory", "two", "statement", "reading", "streams", "history")
ON_TOPICS = {"line", "memory", "two"}

console = Console(stderr=True)


def main() -> None:
    """Measures, prints the tables, and writes them to docs/benchmarks.md when asked to."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--events", type=int, default=800_000, help="on the topics")
    options.add_argument("--seed", type=int, default=1, help="of the traffic")
    options.add_argument("--only", default=",".join(TABLES), help="these tables, by comma")
    options.add_argument("--rates", default=RATES, help="of ages: events a second")
    options.add_argument("--seconds", type=float, default=SECONDS, help="of ages: of each rate")
    options.add_argument("--rows", default=MILLIONS, help="of statement: million rows")
    options.add_argument("--history", default=HISTORY, help="of history: million rows")
    options.add_argument("--reading-rows", default=READ_MILLIONS, help="of reading: million rows")
    options.add_argument("--streams", default=STREAMS, help="of streams: how many are open")
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
    """The tables that were asked for; and what the traffic is."""
    only, count = set(arguments.only.split(",")), arguments.events
    tables: dict[str, Table] = {}
    figures = []
    events = make_events(count if only & ON_TOPICS else 0, arguments.seed)
    if only & {"ages", *ON_TOPICS}:
        with EmbeddedKafka(folder / "kafka", on_progress=console.print) as kafka:
            settings = load_settings(kafka_bootstrap=kafka.bootstrap, topic_prefix="bench.")
            # First: what other runs leave behind, files to be written back above all, makes events
            # older.
            if "ages" in only:
                rates = [int(rate) for rate in arguments.rates.split(",")]
                with console.status("measuring the age of events at steady rates"):
                    tables["ages"] = measure_ages(settings, folder, rates, arguments.seconds)
            if events:
                with console.status(f"putting {count:,} events on the topics"):
                    preload(settings, events)
            if "line" in only:
                figures += measure_line(settings, folder, events, console)
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
    if "history" in only:
        millions = [float(million) for million in arguments.history.split(",")]
        with console.status("measuring maintenance") as status:
            tables["history"] = measure_history(folder, millions, status.update)
    if "reading" in only:
        millions = [float(million) for million in arguments.reading_rows.split(",")]
        with console.status("measuring what a reader waits for") as status:
            tables["reading"] = measure_reading(folder, millions, on_progress=status.update)
    if "streams" in only:
        counts = [int(count) for count in arguments.streams.split(",")]
        with console.status("measuring live streams") as status:
            tables["streams"] = measure_streams(folder, counts, on_progress=status.update)
    return [tables[name] for name in TABLES if name in tables], mix(events)


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


def report(tables: Sequence[Table], what: str, arguments: str) -> str:
    """docs/benchmarks.md."""
    shown = "\n".join(table.to_markdown() for table in tables)
    traffic = f"\nThe traffic: {what}; taxes, prefixes and all columns of the ledger.\n" * bool(
        what
    )
    return f"""# Benchmarks

From `make bench` (`{f"python -m tests.bench.run {arguments}".strip()}`); every figure is of
that one run, and only the ratios travel to another machine.

{machine()}.
{traffic}
{shown}"""


if __name__ == "__main__":
    main()
