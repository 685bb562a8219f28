"""How long a reader waits for each question, and how fast files are made: over HTTP, of a ledger of
many accounts whose largest has a tenth of all rows.

The rows are real ones, rated by the worker's own line and copied as in `statement.py`; `rater api`
holds the engine in its process.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx

from rater.tariff_file import load_book
from streams.base.settings import Settings, load_settings
from streams.store.ledger import open_ledger
from tests.bench.statement import ACCOUNT, MAKE_SEED, fill, rate_seed
from tests.bench.tables import Table
from tests.bench.watch import core_s, memory_mib, quantile
from tests.support.workers import ApiProcess, environment_of

READ_MILLIONS = "1,10"
LARGE = "large"
ASKED = 100  # of each question
SEED_AGE = timedelta(hours=2)  # so that none of the seed is news
# Each account has rows in three months, the newest the current one.
COPIED_TO = f"if(number % 10 = 0, '{LARGE}', {ACCOUNT})"
_KNOWN = """
SELECT account_id, month, any(event_id), any(to_number), toString(toDate(any(occurred_at)))
FROM rated WHERE line = 'calls' AND direction = 'outbound' AND month = {month:Date}
    AND account_id != {large:String}
GROUP BY account_id, month ORDER BY account_id
"""


class Known(NamedTuple):
    """An account, and what a reader may ask of it."""

    account: str
    month: date
    event: str
    number: str
    day: str

    def path(self) -> str:
        return f"/accounts/{quote(self.account, safe='')}"


QUESTIONS: dict[str, tuple[int, Callable[[Known], str]]] = {
    # what is asked                     asked for, ms
    "statement": (50, lambda one: f"/v1{one.path()}/usage?month={one.month:%Y-%m}"),
    "a line's breakdowns of a day": (
        100,
        lambda one: f"{one.path()}/lines/calls?month={one.month:%Y-%m}&day={one.day}",
    ),
    "the newest 50 of a filter": (
        150,
        lambda one: f"/v1{one.path()}/events?month={one.month:%Y-%m}&line=calls&limit=50",
    ),
    "why an event costs what it does": (
        50,
        lambda one: f"/v1{one.path()}/events/{quote(one.event, safe='')}/explain",
    ),
    "a number in a year": (300, lambda one: f"{one.path()}/search?q={quote(one.number, safe='')}"),
    "the Overview, first byte": (100, lambda one: f"{one.path()}?month={one.month:%Y-%m}"),
    "the Usage page, first byte": (100, lambda one: f"{one.path()}/usage?month={one.month:%Y-%m}"),
}


def measure_reading(
    folder: Path, millions: Sequence[float], on_progress: Callable[[str], None]
) -> Table:
    """One reader after the other, of accounts at random; the ledger grows from row to row."""
    rows: list[tuple[str, ...]] = []
    with grown(folder / "reading", millions, on_progress) as sizes:
        for million, settings, known in sizes:
            with ApiProcess(environment_of(settings), folder / "reading.log") as api:
                api.start()
                on_progress(f"{million:g} million rows: questions")
                rows += [
                    (f"{name} ({wanted_ms} ms)", f"{million:g} million", *ask(api, address, known))
                    for name, (wanted_ms, address) in QUESTIONS.items()
                ]
                on_progress(f"{million:g} million rows: a file")
                rows += [
                    (f"{LARGE}'s month as {ending}", f"{million:g} million", *export(api, ending))
                    for ending in ("csv", "parquet")
                ]
                api.terminate()
    return Table(
        "What a reader waits for",
        ("question, and what is wanted of p99", "rows in the ledger", "p50", "p99", "core-time"),
        rows,
        f"{ASKED} of each question over HTTP, of accounts at random, one after the other. Of a"
        " file: rows a second, and how much more memory the process held meanwhile.",
    )


@contextmanager
def grown(
    store: Path, millions: Sequence[float], on_progress: Callable[[str], None]
) -> Iterator[Iterator[tuple[float, Settings, list[Known]]]]:
    """A ledger of each size in turn, closed, with accounts that have calls in its newest month."""
    settings = load_settings(clickhouse_url=f"chdb:{store}")
    book = load_book(settings.tariff)

    def each() -> Iterator[tuple[float, Settings, list[Known]]]:
        copies = 0
        began = datetime.now(UTC) - SEED_AGE
        for million in sorted(millions):
            ledger = open_ledger(settings, migrate=True)
            try:
                if not copies:
                    ledger.write(rate_seed(book, int(began.timestamp() * 1000), began))
                    ledger.command(MAKE_SEED)
                    ledger.command("TRUNCATE TABLE rated")
                total = round(million * 1e6)
                copies = fill(ledger, copies, total, on_progress, account=COPIED_TO)
                ((month,),) = ledger.query("SELECT max(month) FROM rated")
                known = [
                    Known(*row) for row in ledger.query(_KNOWN, {"month": month, "large": LARGE})
                ]
            finally:
                ledger.close()
            yield million, settings, known

    yield each()


def ask(
    api: ApiProcess, address: Callable[[Known], str], known: Sequence[Known]
) -> tuple[str, str, str]:
    """p50 and p99 until the answer is there, and core-time; the first, with cold caches, before."""
    took_s = []
    first, *others = random.Random(1).choices(known, k=ASKED + 1)
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", timeout=60) as client:
        client.get(address(first), follow_redirects=True)
        used_s = core_s(api.process.pid)
        for one in others:
            began = time.perf_counter()
            client.get(address(one), follow_redirects=True).raise_for_status()
            took_s.append(time.perf_counter() - began)
    used_s = core_s(api.process.pid) - used_s
    weights = [1.0] * ASKED
    p50, p99 = (f"{quantile(took_s, weights, share) * 1000:,.0f} ms" for share in (0.5, 0.99))
    return p50, p99, f"{used_s / ASKED * 1000:,.0f} ms"


def export(api: ApiProcess, ending: str) -> tuple[str, str, str]:
    """Rows a second of the largest account's month, and how far memory rose meanwhile."""
    url = f"http://127.0.0.1:{api.port}/v1/accounts/{LARGE}"
    rows = httpx.get(f"{url}/usage?by=status", timeout=60).json()["sums"][0]["amount"]
    before = most = memory_mib(api.process.pid)
    used_s = core_s(api.process.pid)
    began = time.perf_counter()
    with httpx.stream("GET", f"{url}/events.{ending}", timeout=600) as answer:
        answer.raise_for_status()
        for _ in answer.iter_raw(1 << 20):
            most = max(most, memory_mib(api.process.pid))
    took_s = time.perf_counter() - began
    used_s = core_s(api.process.pid) - used_s
    return f"{rows / took_s:,.0f} rows/s", f"+{most - before:,.0f} MiB", f"{used_s:.1f} s"
