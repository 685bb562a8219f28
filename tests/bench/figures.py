"""What a benchmark gives: events a second, and the processor time of the process that did them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streams.settings import Settings
from tests.support.workers import environment_of

PATIENCE_S = 600


class Figure(NamedTuple):
    """What one way reached; core-seconds are those of its own process."""

    name: str
    per_second: float
    core_s_per_million: float | None
    inserts: bool = True  # else it stands beside ours that doesn't insert either


def slope(samples: Iterator[tuple[float, int]], total: int) -> float:
    """Events a second from the end of the first batch seen to the end of the last.

    What came before the first batch (start, group, fetch) counts neither as time nor as events.
    """
    first: tuple[float, int] | None = None
    for at, count in samples:
        if first is None and count:
            first = at, count
        if first is not None and count >= total:
            if count - first[1] < total / 2:
                raise SystemExit(f"{total:,} events are too few: one batch took most; say --events")
            return (count - first[1]) / (at - first[0])
    raise RuntimeError(f"ended before all {total} events were done")


def core_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def environment(settings: Settings, store: Path) -> dict[str, str]:
    """A group and a store of its own for a process that is measured."""
    own = {"group": store.name, "clickhouse_url": f"chdb:{store}"}
    return environment_of(settings.model_copy(update=own))
