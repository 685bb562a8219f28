"""How long a statement takes, by how many rows the ledger has: what the page and the API ask for;
and how long housekeeping looks for conflicts.

The rows are real ones, rated by the worker's own line, and copies of them: of more accounts, in
three months, each copy with identities of its own.
"""

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

from rater.kinds import KINDS
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import load_settings
from streams.maintenance.conflicts import resolve_conflicts
from streams.rows.batch import Batch, add_records
from streams.rows.log_position import Span
from streams.store.ledger import Ledger, open_ledger
from streams.web.reads import Reads
from tests.bench.tables import Table
from tests.bench.traffic import BEGAN, RECEIVED_MS, make_events, records_of
from tests.bench.watch import quantile

MILLIONS = "1,10,50"
STATEMENTS = 200
SEED_EVENTS = 20_000
LATER_MS = 3_600_000
LOOKS = ("conflicts lately", "of all")
ACCOUNT_COPIES = 10  # so many accounts for each of the seed's
MONTHS = 3
ROWS_AT_ONCE = 1_000_000
MERGES_PATIENCE_S = 120

MAKE_SEED = "CREATE TABLE seed ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM rated"
# One copy after the other goes to the next month, then to the next account; and each lies in the
# log where no other does.
ACCOUNT = f"concat(seed.account_id, '-', toString(intDiv(number, {MONTHS}) % {ACCOUNT_COPIES}))"
COPY = f"""
INSERT INTO rated SELECT seed.* REPLACE (
    {{account}} AS account_id,
    addMonths(seed.month, -toInt32(number % {MONTHS})) AS month,
    addMonths(seed.occurred_at, -toInt32(number % {MONTHS})) AS occurred_at,
    concat(seed.identity, '-', toString(number)) AS identity,
    concat(seed.event_id, '-', toString(number)) AS event_id,
    seed.version - bitShiftLeft(toUInt128(number), 40) AS version)
FROM seed CROSS JOIN numbers({{{{first:UInt64}}}}, {{{{count:UInt64}}}}) AS copies
"""
SIZES = """
SELECT count(), sum(rows_of) FROM (
    SELECT account_id, month, count() AS rows_of FROM rated GROUP BY account_id, month)
"""


def measure_statements(
    folder: Path,
    millions: Sequence[float],
    statements: int = STATEMENTS,
    on_progress: Callable[[str], None] = lambda line: None,
) -> Table:
    """In this process, with one reader after the other; the ledger grows from row to row."""
    store = folder / "statement"
    settings = load_settings(clickhouse_url=f"chdb:{store}")
    book = load_book(settings.tariff)
    ledger = open_ledger(settings, migrate=True)
    rows = []
    try:
        ledger.write(rate_seed(book, RECEIVED_MS))
        lately = rate_seed(book, RECEIVED_MS + LATER_MS)
        ledger.command(MAKE_SEED)
        ledger.command("TRUNCATE TABLE rated")
        copies = 0
        for million in sorted(millions):
            copies = fill(ledger, copies, round(million * 1e6), on_progress)
            reads = Reads(ledger, lambda: book)
            ledger.write(lately)
            measured = measure_one(ledger, reads, statements)
            looks = (look_s(ledger, lately.span()), look_s(ledger, None))
            rows.append((f"{million:g} million", *measured, *(f"{one:.2f} s" for one in looks)))
    finally:
        ledger.close()
        shutil.rmtree(store)
    return Table(
        "A statement of one account's month",
        ("rows in the ledger", "rows of a statement", "parts", "p50", "p99", *LOOKS),
        rows,
        f"{statements} statements of accounts and months at random, read as the API does, one after"
        " the other, the engine in the process. A worker looks for conflicts among what it wrote"
        f" lately, here {SEED_EVENTS:,} events, each 20 s, and among all at its start.",
    )


def rate_seed(book: Book, received_ms: int, began: datetime = BEGAN) -> Batch:
    batch = Batch()
    for kind, records in records_of(make_events(SEED_EVENTS, 1, began), received_ms).items():
        add_records(batch, KINDS[kind], f"usage.{kind}.v1", 0, records, book)
    return batch


def look_s(ledger: Ledger, lately: Span | None) -> float:
    """Seconds of a look for conflicts, of which there are none."""
    began = time.perf_counter()
    assert resolve_conflicts(ledger, lately) == []
    return time.perf_counter() - began


def fill(
    ledger: Ledger,
    copies: int,
    total: int,
    on_progress: Callable[[str], None],
    *,
    account: str = ACCOUNT,
) -> int:
    """Copies the seed until the ledger has so many rows; how many copies there are then.

    `account` is an expression: whose a copy of a row is.
    """
    ((each,),) = ledger.query("SELECT count() FROM seed")
    wanted = -(-total // each)
    while copies < wanted:
        count = min(wanted - copies, max(1, ROWS_AT_ONCE // each))
        ledger.command(COPY.format(account=account), parameters={"first": copies, "count": count})
        copies += count
        on_progress(f"{copies * each / 1e6:.1f} million rows")
    return copies


def measure_one(ledger: Ledger, reads: Reads, statements: int) -> tuple[str, ...]:
    """Rows of a statement, parts, p50 and p99, once the merges under way have ended."""
    give_up_at = time.monotonic() + MERGES_PATIENCE_S
    while ledger.query("SELECT 1 FROM system.merges") and time.monotonic() < give_up_at:
        time.sleep(0.5)
    ((sheets, rows),) = ledger.query(SIZES)
    ((parts,),) = ledger.query("SELECT count() FROM system.parts WHERE active AND table = 'rated'")
    names: list[tuple[str, date]] = ledger.query("SELECT DISTINCT account_id, month FROM rated")
    asked = random.Random(1).choices(sorted(names), k=statements)
    took_s = asyncio.run(read_all(reads, asked))
    weights = [1.0] * len(took_s)
    return (
        f"{rows / sheets:,.0f}",
        str(parts),
        *(f"{quantile(took_s, weights, share) * 1000:,.0f} ms" for share in (0.5, 0.99)),
    )


async def read_all(reads: Reads, asked: Sequence[tuple[str, date]]) -> list[float]:
    """Seconds of each statement; the first one, whose caches are cold, is read once before."""
    await reads.statement(*asked[0])
    took_s = []
    for account, month in asked:
        began = time.perf_counter()
        statement = await reads.statement(account, month)
        took_s.append(time.perf_counter() - began)
        assert statement["lines"], (account, month)
    return took_s
