"""What was written recently, by whichever worker: its receipts say so.

A job goes on where it came to, which is kept in the ledger: one that was stopped or killed, or that
another worker takes over, leaves nothing out.
"""

from datetime import datetime, timedelta

from streams.rows.log_position import Span, join_spans
from streams.store.ledger import SPANS_GAP_MS, Ledger
from streams.store.outcomes import Covered, read_written
from streams.store.walks import Walk, read_walk, write_walk

# Of the job's first run ever: the walk through everything comes to what is older.
FIRST_WINDOW = timedelta(hours=1)
# A receipt has its worker's clock, and is there some time after: a write may take a minute.
OVERLAP = timedelta(minutes=2)
# How far it came is written down not more often.
KEPT_EVERY = timedelta(seconds=30)


class News:
    """The parts of the log that were written since a job of this name has looked; `telling`: of
    those alone that tell of things charged by the month."""

    def __init__(self, name: str, ledger: Ledger, *, telling: bool = False) -> None:
        self._name = name
        self._telling = telling
        self._ledger = ledger
        self._reached: datetime | None = None
        self._kept_at: datetime | None = None
        self._seen: set[Covered] = set()

    def read(self, now: datetime) -> list[Span]:
        """What is new. Raises one of StoreErrors."""
        since = (self._reached or self._read_reached(now)) - OVERLAP
        written = read_written(self._ledger, since, telling=self._telling)
        new = [one for one in written if one not in self._seen]
        self._seen = set(written)
        self._reached = now
        return join_spans(
            (Span(one.first_logged_ms, one.last_logged_ms) for one in new), SPANS_GAP_MS
        )

    def done(self) -> None:
        """What was read has been looked at. Raises one of StoreErrors."""
        now = self._reached
        if now and (self._kept_at is None or now - self._kept_at >= KEPT_EVERY):
            write_walk(self._ledger, self._name, Walk(now.isoformat(), now), now)
            self._kept_at = now

    def forget(self) -> None:
        """Goes on from what is kept: another may have gone on meanwhile."""
        self._reached, self._seen = None, set()

    def _read_reached(self, now: datetime) -> datetime:
        kept = read_walk(self._ledger, self._name).position
        return min(datetime.fromisoformat(kept), now) if kept else now - FIRST_WINDOW
