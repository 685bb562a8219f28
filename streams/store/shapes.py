"""What the store says of its tables."""

from typing import NamedTuple

from streams.store.ledger import Ledger

_SHAPES = """
SELECT name, engine, engine_full, partition_key, sorting_key FROM system.tables
WHERE database = currentDatabase()
"""


class Shape(NamedTuple):
    """Of a table: its engine's name, the same with all that follows it, and its keys."""

    engine: str
    whole_engine: str
    partition_key: str
    sorting_key: str


def read_shapes(ledger: Ledger) -> dict[str, Shape]:
    """The tables of the ledger's database, by name. Raises one of StoreErrors."""
    return {name: Shape(*shape) for name, *shape in ledger.query(_SHAPES)}
