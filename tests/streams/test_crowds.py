"""Attacks by numbers, over real HTTP: half-open connections, live streams, an account that asks."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from streams.web import connections, forms, live
from streams.web.live import Live, TooManyStreamsError
from streams.web.reads import OF_ONE_ACCOUNT_WAITING, BusyError, Reads
from tests.streams.test_web import FakeReads, Filled, Served, filled_ledger, watching

USAGE = "/v1/accounts/acme/usage?month=2026-01"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("crowds") / "store") as filled:
        yield filled


def is_closed(one: socket.socket) -> bool:
    """Whether the server has closed it; waits a moment for its word."""
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def connect(served: Served, source: str, sends: bytes) -> socket.socket:
    port = int(served.url.rpartition(":")[2])
    one = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
    one.settimeout(0.02)
    with contextlib.suppress(OSError):  # closed already
        one.sendall(sends)
    return one


def test_400_half_open_connections_leave_the_page_open_and_are_closed(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 1.5)
    with Served(filled) as served:
        crowd = [connect(served, "127.0.0.2", b"GET / HTTP/1.1\r\nX-") for _ in range(400)]
        try:
            assert served.get(USAGE).status_code == 200
            time.sleep(0.2)
            left = [one for one in crowd if not is_closed(one)]
            assert len(left) <= connections.OF_ONE_ADDRESS_MOST
            for one in left:  # a byte now and then buys no time
                one.send(b"a")
            time.sleep(1.8)
            assert all(is_closed(one) for one in left)
        finally:
            for one in crowd:
                one.close()
        assert served.get(USAGE).status_code == 200


def test_a_form_that_trickles_in_is_given_up(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "FORM_S", 0.3)
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ntoken="
    with Served(filled) as served, connect(served, "127.0.0.1", head) as one:
        one.settimeout(5)
        assert one.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_request_that_takes_long_is_not_cut_off(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.2)

    async def slow(*_: Any) -> dict[str, Any]:
        await asyncio.sleep(0.7)
        return {}

    monkeypatch.setattr(Reads, "statement", slow)
    with Served(filled) as served:
        assert served.get(USAGE).json() == {}


# ------------------------------------------------------------------ live streams


async def test_an_account_has_so_many_streams_and_another_its_own() -> None:
    streams, reads = Live(), FakeReads()
    async with watching(streams, reads, live.STREAMS_MOST):
        with pytest.raises(TooManyStreamsError, match="100 live streams"):
            streams.response(reads.watched())
        streams.response(reads.watched("other"))
    streams.response(reads.watched())  # the others have left
    for month in range(1, live.WATCHED_MOST):
        streams.response(reads.watched("acme", date(2026, month, 1)))
    with pytest.raises(TooManyStreamsError, match="8 pages or months"):
        streams.response(reads.watched("acme", date(2026, 12, 1)))
    await streams.close()


def test_a_stream_too_many_is_a_429_with_the_reason(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STREAMS_MOST", 0)
    with Served(filled) as served:
        answer = served.get("/v1/accounts/acme/live?month=2026-01")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"] == "this account has 0 live streams already"


# ------------------------------------------------------------------ fair turns


async def test_an_account_that_asks_without_end_holds_up_no_other(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four threads are the most that one account has, and its queue has an end."""
    opened = threading.Event()
    done: list[str] = []

    def months(_: object, account: str) -> list[date]:
        if account == "acme":
            opened.wait(10)
        done.append(account)
        return []

    monkeypatch.setattr("streams.store.statements.read_months", months)
    asked = Reads(filled.ledger, lambda: filled.book)
    flood = [asyncio.create_task(asked.months("acme")) for _ in range(OF_ONE_ACCOUNT_WAITING + 2)]
    await asyncio.sleep(0.05)
    with pytest.raises(BusyError):
        await asked.months("acme")
    async with asyncio.timeout(5):
        await asked.months("other")
    assert done == ["other"]
    opened.set()
    await asyncio.gather(*flood)
    assert asked._turns == {}
