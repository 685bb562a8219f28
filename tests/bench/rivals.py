"""What a user would pick instead, each as a process of its own that prints its samples.

Plain Faust is always there. Quix Streams and Bytewax are the extra `bench`; where one isn't
installed, or has no wheel for this Python, its rows are left out, and a line says so.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import NamedTuple

from rich.console import Console

from streams.base.settings import Settings
from streams.kafka.embedded.children import DIE_WITH_PARENT
from tests.bench.figures import Figure, environment
from tests.bench.watch import PATIENCE_S, Sample, slope
from tests.bench.work import NO_INSERT, TOGETHER

LOG_TAIL_CHARS = 2_000


class Rival(NamedTuple):
    """A library, how it does the work, and the module that does."""

    library: str
    name: str
    module: str


RIVALS = (
    Rival("quixstreams", "Quix Streams, a batching sink", "tests.bench.with_quix"),
    Rival("bytewax", "Bytewax, collect", "tests.bench.with_bytewax"),
)


def measure_plain(settings: Settings, folder: Path, total: int) -> Figure:
    """Plain Faust with `take`, until it has done so many of the events: it takes long."""
    name = "plain Faust agents with take, rows durable"
    return measure_printing(name, "tests.bench.plain", settings, folder / "plain", total)


def installed_rivals(console: Console) -> list[Rival]:
    """Those that can be measured here; says which can't."""
    missing = [rival for rival in RIVALS if find_spec(rival.library) is None]
    for rival in missing:
        console.print(f"{rival.library} is not installed for this Python: its rows are left out")
    return [rival for rival in RIVALS if rival not in missing]


def measure_rival(
    rival: Rival, settings: Settings, folder: Path, total: int, *, inserts: bool
) -> Figure:
    """A rival, until its last whole batch: the rest waits for company that doesn't come."""
    store = folder / f"{rival.library}{'' if inserts else '-no-insert'}"
    name = f"{rival.name}, {'rows durable' if inserts else 'no insert'}"
    whole = total - total % TOGETHER
    return measure_printing(name, rival.module, settings, store, whole, inserts=inserts)


def measure_printing(
    name: str, module: str, settings: Settings, store: Path, total: int, *, inserts: bool = True
) -> Figure:
    """A module as a process that prints a sample after each batch, until `total` events are done.

    The process ends with this function, or with this process. Raises RuntimeError with the end of
    its log when it ends by itself, or is not done in time.
    """
    log_path = store.with_suffix(".log")
    own = [sys.executable, "-m", module, *([] if inserts else [NO_INSERT])]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *own],
            env=os.environ | environment(settings, store),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    lines = process.stdout
    give_up = Timer(PATIENCE_S, process.kill)
    give_up.start()

    try:
        speed = slope(map(Sample.read, lines), total)
    except RuntimeError as error:
        tail = log_path.read_text(errors="replace")[-LOG_TAIL_CHARS:]
        raise RuntimeError(f"{module} {error}; the end of its log:\n{tail}") from error
    finally:
        give_up.cancel()
        process.kill()
        process.wait()
        lines.close()
    return Figure(name, *speed, inserts)
