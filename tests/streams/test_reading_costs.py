"""Work follows the news: a search of it reads as many rows however long the history is."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from rater.tariff import Book
from streams.maintenance.audit import audit_lately
from streams.maintenance.conflicts import find_conflicts
from streams.rows.log_position import Span
from streams.store.counterfoils import find_lost
from streams.store.ledger import Ledger
from tests.conftest import LOGGED_MS, Log, MakeLedger, amd, call, text
from tests.support.history import fill_history, rows_read

NEWS = Span(LOGGED_MS, LOGGED_MS + 1_000)
HISTORY_ROWS = 40_000
TIMES = 10
DEARER_MAX = 1.5

LOOKS: dict[str, Callable[[Ledger], object]] = {
    "conflicts": lambda ledger: find_conflicts(ledger, part=NEWS),
    "lost rows": lambda ledger: find_lost(ledger, NEWS),
    "audit": lambda ledger: audit_lately(
        ledger, [date(2026, 8, 1)], datetime.now(UTC) - timedelta(hours=1)
    ),
}


def news(book: Book, ledger: Ledger) -> None:
    events = [
        event(id=f"new-{n}", account_id=f"account-{n % 50}", **more)
        for n in range(60)
        for event, more in ((call, {}), (text, {}), (amd, {"call_id": f"call-{n}"}))
    ]
    ledger.write(Log(events).batch(book))


def reads_at(ledger: Ledger, book: Book, rows: int) -> dict[str, int]:
    fill_history(ledger, rows)
    news(book, ledger)
    reads = {}
    for name, look in LOOKS.items():
        with rows_read(ledger) as counts:
            look(ledger)
        assert len(counts) > 0
        reads[name] = sum(counts)
    return reads


def test_a_look_at_the_news_reads_no_more_of_ten_times_the_history(
    make_ledger: MakeLedger, book: Book
) -> None:
    few, many = (
        reads_at(make_ledger(), book, rows) for rows in (HISTORY_ROWS, TIMES * HISTORY_ROWS)
    )
    dearer = {name: round(many[name] / few[name], 2) for name in LOOKS}
    assert max(dearer.values()) <= DEARER_MAX, (dearer, few, many)
