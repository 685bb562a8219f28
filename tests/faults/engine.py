"""The engine in the process as the store of a world, failing where the schedule says."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from streams.rows.log_position import place_of_version
from streams.store.ledger import Ledger
from tests.faults.store import SHAPES, Breakable, Months

# What became of a record, as long as the ledger lives: copies merge, a conflict's loser goes.
_OUTCOMES = """
SELECT topic, kind IN ('recording', 'number', 'subscription', 'campaign') ? 'states' : 'rated',
       version
FROM accepted
"""
_OTHERS = """
SELECT topic, partition, offset, 'parked' FROM parked
UNION DISTINCT
SELECT topic, partition, offset, 'rejected' FROM rejected WHERE reason != 'conflict'
"""

_MONTHS = """
SELECT account_id, line, identity, revision, version, formatDateTime(month, '%Y-%m') FROM rated
WHERE line NOT IN ('phone_numbers', 'recording_storage', 'subscriptions')
"""


class EngineStore(Breakable):
    """A ledger in this process, emptied."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        for table in (*SHAPES, "accepted", "seen"):
            ledger.command(f"TRUNCATE TABLE {table}")

    def client(self) -> "EngineClient":
        return EngineClient(self)

    @property
    def outcomes(self) -> dict[tuple[str, int, int], set[str]]:
        found: dict[tuple[str, int, int], set[str]] = {}
        places: list[tuple[Any, str]] = [
            (place_of_version(topic, version)[:3], outcome)
            for topic, outcome, version in self.ledger.query(_OUTCOMES)
        ]
        places += [(row[:3], row[3]) for row in self.ledger.query(_OTHERS)]
        for place, outcome in places:
            found.setdefault(place, set()).add(outcome)
        return found

    def months_of_rows(self) -> Months:
        months: Months = {}
        for *name, version, month in self.ledger.query(_MONTHS):
            months.setdefault(tuple(name), {}).setdefault(version, set()).add(month)
        return months

    def merge(self, table: str) -> None:
        self.ledger.command(f"OPTIMIZE TABLE {table} FINAL")


class EngineClient:
    """The engine's client, between the ledger and the schedule."""

    def __init__(self, store: EngineStore) -> None:
        self._store = store
        self._real = store.ledger._writer
        self.server_settings = self._real.server_settings

    def insert_arrow(self, table: str, data: pa.Table, settings: Mapping[str, Any]) -> None:
        self._store.put(
            lambda: self._insert_arrow(table, data, settings),
            lambda: self._insert_arrow(table, _first_month(data), settings),
        )

    def _insert_arrow(self, table: str, data: pa.Table, settings: Mapping[str, Any]) -> None:
        self._real.insert_arrow(table, data, settings=dict(settings))

    def insert(self, table: str, rows: Sequence[Sequence[Any]], **more: Any) -> None:
        self._store.put(
            lambda: self._insert(table, rows, more), lambda: self._insert(table, rows, more)
        )

    def _insert(self, table: str, rows: Sequence[Sequence[Any]], more: dict[str, Any]) -> None:
        self._real.insert(table, rows, **more)

    def command(self, sql: str, **more: Any) -> None:
        self._real.command(sql, **more)

    def query(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        if self._store.down:
            raise OSError("connection refused")
        with self._store.ledger._readers.one() as client:
            return client.query(sql, parameters=dict(parameters))

    def close(self) -> None:
        pass


def _first_month(data: pa.Table) -> pa.Table:
    """The part of an insert that is in one piece."""
    if "month" not in data.column_names:
        return data
    months = data["month"]
    return data.filter(pa.compute.equal(months, pa.compute.min(months)))
