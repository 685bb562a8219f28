"""More months in one write than a server takes in one insert: on both ways to the store."""

from datetime import UTC, date, datetime
from pathlib import Path
from shutil import copy, copytree

import pyarrow as pa
import pytest

import schemas
from rater.months import next_month, previous_month
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.maintenance.parked import retry_parked
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, add_columns
from streams.store import columns
from streams.store.columns import MONTHS_TOGETHER, months_apart
from streams.store.ledger import Ledger, open_ledger
from streams.store.parked import count_parked
from tests.conftest import Event, Log, call, number, rows_of

FIRST, LAST = date(2012, 1, 1), date(2026, 10, 1)


def months() -> list[date]:
    """From the sample tariff's first to the month before the log's clock."""
    found = [FIRST]
    while found[-1] < LAST:
        found.append(next_month(found[-1]))
    return found


def call_of(month: date, n: int) -> Event:
    day = f"{month:%Y-%m}-10T12:0"
    return call(id=f"call-{n}", dialed_at=f"{day}0:00Z", answered_at=None, ended_at=f"{day}1:01Z")


def by_column(log: Log, book: Book) -> Batch:
    """The batch of a log of one kind, as the worker makes it."""
    batch = Batch()
    kind = log.records[0][0]
    add_columns(batch, kind, kind.topic, [(0, [record for _, record in log.records])], book)
    return batch


def _book_from(folder: Path, day: str) -> Book:
    """The sample tariff, from an earlier day on."""
    copytree(schemas.SAMPLE_TARIFF.parent, folder)
    file = folder / schemas.SAMPLE_TARIFF.name
    file.write_text(file.read_text().replace("valid_from = 2012-01-01T", f"valid_from = {day}", 1))
    return load_book(file)


def test_calls_of_fifteen_years_are_written_by_column_and_row_by_row_and_twice(
    any_ledger: Ledger, book: Book
) -> None:
    log = Log(call_of(month, n) for n, month in enumerate(months()))
    for batch in (by_column(log, book), log.batch(book)):
        any_ledger.write(batch)
        rows = rows_of(any_ledger)
        assert sorted(row[1] for row in rows) == [f"{month:%Y-%m}" for month in months()]
        assert any_ledger.query("SELECT records, rows FROM receipts FINAL") == [(178, 178)]


def test_numbers_acquired_over_fifteen_years_are_told_and_charged_once(
    any_ledger: Ledger, book: Book
) -> None:
    log = Log(
        number(id=f"n-{n}", number=f"+1212555{n:04}", acquired_at=f"{month:%Y-%m}-10T12:00:00Z")
        for n, month in enumerate(months())
    )
    any_ledger.write(log.batch(book))
    assert any_ledger.query("SELECT count() FROM states") == [(178,)]
    assert any_ledger.query("SELECT count() FROM accepted") == [(178,)]
    as_of = datetime(2026, 11, 2, tzinfo=UTC)
    made = make_months(any_ledger, book, months(), as_of=as_of)
    assert made.rows == len(rows_of(any_ledger)) == 178 * 179 // 2


def test_a_ledger_of_many_months_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before the table of all accepted records, which its migration fills."""
    some = tmp_path / "migrations"
    some.mkdir()
    *old, filling = sorted(schemas.MIGRATIONS.glob("*.sql"))[:5]
    for file in old:
        copy(file, some)
    monkeypatch.setattr(schemas, "MIGRATIONS", some)
    ledger = open_ledger(Settings(clickhouse_url=f"chdb:{tmp_path / 'store'}"), migrate=True)
    ledger.command(
        "INSERT INTO rated (account_id, month, line, identity, kind, event_id, topic, version) "
        "SELECT 'acme', addMonths(toDate('2012-01-01'), number), 'calls_outbound', "
        "toString(number), 'call', toString(number), 'usage.call.v1', number FROM numbers(101) "
        "SETTINGS max_partitions_per_insert_block = 0"
    )
    copy(filling, some)
    assert ledger.migrate() == ["0005_accepted.sql"]
    assert ledger.query("SELECT count(), uniqExact(month) FROM accepted") == [(101, 101)]
    ledger.close()


def test_parked_events_of_ten_years_are_priced_at_once(
    ledger: Ledger, book: Book, tmp_path: Path
) -> None:
    month, early = FIRST, []
    for _ in range(120):
        month = previous_month(month)
        early.append(month)
    ledger.write(Log(call_of(month, n) for n, month in enumerate(early)).batch(book))
    assert count_parked(ledger) == 120
    retried, accounts = retry_parked(ledger, _book_from(tmp_path / "tariff", "2002-01-01T"))
    assert (retried, accounts, count_parked(ledger)) == (120, {"acme"}, 0)
    assert len(rows_of(ledger)) == 120


CUTS = [
    # months of rows            the months of each insert
    ([],                        [[]]),
    ([5],                       [[5]]),
    ([5, 5, 4, 5],              [[5, 5, 4, 5]]),
    ([1, 2, 3, 4],              [[2, 3, 4], [1]]),
    ([7, 1, 6, 2, 5, 1, 3, 7],  [[7, 6, 5, 7], [1, 2, 1, 3]]),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), CUTS)
def test_an_insert_has_few_months_and_the_newest_go_first(
    rows: list[int], expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MONTHS_TOGETHER < 100
    monkeypatch.setattr(columns, "MONTHS_TOGETHER", 3)
    for name, of in (
        ("month", pa.array([date(2026, month, 1) for month in rows], pa.date32())),
        (
            "from_at",
            pa.array([datetime(2026, month, 28, tzinfo=UTC) for month in rows]).cast(
                pa.timestamp("us", tz="UTC")
            ),
        ),
    ):
        parts = months_apart(pa.table({name: of, "n": pa.array(range(len(rows)))}))
        got = [[at.month for at in part[name].to_pylist()] for part in parts]
        assert got == expected
    others = pa.table({"reason": rows})
    assert months_apart(others) == [others]
