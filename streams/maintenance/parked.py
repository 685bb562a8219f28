"""Parked events: rated when their price arrives, from the row that kept them."""

from datetime import UTC

from rater.decode import decode
from rater.instants import to_us
from rater.kinds import KINDS
from rater.reject import Reject
from rater.tariff import Book
from streams.rows.batch import Batch, add_event
from streams.rows.log_position import Place
from streams.store.ledger import Ledger

RETRIED_AT_ONCE = 10_000

_WAITING = """
SELECT * FROM parked FINAL
WHERE resolved = 0 AND reason != 'correction'
  AND (topic, partition, offset) > ({topic:String}, {partition:Int32}, {offset:Int64})
ORDER BY topic, partition, offset LIMIT {most:UInt32}
"""


def count_parked(ledger: Ledger) -> int:
    """Events that wait for a price now."""
    return int(ledger.query("SELECT count() FROM parked FINAL WHERE resolved = 0")[0][0])


def retry_parked(ledger: Ledger, book: Book) -> tuple[int, set[str]]:
    """Rates every parked event that has its price now; returns how many, and whose they are.

    The rows are written before the event is marked, so a crash between tries it again, which
    changes nothing. Raises one of StoreErrors when the store does not answer.
    """
    retried = 0
    accounts: set[str] = set()
    after: tuple[str, int, int] = ("", -1, -1)
    while True:
        rows = ledger.query(
            _WAITING,
            {"topic": after[0], "partition": after[1], "offset": after[2], "most": RETRIED_AT_ONCE},
        )
        if not rows:
            return retried, accounts
        batch, rated = Batch(), []
        for row in rows:
            topic, partition, offset, kind, _, _, _, _, raw, logged_at, _, _ = row
            after = (topic, partition, offset)
            logged_ms = (
                to_us(logged_at if logged_at.tzinfo else logged_at.replace(tzinfo=UTC)) // 1000
            )
            place = Place(topic, partition, offset, logged_ms)
            event = decode(KINDS[kind], raw.encode(), logged_ms * 1000)
            if isinstance(event, Reject):
                continue  # it was an event when it was parked: a stricter engine leaves it be
            waiting = len(batch.parked)
            add_event(batch, event, place, book)
            if len(batch.parked) == waiting:
                rated.append(row)
                accounts.add(event.account_id)
        batch.parked.clear()
        ledger.write(batch)
        ledger.resolve_parked(rated)
        retried += len(rated)
