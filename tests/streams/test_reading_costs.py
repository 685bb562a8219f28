"""Work follows the news: a search of it reads as many rows however long the history is."""

from rater.tariff import Book
from streams.store.ledger import Ledger
from tests.conftest import MakeLedger
from tests.support.history import LOOKS, add_news, fill_history, rows_read

HISTORY_ROWS = 40_000
TIMES = 10
DEARER_MAX = 1.5


def reads_at(ledger: Ledger, book: Book, rows: int) -> dict[str, int]:
    fill_history(ledger, rows)
    add_news(book, ledger)
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
