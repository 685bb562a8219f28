"""An open stream costs what is new: it is read when its account has news, and seldom else."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from streams.store.errors import StoreErrors
from streams.store.ledger import Ledger
from streams.store.touched import read_touched
from streams.web import live
from streams.web.news import BACK_S, WINDOW_S, News
from streams.web.reads import Reads
from tests.conftest import Log, call
from tests.streams.test_web import Filled, Served, amount_of_calls, filled_ledger, read_events

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


AT = datetime(2026, 11, 28, 12, tzinfo=UTC)


async def test_an_account_with_news_is_told_once_and_no_other() -> None:
    ledger = FakeLedger()
    ledger.add("other")
    told = News(ledger)
    assert await told.ask(AT) is None  # any may have had, before
    assert await told.ask(AT) == frozenset()
    ledger.add("acme")
    assert await told.ask(AT) == frozenset({"acme"})
    assert await told.ask(AT) == frozenset()
    ledger.add("acme")
    ledger.add("other")
    assert await told.ask(AT) == frozenset({"acme", "other"})


async def test_no_news_is_lost_by_a_store_that_was_away() -> None:
    ledger = FakeLedger()
    told = News(ledger)
    await told.ask(AT)
    ledger.down = True
    ledger.add("acme")
    with pytest.raises(StoreErrors):
        await told.ask(AT)
    ledger.down = False
    assert await told.ask(AT) == frozenset({"acme"})


async def test_rows_are_counted_from_an_instant_that_stays_a_while_and_any_may_have_news_then() -> (
    None
):
    ledger = FakeLedger()
    told = News(ledger)
    await told.ask(AT)
    assert await told.ask(AT + timedelta(seconds=WINDOW_S)) == frozenset()
    assert await told.ask(AT + timedelta(seconds=WINDOW_S + 1)) is None
    assert ledger.since == [AT - timedelta(seconds=BACK_S)] * 2 + [
        AT + timedelta(seconds=WINDOW_S + 1 - BACK_S)
    ]


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
    read = Reads.read_live_statements

    def counted(self: Reads, asked: Any) -> Any:
        reads.extend(account for account, _ in asked)
        return read(self, asked)

    monkeypatch.setattr(Reads, "read_live_statements", counted)
    monkeypatch.setattr(live, "AGAIN_S", 1000.0)
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
