"""How far the workers are: told by them every two seconds, read by every page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from streams.store.ledger import Ledger

_COLUMNS = ("consumer_group", "partition", "partitions", "as_of", "told_at")
# Of the group that told something last: a ledger outlives a group's name.
_READ = """
SELECT count(), any(partitions), min(as_of), min(told_at) FROM (
    SELECT partition, as_of, told_at,
        (SELECT argMax(tuple(consumer_group, partitions), told_at) FROM progress) AS last,
        last.2 AS partitions
    FROM progress FINAL
    WHERE consumer_group = last.1 AND partition < last.2
)
"""


class Progress(NamedTuple):
    """Of the slowest partition: up to when all is committed, and when its worker last said so."""

    as_of: datetime
    told_at: datetime


def read_progress(ledger: Ledger) -> Progress | None:
    """None where no worker has told of all partitions yet. Raises one of StoreErrors."""
    ((told, partitions, as_of, told_at),) = ledger.query(_READ)
    if not told or told < partitions:
        return None
    return Progress(as_of.replace(tzinfo=UTC), told_at.replace(tzinfo=UTC))


def tell_progress(
    ledger: Ledger, group: str, partitions: int, reached: Mapping[int, datetime], now: datetime
) -> None:
    """Writes up to when each of a worker's partitions is committed. Raises one of StoreErrors."""
    rows = [(group, partition, partitions, as_of, now) for partition, as_of in reached.items()]
    if rows:
        ledger.insert("progress", _COLUMNS, rows)


def read_written(ledger: Ledger) -> datetime | None:
    """When anything was last written: by what a ledger is as of that no worker has told of."""
    ((at,),) = ledger.query("SELECT max(written_at) FROM receipts HAVING count() > 0") or ((None,),)
    return None if at is None else at.replace(tzinfo=UTC)
