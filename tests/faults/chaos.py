"""Random faults for as long as one likes, in rounds; a table at the end, status 1 on a difference.

    python -m tests.faults.chaos --duration 600 --seed 7

Each round is a scene of its own: workers start, traffic runs, each poison is planted, faults strike
one after another in an order that the seed gives, a poison before each of them, and then all must
be as the oracle says. The table counts, for each fault, how often it struck, the events of the
rounds in which it did, and their differences.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.kafka.embedded.kafka import EmbeddedKafka
from tests.faults.actions import FAULTS, STRACE, plant_poisons
from tests.faults.scene import HASTE, Scene, open_scene
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.poison import POISONS, REFUSING

ROUND_S = 60.0
# An insert of 150 months takes its time, and the machine may have little of it.
PATIENCE = HASTE | {"RATER_INSERT_TIMEOUT_S": "10"}
SHOWN = 20  # differences of a round

out = Console()


@dataclass
class Tally:
    """What all rounds came to."""

    struck: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    samples: int = 0
    all_events: int = 0
    all_differences: int = 0

    def add(self, scene: Scene, differences: list[str]) -> None:
        self.rounds += 1
        self.samples += scene.samples
        self.all_events += scene.events
        self.all_differences += len(differences)
        for name, times in scene.injected.items():
            self.struck[name] += times
            self.events[name] += scene.events
            self.differences[name] += len(differences)

    def table(self) -> Table:
        table = Table("Fault", title=f"{self.rounds} rounds, {self.samples} samples between")
        for name in ("Times", "Events", "Differences"):
            table.add_column(name, justify="right")
        for name, times in sorted(self.struck.items()):
            row = (times, self.events[name], self.differences[name])
            table.add_row(name, *map(str, row))
        totals = (self.struck.total(), self.all_events, self.all_differences)
        table.add_section()
        table.add_row("all", *map(str, totals))
        return table


def play(scene: Scene, workers: int, until: float, progress: Progress) -> list[str]:
    """One round: faults until the time is over, then rest. Returns the differences."""
    task = progress.task_ids[0]
    problems: list[str] = []
    scene.sync_every_insert()
    scene.execute(REFUSING)
    faults: list[str] = []
    name = "start"
    try:
        scene.begin(*(f"worker-{number}" for number in range(workers)))
        plant_poisons(scene, len(POISONS))
        while time.monotonic() < until:
            if not faults:  # each of them before any comes again
                faults = scene.chance.sample(sorted(FAULTS), len(FAULTS))
            name = faults.pop()
            progress.update(task, description=name.replace("_", " "))
            plant_poisons(scene, 1)
            FAULTS[name](scene)
            scene.pause(0, 3)
    except AssertionError as error:  # something was waited for in vain
        problems.append(f"{name}: {error}")
    progress.update(task, description="coming to rest")
    try:
        return problems + scene.settle()
    except AssertionError as error:
        return [*problems, f"rest: {error}"]


def run(duration_s: float, seed: int, workers: int, rate: int, folder: Path) -> int:
    """Rounds until the duration is over; how many differences there were."""
    chance, tally = random.Random(seed), Tally()
    started = time.monotonic()
    bar = Progress(
        TextColumn("{task.description:28}"), BarColumn(), TimeElapsedColumn(), console=out
    )
    with (
        EmbeddedKafka(folder / "kafka") as broker,
        ClickHouseHttp(folder / "store") as store,
        bar as progress,
    ):
        task = progress.add_task("starting", total=duration_s)
        while (elapsed := time.monotonic() - started) < duration_s:
            progress.update(task, completed=elapsed)
            round_seed, own = chance.randrange(2**31), folder / f"round-{tally.rounds}"
            own.mkdir()
            until = time.monotonic() + min(ROUND_S, duration_s - elapsed)
            with open_scene(broker, store, own, seed=round_seed, rate=rate, more=PATIENCE) as scene:
                differences = play(scene, workers, until, progress)
                tally.add(scene, differences)
            struck = scene.injected.total()
            out.print(
                f"round {tally.rounds}: {scene.events} events, {struck} faults, "
                f"{len(differences)} differences"
            )
            for difference in differences[:SHOWN]:
                out.print(difference, style="red", markup=False, soft_wrap=True)
        progress.update(task, completed=duration_s, description="done")
    out.print(tally.table())
    return tally.all_differences


def main() -> None:
    options = argparse.ArgumentParser(description="Random faults against the oracle.")
    options.add_argument("--duration", type=float, default=600, help="seconds")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options.add_argument("--workers", type=int, default=3)
    options.add_argument("--rate", type=int, default=100, help="events a second")
    given = options.parse_args()
    for library in ("aiokafka", "clickhouse_connect"):  # they tell of what is broken on purpose
        logging.getLogger(library).setLevel(logging.CRITICAL)
    out.print(f"seed {given.seed}")
    if STRACE is None:
        out.print("strace is not installed: the disk is left alone", style="yellow")
    folder = Path(tempfile.mkdtemp(prefix="rater-chaos-"))
    differences = run(given.duration, given.seed, given.workers, given.rate, folder)
    if differences:
        out.print(f"the workers' logs are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
