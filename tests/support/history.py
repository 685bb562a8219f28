"""A long history made in the engine: calls, texts and detections of many accounts over a year."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from rater.tariff import Book
from streams.maintenance.audit import audit_lately
from streams.maintenance.conflicts import find_conflicts
from streams.rows.log_position import POSITIONS, Span
from streams.store.counterfoils import find_lost
from streams.store.ledger import Ledger
from tests.conftest import LOGGED_MS, Log, amd, call, text

ACCOUNTS = 1_000

# A call, a text with its fee, or a detection in turn; the log took it when it happened.
_ROWS = f"""
INSERT INTO rated (account_id, month, line, identity, revision, kind, event_id, occurred_at, charge,
    content_hash, topic, partition, offset, logged_at, version)
SELECT concat('account-', toString(number % {ACCOUNTS})) AS account_id, toStartOfMonth(logged_at),
    ['calls', 'calls', 'texts', 'carrier_fees', 'ai_voice_detection'][number % 5 + 1] AS line,
    hex(sipHash64(n)) AS identity, 0,
    ['call', 'call', 'text', 'text', 'amd'][number % 5 + 1] AS kind, identity, logged_at,
    toDecimal64(0.026, 9), cityHash64(n), concat('usage.', kind, '.v1'), n % 8 AS partition,
    intDiv(n, 8) AS offset, fromUnixTimestamp64Milli(at_ms, 'UTC') AS logged_at,
    toUInt128('{POSITIONS + 1}') + toUInt128('{POSITIONS}') - bitOr(bitOr(
        bitShiftLeft(toUInt128(at_ms), 80), bitShiftLeft(toUInt128(partition), 64)),
        toUInt128(offset)) AS version
FROM (
    SELECT number, number - (number % 5 = 3) AS n,
        toInt64({{first_ms:Int64}} + n * {{step_ms:Float64}}) AS at_ms
    FROM numbers({{first:UInt64}}, {{count:UInt64}}))
SETTINGS max_partitions_per_insert_block = 200
"""
YEAR_MS = 365 * 86_400_000
FIRST_MS = 1_761_955_200_000  # 2025-11-01


def fill_history(ledger: Ledger, rows: int, *, at_once: int = 1_000_000) -> None:
    """Fills a year until a day before the tests' events, and merges it."""
    for first in range(0, rows, at_once):
        ledger.command(
            _ROWS,
            {
                "first_ms": FIRST_MS,
                "step_ms": (YEAR_MS - 86_400_000) / rows,
                "first": first,
                "count": min(at_once, rows - first),
            },
        )
    for table in ("rated", "accepted", "counterfoils", "seen"):
        ledger.command(f"OPTIMIZE TABLE {table} FINAL")


@contextmanager
def rows_read(ledger: Ledger) -> Iterator[list[int]]:
    """How many rows of tables each question reads, as the engine in this process counts them."""
    backend: Any = type(ledger._searcher._backend)  # type: ignore[attr-defined]
    query, counts = backend._query_locked, []

    def count(*arguments: Any, **more: Any) -> Any:
        result = query(*arguments, **more)
        counts.append(int(result.storage_rows_read()))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "_query_locked", count)
        yield counts


# The news, and who looks at it

NEWS = Span(LOGGED_MS, LOGGED_MS + 1_000)
LOOKS: dict[str, Callable[[Ledger], object]] = {
    "conflicts": lambda ledger: find_conflicts(ledger, part=NEWS),
    "lost rows": lambda ledger: find_lost(ledger, NEWS),
    "audit": lambda ledger: audit_lately(
        ledger, [date(2026, 8, 1)], datetime.now(UTC) - timedelta(hours=1)
    ),
}


def add_news(book: Book, ledger: Ledger) -> None:
    """Events that the log took after all of the history."""
    events = [
        event(id=f"new-{n}", account_id=f"account-{n % 50}", **more)
        for n in range(60)
        for event, more in ((call, {}), (text, {}), (amd, {"call_id": f"call-{n}"}))
    ]
    ledger.write(Log(events).batch(book))
