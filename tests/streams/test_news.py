"""An open stream costs what is new: it is read when its account has news, and seldom else."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from streams.store.errors import StoreErrors
from streams.store.ledger import Ledger
from streams.store.touched import read_touched
from streams.web import news
from streams.web.news import BACK_S, WINDOW_S, News
from streams.web.reads import Reads
from tests.conftest import Log, call
from tests.streams.test_web import Filled, Served, amount_of_calls, filled_ledger, read_events
from tests.support.workers import until

NOVEMBER = date(2026, 11, 1)


class FakeLedger:
    """Counts of rows by account, as a question tells them."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, date], int] = {}
        self.since: list[datetime] = []
        self.down = False

    def __call__(self, since: datetime) -> dict[tuple[str, date], int]:
        self.since.append(since)
        if self.down:
            raise StoreErrors[0]("away")
        return dict(self.counts)

    def add(self, account: str) -> None:
        self.counts[account, NOVEMBER] = self.counts.get((account, NOVEMBER), 0) + 1


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "AGAIN_S", 1000.0)
    monkeypatch.setattr(news, "ASK_EVERY_S", 0.01)


@asynccontextmanager
async def waiting(told: News, *accounts: str) -> Any:
    """Who of some accounts was woken, by name."""
    woken: set[str] = set()

    async def wait(account: str) -> None:
        await told.wait(account, await told.times(account))
        woken.add(account)

    tasks = [asyncio.create_task(wait(account)) for account in accounts]
    await asyncio.sleep(0)
    try:
        yield woken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await told.close()


async def test_an_account_with_news_is_woken_and_no_other() -> None:
    ledger = FakeLedger()
    told = News(ledger)
    async with waiting(told, "acme", "other") as woken:
        await until(lambda: len(ledger.since) > 2)
        assert woken == set()
        ledger.add("acme")
        await until(lambda: "acme" in woken)
        asked = len(ledger.since)
        await until(lambda: len(ledger.since) > asked + 3)
        assert woken == {"acme"}


async def test_news_that_came_before_the_wait_is_not_lost() -> None:
    told = News(FakeLedger())
    before = await told.times("acme")
    told.tell(["acme"])
    async with asyncio.timeout(5):
        await told.wait("acme", before)
    await told.close()


async def test_a_store_that_is_away_ends_no_watching() -> None:
    ledger = FakeLedger()
    told = News(ledger)
    async with waiting(told, "acme") as woken:
        ledger.down = True
        await until(lambda: len(ledger.since) > 3)
        ledger.down = False
        await until(lambda: ledger.since[-1] == ledger.since[-2])
        asked = len(ledger.since)
        await until(lambda: len(ledger.since) > asked + 1)
        ledger.add("acme")
        await until(lambda: "acme" in woken)


async def test_all_are_read_again_after_a_while_and_when_the_window_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(news, "ASK_EVERY_S", 1000.0)  # but for what is asked here
    told = News(FakeLedger())
    times = await told.times("acme")
    now = datetime.now(UTC)
    async with waiting(told, "acme"):
        await told._ask(now + timedelta(seconds=WINDOW_S / 2))
        assert await told.times("acme") == times
        await told._ask(now + timedelta(seconds=WINDOW_S + BACK_S))
        assert await told.times("acme") > times
    monkeypatch.setattr(news, "AGAIN_S", 0.05)
    told = News(FakeLedger())
    async with asyncio.timeout(5):
        await told.wait("acme", await told.times("acme"))
    await told.close()


def test_what_is_touched_is_what_was_logged_since(ledger: Ledger, book: Any) -> None:
    ledger.write(Log([call(), call(id="c2"), call(id="c3", account_id="other")]).batch(book))
    ((logged_at,),) = ledger.query("SELECT min(logged_at) FROM rated")
    since = logged_at.replace(tzinfo=UTC)
    august = date(2026, 8, 1)
    assert read_touched(ledger, since) == {("acme", august): 2, ("other", august): 1}
    assert read_touched(ledger, since + timedelta(days=1)) == {}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("news") / "store") as filled:
        yield filled


def test_a_stream_is_read_when_its_account_has_news_and_not_else(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = Reads.read_live_statement

    def counted(self: Reads, account: str, month: date | None) -> dict[str, Any]:
        reads.append(account)
        return read(self, account, month)

    monkeypatch.setattr(Reads, "read_live_statement", counted)
    # A call is logged a day after it, so those of yesterday are logged now.
    yesterday = datetime.now(UTC) - timedelta(days=1)
    filled.call(yesterday, account_id="quiet")
    filled.call(yesterday, account_id="busy")
    with Served(filled) as served:
        paths = [f"{served.url}/v1/accounts/{who}/live?month={yesterday:%Y-%m}"
                 for who in ("quiet", "busy")]  # fmt: skip
        with (
            httpx.stream("GET", paths[0], timeout=20) as quiet,
            httpx.stream("GET", paths[1], timeout=20) as busy,
        ):
            next(read_events(quiet.iter_lines()))
            events = read_events(busy.iter_lines())
            for calls in (1, 2, 3, 4):
                told = next(event for event in events if event["event"] == "statement")
                while amount_of_calls(told) < calls:
                    told = next(event for event in events if event["event"] == "statement")
                filled.call(yesterday, account_id="busy")
    assert reads.count("busy") >= 3
    assert reads.count("quiet") <= 3
