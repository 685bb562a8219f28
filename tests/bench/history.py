"""What the jobs of maintenance cost for the same news, by how much history stands beside it.

The history is a year of calls, texts and detections of a thousand accounts, made in the engine; the
news is written by the worker's own line.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import load_settings
from streams.maintenance.recurring import make_months, open_months
from streams.rows.changed import Changed
from streams.store.ledger import Ledger, open_ledger
from tests.bench.tables import Table
from tests.conftest import Log, number
from tests.support.history import LOOKS, add_news, fill_history, rows_read

MILLIONS = "1,10"
THINGS = 500
AS_OF = datetime(2026, 11, 2, tzinfo=UTC)


def measure_history(
    folder: Path,
    millions: Sequence[float],
    on_progress: Callable[[str], None] = lambda line: None,
) -> Table:
    """Rows read and core-seconds of each job, the engine in the process; a ledger for each size."""
    book = load_book(load_settings().tariff)
    measured: dict[str, list[str]] = {}
    for million in sorted(millions):
        store = folder / f"history-{million:g}"
        ledger = open_ledger(load_settings(clickhouse_url=f"chdb:{store}"), migrate=True)
        try:
            on_progress(f"making {million:g} million rows")
            fill_history(ledger, round(million * 1e6))
            add_news(book, ledger)
            for name, job in _jobs(book, ledger).items():
                on_progress(f"{name} beside {million:g} million rows")
                measured.setdefault(name, []).append(_measure(ledger, job))
        finally:
            ledger.close()
            shutil.rmtree(store)
    return Table(
        "What maintenance costs for the same news",
        ("job", *(f"beside {million:g} million rows" for million in sorted(millions))),
        [(name, *cells) for name, cells in measured.items()],
        "Rows read and core-seconds, of the second of two runs. The news: 180 events of 50 accounts"
        f" and {THINGS} numbers.",
    )


def _jobs(book: Book, ledger: Ledger) -> dict[str, Callable[[Ledger], object]]:
    told = [
        number(id=f"n-{n}", account_id=f"account-{n % 50}", number=f"+1212555{n:04}")
        for n in range(THINGS)
    ]
    ledger.write(Log(told).batch(book))
    things = {(one["account_id"], one["number"]) for one in told}

    def recurring(ledger: Ledger) -> object:
        changed = Changed(things, set())
        return make_months(ledger, book, open_months(AS_OF), as_of=AS_OF, changed=changed)

    return LOOKS | {f"recurring charges of {THINGS} numbers": recurring}


def _measure(ledger: Ledger, job: Callable[[Ledger], object]) -> str:
    job(ledger)
    with rows_read(ledger) as counts:
        began = time.process_time()
        job(ledger)
        took_s = time.process_time() - began
    return f"{sum(counts):,} rows, {took_s:.2f} s"
