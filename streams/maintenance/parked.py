"""Parked events: rated when their price arrives, from the row that kept them."""

import structlog

from rater.decode import decode
from rater.kinds import KINDS
from rater.reject import Reject
from rater.tariff import Book
from streams.rows.batch import Batch, add_event
from streams.store.errors import why_refused
from streams.store.ledger import Ledger
from streams.store.parked import BEFORE_ALL, ParkedEvent, read_waiting, resolve_parked

RETRIED_AT_ONCE = 10_000
REFUSED_MOST = 10  # events in one retry: more of them, and it is the store that is wrong

log = structlog.get_logger()


def retry_parked(ledger: Ledger, book: Book) -> tuple[int, set[str]]:
    """Rates every parked event that has its price now; returns how many, and whose they are.

    The rows are written before the event is marked, so a crash between tries it again, which
    changes nothing. One whose rows the store refuses waits on, and holds up no other. Raises one
    of StoreErrors when the store does not answer, or refuses more than REFUSED_MOST.
    """
    retried = 0
    accounts: set[str] = set()
    after = BEFORE_ALL
    refused: list[ParkedEvent] = []
    while True:
        events = read_waiting(ledger, after, RETRIED_AT_ONCE)
        if not events:
            return retried, accounts
        rated = _rate(ledger, book, events, refused)
        after = events[-1].key()
        accounts |= {row.account_id for row in rated}
        retried += len(rated)


def _rate(
    ledger: Ledger, book: Book, events: list[ParkedEvent], refused: list[ParkedEvent]
) -> list[ParkedEvent]:
    """Rates some of them together; where the store refuses their rows, each half by itself."""
    batch, rated = Batch(), []
    for row in events:
        place = row.place()
        event = decode(KINDS[row.kind], row.event.encode(), place.logged_ms * 1000)
        if isinstance(event, Reject):
            continue  # it was an event when it was parked: a stricter engine leaves it be
        waiting = len(batch.parked)
        add_event(batch, event, place, book)
        if len(batch.parked) == waiting:
            rated.append(row)
    batch.parked.clear()
    try:
        ledger.write(batch)
    except Exception as error:
        if not (why := why_refused(error)) or len(refused) >= REFUSED_MOST:
            raise
        if len(rated) == 1:
            refused.append(rated[0])
            topic, partition, offset, _ = rated[0].key()
            log.warning(
                "parked_not_stored", why=why, topic=topic, partition=partition, offset=offset
            )
            return []
        half = len(rated) // 2
        return [
            *_rate(ledger, book, rated[:half], refused),
            *_rate(ledger, book, rated[half:], refused),
        ]
    resolve_parked(ledger, rated)
    return rated
