"""What open pages cost the process that serves them, while events come in for all accounts.

The store is a process of its own, as a server is. Here the rows are written, a batch four times a
second, and one page of each account is watched over HTTP: a row's age is from when its write has
returned to when a fragment with its charge has arrived.
"""

import asyncio
import bisect
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from rater.kinds import KINDS
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.rows.batch import Batch, add_records
from streams.store.ledger import Ledger, open_ledger
from tests.bench.reading import Known, grown
from tests.bench.tables import Table
from tests.bench.watch import core_s, quantile
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import ApiProcess, environment_of

STREAMS = "20,200,2000"
PAGES = ("overview", "usage")
ROWS_MILLION = 1.0
EVENTS_PER_S = 1000
BATCHES_PER_S = 4
SECONDS = 20.0
SETTLE_S = 3.0  # after the last write, for what is on its way
OPENED_AT_ONCE = 8
OF_ONE_ADDRESS = 90
LEAF = re.compile(r'"total":"[^0-9"]*([0-9,.]+)"|id=\\"total\\"[^>]*>[^0-9<]*([0-9,.]+)')
_TOTALS = """
SELECT account_id, sum(charge + tax_federal + tax_state + tax_local) FROM rated_rows
WHERE month = {month:Date} AND account_id IN {accounts:Array(String)} GROUP BY account_id
"""


class Watcher(NamedTuple):
    """One open page: the totals that it was sent, in cents, and when."""

    known: Known
    shown: list[tuple[float, int]]


def measure_streams(
    folder: Path, counts: Sequence[int], on_progress: Callable[[str], None]
) -> Table:
    """Each number of pages in turn, each of another account, on one ledger."""
    rows = []
    with grown(folder / "streams", [ROWS_MILLION], on_progress) as sizes:
        for _, settings, known in sizes:
            with ClickHouseHttp(folder / "streams") as store:
                settings = settings.model_copy(update={"clickhouse_url": store.url})
                book, ledger = load_book(settings.tariff), open_ledger(settings, migrate=False)
                for page in PAGES:
                    for count in sorted(counts):
                        on_progress(f"{count} streams of the page {page}")
                        with ApiProcess(environment_of(settings), folder / "api.log") as api:
                            api.start()
                            told = asyncio.run(watch(api, store, ledger, book, known[:count], page))
                            rows.append((f"{page}, {count:,}", *told))
                            api.terminate()
                ledger.close()
    return Table(
        f"Open pages at {EVENTS_PER_S:,} events/s",
        (
            "page, streams", "opened in", "serving: cores", "store: cores",
            "fragments/s", "p50", "p99", "never shown",
        ),
        rows,
        f"{SECONDS:g} s each. From a row's write that has returned to its charge in a fragment that"
        " has arrived; writer and viewers share the cores. The store's process writes, too.",
    )  # fmt: skip


async def watch(
    api: ApiProcess,
    store: ClickHouseHttp,
    ledger: Ledger,
    book: Book,
    known: list[Known],
    page: str,
) -> tuple[str, ...]:
    """Opens a page of each account, writes for SECONDS; what it cost, and how late it was."""
    watchers = [Watcher(one, []) for one in known]
    opened = asyncio.Semaphore(OPENED_AT_ONCE)
    began = time.monotonic()
    tasks = []
    for index, watcher in enumerate(watchers):
        await opened.acquire()
        view = view_one(api.port, page, watcher, f"127.0.0.{2 + index // OF_ONE_ADDRESS}", opened)
        tasks.append(asyncio.create_task(view))
    for _ in range(OPENED_AT_ONCE):
        await opened.acquire()
    opened_s = time.monotonic() - began
    base = await asyncio.to_thread(totals, ledger, known)
    pids = (api.process.pid, store.pid or 0)
    used = [core_s(pid) for pid in pids]
    sent = sum(len(watcher.shown) for watcher in watchers)
    began = time.monotonic()
    written = await asyncio.to_thread(write, ledger, book, known)
    took_s = time.monotonic() - began
    used = [core_s(pid) - before for pid, before in zip(pids, used, strict=True)]
    sent = sum(len(watcher.shown) for watcher in watchers) - sent
    await asyncio.sleep(SETTLE_S)
    after = await asyncio.to_thread(totals, ledger, known)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    if broken := [one for one in ended if not isinstance(one, asyncio.CancelledError)]:
        raise RuntimeError(f"{len(broken)} streams ended: {broken[0]!r}\n{api.log()[-2000:]}")
    aged, missing = ages(watchers, written, base, after)
    weights = [1.0] * len(aged)
    late = [f"{quantile(aged, weights, q):.2f} s" if aged else "" for q in (0.5, 0.99)]
    return (
        f"{opened_s:.1f} s", *(f"{one / took_s:.2f}" for one in used),
        f"{sent / took_s:,.0f}", *late, f"{missing:,}",
    )  # fmt: skip


async def view_one(
    port: int, page: str, watcher: Watcher, source: str, opened: asyncio.Semaphore
) -> None:
    """Reads one stream as it comes; `opened` is given back with its first fragment."""
    one = watcher.known
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(source, 0), limit=1 << 20
    )
    try:
        path = f"{one.path()}/live?page={page}&month={one.month:%Y-%m}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while line := (await reader.readline()).decode():
            if line.startswith("data: ") and (found := LEAF.search(line)):
                if not watcher.shown:
                    opened.release()
                cents = int(re.sub(r"[,.]", "", found[1] or found[2]))
                watcher.shown.append((time.monotonic(), cents))
        raise RuntimeError("the server ended the stream")
    finally:
        writer.close()


def totals(ledger: Ledger, known: list[Known]) -> dict[str, Decimal]:
    """What each account's month comes to, exactly."""
    found: dict[str, Decimal] = {}
    for start in range(0, len(known), 200):
        accounts = [one.account for one in known[start : start + 200]]
        found |= dict(ledger.search(_TOTALS, {"month": known[0].month, "accounts": accounts}))
    return found


def write(ledger: Ledger, book: Book, known: list[Known]) -> dict[str, list[float]]:
    """EVENTS_PER_S calls of the same cost, of all accounts in turn; when each was durable."""
    at: dict[str, list[float]] = defaultdict(list)
    began, count, size = time.monotonic(), 0, EVENTS_PER_S // BATCHES_PER_S
    while time.monotonic() < began + SECONDS:
        # No account is due at a given moment: a step that shares nothing with their number.
        accounts = [known[(count + n) * 7919 % len(known)].account for n in range(size)]
        ledger.write(calls(book, accounts, count))
        now = time.monotonic()
        for account in accounts:
            at[account].append(now)
        count += size
        time.sleep(max(0.0, began + count / EVENTS_PER_S - time.monotonic()))
    return at


def calls(book: Book, accounts: Sequence[str], count: int) -> Batch:
    """A call of half an hour for each, that ended a moment ago."""
    now = datetime.now(UTC)
    times = [(now - timedelta(seconds=ago)).isoformat() for ago in (1810, 1801, 1)]
    records = []
    for n, account in enumerate(accounts):
        event = {
            "id": f"live-{now:%H%M%S}-{count + n}", "account_id": account, "status": "completed",
            "from": "+14155550100", "to": "+442079460001", "direction": "outbound",
            **dict(zip(("dialed_at", "answered_at", "ended_at"), times, strict=True)),
        }  # fmt: skip
        records.append(
            SimpleNamespace(
                offset=count + n, timestamp=int(now.timestamp() * 1000), key=account.encode(),
                value=json.dumps(event).encode(), headers=(),
            )
        )  # fmt: skip
    batch = Batch()
    add_records(batch, KINDS["call"], "usage.call.v1", 1, records, book)
    assert not batch.rejected
    assert not batch.parked
    return batch


def ages(
    watchers: Sequence[Watcher],
    written: dict[str, list[float]],
    base: dict[str, Decimal],
    after: dict[str, Decimal],
) -> tuple[list[float], int]:
    """How old each call was when a total with its charge arrived; and how many never did."""
    found, missing = [], 0
    for watcher in watchers:
        account = watcher.known.account
        durable = written.get(account, [])
        each = (after[account] - base[account]) / max(1, len(durable))
        shown = [cents for _, cents in watcher.shown]
        for nth, at in enumerate(durable, 1):
            total = (base[account] + each * nth).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
            index = bisect.bisect_left(shown, int(total * 100))
            if index < len(shown):
                found.append(max(0.0, watcher.shown[index][0] - at))
            else:
                missing += 1
    return found, missing
