"""How far a walk through the whole ledger has come, for whoever goes on with it."""

from datetime import UTC, datetime
from typing import NamedTuple

from rater.instants import in_utc
from streams.store.ledger import Ledger

_WALK = "SELECT position, began_at FROM walks FINAL WHERE name = {name:String}"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Walk(NamedTuple):
    """The last that was looked at, and when this time round began; empty at the end of a round."""

    position: str = ""
    began_at: datetime = _NEVER


def read_walk(ledger: Ledger, name: str) -> Walk:
    """Where the next step of a walk begins. Raises one of StoreErrors."""
    rows = ledger.search(_WALK, {"name": name})
    return Walk(rows[0][0], in_utc(rows[0][1])) if rows else Walk()


def write_walk(ledger: Ledger, name: str, walk: Walk, moved_at: datetime) -> None:
    """Keeps it. Raises one of StoreErrors."""
    names = ("name", "position", "began_at", "moved_at")
    ledger.insert("walks", names, [[name, *walk, moved_at]])
