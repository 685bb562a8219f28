"""What one way of the line reached, and where a process that is measured keeps its rows."""

from pathlib import Path
from typing import NamedTuple

from streams.base.settings import Settings
from tests.support.workers import environment_of


class Figure(NamedTuple):
    """What one way reached; core-seconds are those of its own process."""

    name: str
    per_second: float
    core_s_per_million: float
    inserts: bool = True  # else it stands beside ours that doesn't insert either


def environment(settings: Settings, store: Path) -> dict[str, str]:
    """A group and a store of its own for a process that is measured."""
    own = {"group": store.name, "clickhouse_url": f"chdb:{store}"}
    return environment_of(settings.model_copy(update=own))
