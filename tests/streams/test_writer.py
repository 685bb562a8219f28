"""The writer: what is acknowledged is in the store, in order; what is not in the store is not."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from rater.kinds import KINDS
from rater.tariff import Book
from streams.base.errors import first_line
from streams.base.settings import Settings, load_settings
from streams.ingest.stretch import Stretch
from streams.ingest.writer import StoreDownError, Writer
from streams.rows.batch import Batch, RejectedRow
from tests.conftest import call


class Store:
    """A store that fails as often as it is told, and remembers what it took."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.taken: list[Batch] = []
        self.tries = 0

    def write(self, batch: Batch) -> None:
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise OSError("connection refused")
        self.taken.append(batch)


class Log:
    """Stretches of one partition, and which were acknowledged, in order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.acknowledged: list[int] = []
        self.in_store_then: list[int] = []

    def stretch(self, offset: int, value: bytes = b"{bad") -> Stretch:
        def acknowledge() -> None:
            self.acknowledged.append(offset)
            self.in_store_then.append(len(self.store.taken))

        return Stretch(KINDS["call"], "usage.call.v1", 0, [_Record(offset, value)], acknowledge)


class _Record:
    def __init__(self, offset: int, value: bytes) -> None:
        self.offset, self.value = offset, value
        self.timestamp = int(time.time() * 1000)
        self.key: bytes | None = None
        self.headers: Sequence[tuple[str, bytes]] = ()


class Letters:
    def __init__(self, *, refuse: bool = False) -> None:
        self.sent: list[int] = []
        self.refuse = refuse

    async def send(self, rows: Sequence[RejectedRow]) -> None:
        if self.refuse:
            raise ConnectionError("no broker")
        self.sent += [row.place.offset for row in rows]


def make(
    store: Any, book: Book, letters: Letters | None = None, **settings: Any
) -> tuple[Writer, Settings]:
    chosen = load_settings(**{"batch_wait_s": 0.01, "queue_batches": 32} | settings)
    return Writer(store, lambda: book, (letters or Letters()).send, chosen), chosen


async def test_nothing_is_acknowledged_before_the_store_has_it_and_then_all_in_order(
    book: Book,
) -> None:
    store = Store(failures=2)
    log, letters = Log(store), Letters()
    writer, _ = make(store, book, letters)
    for offset in range(5):
        await writer.put(log.stretch(offset))
    running = asyncio.create_task(writer.run())
    await asyncio.wait_for(writer.drain(), 10)
    running.cancel()
    writer.close()
    assert log.acknowledged == [0, 1, 2, 3, 4]
    assert min(log.in_store_then) >= 1
    assert store.tries == len(store.taken) + 2
    assert letters.sent == [0, 1, 2, 3, 4]


async def test_a_store_down_past_the_bound_ends_the_writer_with_nothing_acknowledged(
    book: Book,
) -> None:
    store = Store(failures=10_000)
    log = Log(store)
    writer, _ = make(store, book, store_outage_max_s=0.5)
    await writer.put(log.stretch(0))
    with pytest.raises(StoreDownError, match=r"0\.5 s .*connection refused.*nothing"):
        await asyncio.wait_for(writer.run(), 10)
    writer.close()
    assert log.acknowledged == []
    assert store.tries > 1


async def test_a_dead_letter_that_is_refused_ends_the_writer_with_nothing_acknowledged(
    book: Book,
) -> None:
    store = Store()
    log = Log(store)
    writer, _ = make(store, book, Letters(refuse=True))
    await writer.put(log.stretch(0))
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(writer.run(), 10)
    writer.close()
    assert log.acknowledged == []


async def test_a_bug_in_rating_ends_the_writer_with_nothing_acknowledged(book: Book) -> None:
    log = Log(Store())
    writer, _ = make(log.store, book)
    broken = log.stretch(0)._replace(records=[None])  # type: ignore[list-item]
    await writer.put(broken)
    with pytest.raises(AttributeError):
        await asyncio.wait_for(writer.run(), 10)
    writer.close()
    assert log.acknowledged == []


async def test_what_waits_is_written_together_up_to_batch_rows(book: Book) -> None:
    store = Store()
    log = Log(store)
    writer, _ = make(store, book, batch_rows=4)
    for offset in range(10):
        await writer.put(log.stretch(offset))
    running = asyncio.create_task(writer.run())
    await asyncio.wait_for(writer.drain(), 10)
    running.cancel()
    writer.close()
    assert [len(batch.receipts) for batch in store.taken] == [4, 4, 2]


class HeldStore(Store):
    """A store that keeps each write until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def write(self, batch: Batch) -> None:
        self.began.release()
        assert self.go.acquire(timeout=10)
        super().write(batch)


@pytest.mark.parametrize(
    # large | batch_rows | receipts of each write
    ("large", "batch_rows", "written"),
    [
        (10_000, 100,      [1, 5]),
        (10_000, 5,        [1, 5]),
        (10_000, 2,        [1, 2, 2, 1]),
        (1,      100,      [1, 1, 1, 3]),  # one is written, one waits, one is rated and waits
    ],
)  # fmt: skip
async def test_what_comes_while_a_small_batch_is_written_is_one_batch_up_to_batch_rows(
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    large: int,
    batch_rows: int,
    written: list[int],
) -> None:
    monkeypatch.setattr("streams.ingest.writer.LARGE_RECORDS", large)
    store = HeldStore()
    log = Log(store)
    writer, settings = make(store, book, batch_rows=batch_rows)
    running = asyncio.create_task(writer.run())
    await writer.put(log.stretch(0))
    assert await asyncio.to_thread(store.began.acquire, timeout=10)
    for offset in range(1, 6):
        await writer.put(log.stretch(offset))
        await asyncio.sleep(10 * settings.batch_wait_s)
    store.go.release(len(written))
    await asyncio.wait_for(writer.drain(), 10)
    running.cancel()
    writer.close()
    assert [len(batch.receipts) for batch in store.taken] == written
    assert log.acknowledged == list(range(6))


async def test_large_records_make_a_batch_of_fewer(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.ingest.writer.BATCH_BYTES_MAX", 10_000)
    store = Store()
    log = Log(store)
    writer, _ = make(store, book)
    for offset, size in enumerate([4_000, 5_999, 1, 9_999, 20_000, 10, 10]):
        await writer.put(log.stretch(offset, b"x" * size))
    running = asyncio.create_task(writer.run())
    await asyncio.wait_for(writer.drain(), 10)
    running.cancel()
    writer.close()
    assert [len(batch.receipts) for batch in store.taken] == [3, 2, 2]
    assert log.acknowledged == list(range(7))


async def test_records_are_let_go_once_they_are_rated(book: Book) -> None:
    store = Store()
    log = Log(store)
    writer, _ = make(store, book)
    stretch = log.stretch(0)
    await writer.put(stretch)
    running = asyncio.create_task(writer.run())
    await asyncio.wait_for(writer.drain(), 10)
    running.cancel()
    writer.close()
    assert stretch.records == []
    assert [row.value for row in store.taken[0].rejected] == [b"{bad"]


async def test_a_full_queue_makes_an_agent_wait(book: Book) -> None:
    log = Log(Store())
    writer, _ = make(log.store, book, queue_batches=1)
    await writer.put(log.stretch(0))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.put(log.stretch(1)), 0.05)
    writer.close()


def test_an_error_in_a_log_is_one_line_without_the_url_it_asked() -> None:
    error = OSError("Max retries\nexceeded with url: /?query=SELECT&param_x=%2B14155550100")
    assert first_line(error) == "OSError: Max retries exceeded"


async def test_unknown_fields_are_counted_and_told_of_once_each(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    def counted() -> float:
        value = REGISTRY.get_sample_value("rater_events_unknown_fields_total", {"kind": "call"})
        assert value is not None
        return value

    store, before = Store(), counted()
    log = Log(store)
    writer, _ = make(store, book)
    running = asyncio.create_task(writer.run())
    for offset in range(3):
        value = orjson.dumps(call(id=f"c{offset}", recordd=True, n14155550100=1))
        await writer.put(log.stretch(offset, value))
        await writer.drain()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    writer.close()
    assert counted() - before == 3
    told = [line for line in capsys.readouterr().out.splitlines() if "unknown_field" in line]
    assert len(told) == 2
    assert any(
        "recordd of call events" in line and "did you mean recorded?" in line for line in told
    )
    assert "14155550100" not in "".join(told)
