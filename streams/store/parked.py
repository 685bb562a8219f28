"""Parked events as the ledger keeps them: one reader a question."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rater.instants import in_utc, to_us
from rater.rate import Wait
from streams.rows.log_position import Place
from streams.store.ledger import Ledger


class ParkedEvent(NamedTuple):
    """A row of `parked`: an event that waits for a price, or did."""

    topic: str
    partition: int
    offset: int
    record_hash: int  # of one place several records may wait; 0 of what was written before
    kind: str
    account_id: str
    event_id: str
    reason: str
    message: str
    event: str  # as JSON, without a text's body
    logged_at: datetime
    parked_at: datetime
    resolved: int

    def key(self) -> tuple[str, int, int, int]:
        return self[:4]

    def place(self) -> Place:
        return Place(self.topic, self.partition, self.offset, to_us(in_utc(self.logged_at)) // 1000)


class Waiting(NamedTuple):
    """An event that waits for a price, as it is listed."""

    topic: str
    partition: int
    offset: int
    kind: str
    account_id: str
    event_id: str
    reason: str
    message: str
    logged_at: datetime


BEFORE_ALL = ("", -1, -1, 0)

_COLUMNS = ", ".join(ParkedEvent._fields)
_WAITING = f"""
SELECT {_COLUMNS} FROM parked FINAL
WHERE resolved = 0 AND reason != 'correction'
  AND (topic, partition, offset, record_hash)
      > ({{topic:String}}, {{partition:Int32}}, {{offset:Int64}}, {{record_hash:UInt64}})
ORDER BY topic, partition, offset, record_hash LIMIT {{most:UInt32}}
"""
_NEWEST = f"""
SELECT {", ".join(Waiting._fields)} FROM parked FINAL
WHERE resolved = 0 AND ({{reason:String}} IN ('', reason))
ORDER BY logged_at DESC, topic, partition, offset DESC, record_hash LIMIT {{limit:UInt32}}
"""
_BY_REASON = """
SELECT reason, count() FROM parked FINAL
WHERE resolved = 0 AND ({reason:String} IN ('', reason)) GROUP BY reason
"""
_COUNT = "SELECT count() FROM parked FINAL WHERE resolved = 0"


def count_parked(ledger: Ledger) -> int:
    """Events that wait for a price now. Raises one of StoreErrors."""
    return int(ledger.query(_COUNT)[0][0])


def read_waiting(ledger: Ledger, after: tuple[str, int, int, int], most: int) -> list[ParkedEvent]:
    """The next events that a new price may help, by their key. Raises one of StoreErrors."""
    names = ("topic", "partition", "offset", "record_hash")
    rows = ledger.search(_WAITING, {**dict(zip(names, after, strict=True)), "most": most})
    return [ParkedEvent._make(row) for row in rows]


def list_parked(ledger: Ledger, reason: Wait | None, limit: int) -> list[Waiting]:
    """The newest events that wait now, by the broker's clock. Raises one of StoreErrors."""
    rows = ledger.query(_NEWEST, {"reason": reason.value if reason else "", "limit": limit})
    return [Waiting._make((*row[:-1], in_utc(row[-1]))) for row in rows]


def count_waiting(ledger: Ledger, reason: Wait | None = None) -> Counter[str]:
    """How many events wait now, by reason. Raises one of StoreErrors."""
    rows = ledger.query(_BY_REASON, {"reason": reason.value if reason else ""})
    return Counter({str(name): int(count) for name, count in rows})


def resolve_parked(ledger: Ledger, events: Sequence[ParkedEvent]) -> None:
    """Marks events as rated; their rows are in the ledger. Raises one of StoreErrors."""
    if events:
        rows = [event._replace(resolved=1) for event in events]
        ledger.insert("parked", ParkedEvent._fields, rows)
