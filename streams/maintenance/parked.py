"""Parked events: rated when their price arrives, from the row that kept them."""

from rater.decode import decode
from rater.kinds import KINDS
from rater.reject import Reject
from rater.tariff import Book
from streams.rows.batch import Batch, add_event
from streams.store.ledger import Ledger
from streams.store.parked import BEFORE_ALL, read_waiting, resolve_parked

RETRIED_AT_ONCE = 10_000


def retry_parked(ledger: Ledger, book: Book) -> tuple[int, set[str]]:
    """Rates every parked event that has its price now; returns how many, and whose they are.

    The rows are written before the event is marked, so a crash between tries it again, which
    changes nothing. Raises one of StoreErrors when the store does not answer.
    """
    retried = 0
    accounts: set[str] = set()
    after = BEFORE_ALL
    while True:
        events = read_waiting(ledger, after, RETRIED_AT_ONCE)
        if not events:
            return retried, accounts
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
                accounts.add(event.account_id)
        after = events[-1].key()
        batch.parked.clear()
        ledger.write(batch)
        resolve_parked(ledger, rated)
        retried += len(rated)
