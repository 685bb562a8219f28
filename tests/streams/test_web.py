"""The web over a real ledger, really served: JSON, streams, files, tokens, health, metrics."""

import asyncio
import csv
import io
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from markupsafe import escape
from prometheus_client import REGISTRY, Counter
from starlette.responses import PlainTextResponse
from starlette.types import Message

from rater.instants import to_us
from rater.kinds import KINDS
from rater.months import month_of
from rater.statement import FORMS
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings, load_settings
from streams.formats.registry import EXPORTERS
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, add_records
from streams.store.ledger import Ledger, open_ledger
from streams.web.app import create_app
from streams.web.export import attachment
from streams.web.health import Health, StoreHealth
from streams.web.hosts import Hosts
from streams.web.live import EventStream, Live
from streams.web.operators import Operators
from streams.web.ops import create_ops_app
from streams.web.reads import StoreDownError
from streams.web.serve import PortTakenError, WebServer
from streams.web.tokens import TokensError, create_token, load_tokens
from streams.web.v1 import watched_statement
from streams.web.watched import Watched
from tests.support.workers import until

MONTH = "2026-01"
USAGE = "/v1/accounts/acme/usage?month=" + MONTH


LOGGED_AFTER_MS = 86_400_000  # a call is told when it is over, so within a day


class Filled:
    """A ledger in a folder, and a way to put events into it."""

    def __init__(self, path: Path) -> None:
        self.settings = load_settings(clickhouse_url=f"chdb:{path}", web_port=0)
        self.ledger = open_ledger(self.settings, migrate=True)
        self.book = load_book(self.settings.tariff)
        self._offset = 0

    def put(self, kind: str, at: datetime, **fields: Any) -> None:
        """One event of an account; `at` is its own time and the log's."""
        self._offset += 1
        event = {"id": f"e{self._offset}", "account_id": "acme"} | fields
        record = SimpleNamespace(
            offset=self._offset,
            timestamp=int(at.timestamp() * 1000) + LOGGED_AFTER_MS,
            key=event["account_id"].encode(),
            value=json.dumps(event).encode(),
            headers=(),
        )
        batch = Batch()
        add_records(batch, KINDS[kind], KINDS[kind].topic, 0, [record], self.book)
        assert not batch.rejected, batch.rejected
        assert bool(batch.parked) is bool(event.get("revision")), batch.parked
        self.ledger.write(batch)

    def call(self, at: datetime, seconds: int = 65, **fields: Any) -> None:
        parties = {"from": "+14155550100", "to": "+12125550101", "direction": "outbound"}
        ended = (at + timedelta(seconds=seconds)).isoformat()
        times = {"dialed_at": at.isoformat(), "answered_at": at.isoformat(), "ended_at": ended}
        self.put("call", at, status="completed", **parties, **times, **fields)

    def park(self, at: datetime, **fields: Any) -> None:
        """A call that corrects another, which waits."""
        self.call(at, revision=1, **fields)

    def text(self, at: datetime, **fields: Any) -> None:
        parties = {"from": "+14155550100", "to": "+12125550101", "direction": "outbound"}
        told = {"sent_at": at.isoformat(), "status": "sent", "carrier": "AT&T"}
        what = {"media": "sms", "registered": True, "segments": 2}
        self.put("text", at, **(parties | told | what | fields))

    def fill(self) -> None:
        """January 2026 of the account acme, with something on most lines."""
        at = datetime(2026, 1, 15, 10, tzinfo=UTC)
        self.call(at, id="call-1")
        self.call(at, seconds=20, id="call/2", media="video")
        self.text(at, id="text-1")
        self.text(at, id="text-2", media="mms", registered=False)
        acquired = "2026-01-01T12:00:00Z"
        number = {"number": "+14155550100", "number_type": "local", "acquired_at": acquired}
        self.put("number", at, **number)
        product = {"subscription_id": "sub-1", "product": "power-dialer", "started_at": acquired}
        self.put("subscription", at, **product)
        make_months(self.ledger, self.book, [date(2026, 1, 1)], as_of=datetime.now(UTC))


@contextmanager
def filled_ledger(path: Path) -> Iterator[Filled]:
    """One process opens one embedded store at a time, so it is closed at the end."""
    filled = Filled(path)
    try:
        filled.fill()
        yield filled
    finally:
        filled.ledger.close()


class Served:
    """The page's app, or the operators', on a free port and a loop of its own in a thread."""

    def __init__(
        self,
        filled: Filled,
        settings: Settings | None = None,
        port: int = 0,
        ops: Health | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        if ops is not None:
            operators = Operators(filled.ledger, settings or filled.settings)
            app_of_ops = create_ops_app(ops, settings or filled.settings, operators)
            server = WebServer(app_of_ops, "127.0.0.1", port)
        else:
            app = create_app(filled.ledger, lambda: filled.book, settings or filled.settings)
            server = WebServer(
                app,
                "127.0.0.1",
                port,
                trusted_proxies=trusted_proxies,
                before_stop=app.state.live.close,
            )
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served app")
        self.url = ""

    def __enter__(self) -> "Served":
        self._thread.start()
        self._run(self._server.start())
        self.url = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        self._run(self._server.stop())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, **options)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("web") / "store") as filled:
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


@pytest.fixture(scope="module")
def ops(filled: Filled) -> Iterator[Served]:
    with Served(filled, ops=StoreHealth(filled.ledger)) as ops:
        yield ops


# ------------------------------------------------------------------ statements


def test_usage_is_the_statement_with_its_products(served: Served) -> None:
    statement = served.get(USAGE).json()
    lines = [(line["line"], line.get("direction", "")) for line in statement["lines"]]
    assert lines == [(form.line, form.direction) for form in FORMS]
    charges = {
        (line["line"], line.get("direction", "")): (line["quantity"], line["charge"])
        for line in statement["lines"]
        if line["amount"] and line["line"] not in ("taxes", "carrier_fees")
    }
    assert charges == {
        # line             direction      quantity  charge
        ("phone_numbers", ""): ("1", "1"),
        ("calls", "outbound"): ("2", "0.026"),
        ("video_calls", "outbound"): ("1", "0.015"),
        ("texts", "outbound"): ("2", charge_of(statement, "texts", "outbound")),
        ("subscriptions", ""): ("1", "49"),
    }
    assert statement["account_id"] == "acme"
    assert (statement["month"], statement["zone"]) == (MONTH, "America/New_York")
    assert (statement["status"], statement["currency"]) == ("estimate", "USD")
    exact = sum((Decimal(line["charge"]) for line in statement["lines"]), Decimal())
    assert Decimal(statement["total"]) == exact.quantize(Decimal("0.01"))
    assert Decimal(statement["usage_total"]) + Decimal(
        statement["products_total"]
    ) == exact.quantize(Decimal("0.01"))
    assert statement["products_total"] == "49.00"
    assert statement["products"] == [
        {
            "product": "power-dialer",
            "subscription_id": "sub-1",
            "charge": "49",
            "since": "2026-01-01",
            "next_billing": "2026-02-01",
        }
    ]


def charge_of(statement: dict[str, Any], name: str, direction: str) -> str:
    return next(
        str(line["charge"])
        for line in statement["lines"]
        if (line["line"], line.get("direction")) == (name, direction)
    )


def test_without_a_month_it_is_the_accounts_current_one(served: Served, filled: Filled) -> None:
    zone = filled.book.account("acme", to_us(datetime.now(UTC))).zone
    before = month_of(to_us(datetime.now(UTC)), zone)
    month = served.get("/v1/accounts/acme/usage").json()["month"]
    after = month_of(to_us(datetime.now(UTC)), zone)
    assert month in (f"{before:%Y-%m}", f"{after:%Y-%m}")


def test_months_are_told_newest_first(served: Served, filled: Filled) -> None:
    filled.call(datetime(2026, 2, 3, 10, tzinfo=UTC), account_id="two-months")
    filled.call(datetime(2025, 12, 3, 10, tzinfo=UTC), account_id="two-months")
    body = served.get("/v1/accounts/two-months/usage/months").json()
    assert body == {"account_id": "two-months", "months": ["2026-02", "2025-12"]}


ODD = ["nobody", "a b", "a'b", "a\\b", "a\tb", "a\nb", "{x:String}", "ä€", "a%2Fb", "<b>"]


@pytest.mark.parametrize("account", ODD)
@pytest.mark.parametrize("what", ["usage", "usage.csv", "usage.json", "live"])
def test_an_account_that_never_was_has_no_bill(served: Served, account: str, what: str) -> None:
    response = served.get(f"/v1/accounts/{quote(account, safe='')}/{what}")
    assert response.status_code == 404, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["title"]) == (404, "Not Found")
    assert problem["detail"] == (
        f"no account {account!r}: it has no usage, and the price book does not name it"
    )


WHETHER = [
    # account      month       | status, and what is said
    ("acme",       "2026-01",    200, ""),
    ("acme",       "2026-02",    200, ""),  # nothing used, and a month of the account all the same
    ("acme",       None,         200, ""),
    ("acme",       "2024-12",    404, "account 'acme' has no usage in 2024-12; its first is"),
    ("acme",       "2148-01",    404, "2148-01 has not begun for account 'acme'"),
    ("unused",     "2026-01",    404, "account 'unused' has no usage in 2026-01; it has none yet"),
    ("unused",     None,         200, ""),  # the book names it
    ("default",    None,         404, "no account 'default'"),
]  # fmt: skip


@pytest.mark.parametrize(("account", "month", "status", "says"), WHETHER)
def test_a_month_that_never_was_is_no_bill(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, account: str, month: str | None,
    status: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.setitem(filled.book.accounts, "unused", filled.book.accounts["default"])
    query = f"?month={month}" if month else ""
    with Served(filled) as served:
        answer = served.get(f"/v1/accounts/{account}/usage{query}")
        page = served.get(f"/accounts/{account}{query}", headers={"Accept": "text/html"})
    assert (answer.status_code, page.status_code) == (status, status)
    assert says in answer.text
    assert escape(says[1:]) in page.text


@pytest.mark.parametrize(
    ("month", "says"),
    [
        ("2026-13", "is not YYYY-MM"),
        ("2026-1", "is not YYYY-MM"),
        ("january", "is not YYYY-MM"),
        ("2026-01-01", "is not YYYY-MM"),
        ("٢٠٢٦-01", "is not YYYY-MM"),
        ("1066-01", "is not in the years 1970 to 2148"),
        ("9999-12", "is not in the years 1970 to 2148"),
    ],
)
@pytest.mark.parametrize("path", ["usage", "usage.csv", "live"])
def test_a_wrong_month_is_refused_with_a_message(
    served: Served, path: str, month: str, says: str
) -> None:
    response = served.get(f"/v1/accounts/acme/{path}", params={"month": month})
    assert response.status_code == 422
    assert says in response.json()["detail"]


# ------------------------------------------------------------------ files and explanations


def test_csv_and_json_files_equal_the_statement(served: Served) -> None:
    statement = served.get(USAGE).json()
    as_json = served.get(f"/v1/accounts/acme/usage.json?month={MONTH}")
    as_csv = served.get(f"/v1/accounts/acme/usage.csv?month={MONTH}")
    for response, extension in ((as_json, "json"), (as_csv, "csv")):
        assert response.headers["content-disposition"] == (
            f'attachment; filename="usage-acme-{MONTH}.{extension}"'
        )
    assert as_json.json() | {"as_of": ""} == statement | {"as_of": ""}
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    *rows, usage, products, total = csv.DictReader(io.StringIO(as_csv.text))
    shown = [
        row
        for line in statement["lines"]
        for row in (line, *({"line": line["line"]} | part for part in line["parts"]))
    ]
    for row, line in zip(rows, shown, strict=True):
        told = {name: as_cell(value) for name, value in line.items() if name != "parts"}
        assert {name: row[name] for name in told} == told
        assert row["row"] == ("line" if "parts" in line else "part")
        assert (row["account_id"], row["month"], row["currency"]) == ("acme", MONTH, "USD")
    for row, name in ((usage, "usage_total"), (products, "products_total"), (total, "total")):
        assert (row["row"], row["line"], row["charge"]) == ("total", name, statement[name])
    by_line: dict[str, Decimal] = {}
    for row in rows:
        if row["row"] == "part":
            by_line[row["line"]] = by_line.get(row["line"], Decimal(0)) + Decimal(row["charge"])
    assert by_line.keys() == {"carrier_fees", "taxes"}
    for name, charge in by_line.items():
        assert {Decimal(r["charge"]) for r in rows if (r["row"], r["line"]) == ("line", name)} == {
            charge
        }


def as_cell(value: Any) -> str:
    """A value of the statement as the CSV has it."""
    if isinstance(value, list):
        return "; ".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_a_files_name_is_safe_for_any_account() -> None:
    header = attachment('usage-a"\r\nb-2026-01.csv')
    assert header["Content-Disposition"] == 'attachment; filename="usage-a___b-2026-01.csv"'


def test_an_event_is_explained_row_by_row(served: Served) -> None:
    body = served.get("/v1/accounts/acme/events/text-1/explain").json()
    assert [row["line"] for row in body["rows"]] == ["carrier_fees", "texts"]
    assert body["rows"][1]["unit_price"] == "0.0079"
    assert body["rows"][1]["tariff"] == "standard"
    with_a_slash = served.get("/v1/accounts/acme/events/call%2F2/explain").json()
    assert [row["raw_seconds"] for row in with_a_slash["rows"]] == [20]


ODD_IDS = ["a/b", "a/usage", "a/events/b/explain", "a%2Fb", "a\nb", "a\n", "a b", "..x", "é"]


@pytest.mark.parametrize("name", ODD_IDS)
def test_any_account_and_event_can_be_read(served: Served, filled: Filled, name: str) -> None:
    filled.call(datetime(2026, 1, 15, 10, tzinfo=UTC), account_id=name, id=name)
    part = quote(name, safe="")
    body = served.get(f"/v1/accounts/{part}/events/{part}/explain").json()
    assert (body["account_id"], body["event_id"], len(body["rows"])) == (name, name, 1)
    usage = served.get(f"/v1/accounts/{part}/usage?month={MONTH}").json()
    assert usage["account_id"] == name
    page = served.get(f"/accounts/{part}?month={MONTH}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert f"Account <b>{escape(name)}</b>" in page.text


@pytest.mark.parametrize("account", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_of_a_csv_file_is_a_formula(served: Served, filled: Filled, account: str) -> None:
    filled.call(datetime(2026, 1, 15, 10, tzinfo=UTC), account_id=account)
    text = served.get(f"/v1/accounts/{quote(account, safe='')}/usage.csv?month={MONTH}").text
    assert {row["account_id"] for row in csv.DictReader(io.StringIO(text))} == {"'" + account}


@pytest.mark.parametrize("path", ["acme/events/no-such", "other/events/text-1"])
def test_an_unknown_event_is_a_404_that_says_so(served: Served, path: str) -> None:
    response = served.get(f"/v1/accounts/{path}/explain")
    assert response.status_code == 404
    assert "of this account is known" in response.json()["detail"]


# ------------------------------------------------------------------ live


def test_a_stream_tells_the_statement_at_once_and_again_after_a_write(
    served: Served, filled: Filled
) -> None:
    account, month = "live-account", "2026-03"
    path = f"/v1/accounts/{account}/live?month={month}"
    filled.call(datetime(2026, 3, 2, 10, tzinfo=UTC), account_id=account, seconds=1)
    with httpx.stream("GET", served.url + path, timeout=20) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = read_events(response.iter_lines())
        first = next(events)
        filled.call(datetime(2026, 3, 3, 10, tzinfo=UTC), account_id=account, seconds=61)
        second = next(
            event
            for event in events
            if event["event"] == "statement" and amount_of_calls(event) == 2
        )
    assert first["event"] == "statement"
    assert int(second["id"]) > int(first["id"])
    plain = served.get(f"/v1/accounts/{account}/usage?month={month}").json()
    told = json.loads(second["data"])
    assert told.pop("events_per_second") == 0  # they were logged in March
    assert told | {"as_of": ""} == plain | {"as_of": ""}
    assert told["freshness"] == {"state": "over"}


def read_events(stream: Iterator[str]) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    for line in stream:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            if "data" in event:
                yield event
            event = {}


def amount_of_calls(event: dict[str, str]) -> int:
    told = json.loads(event["data"])["lines"]
    return sum(int(line["amount"]) for line in told if line["line"] == "calls")


def test_a_server_with_open_streams_stops_at_once(filled: Filled) -> None:
    with Served(filled) as served:
        path = served.url + f"/v1/accounts/acme/live?month={MONTH}"
        with httpx.stream("GET", path, timeout=20) as one, httpx.stream("GET", path) as two:
            streams = one.iter_lines(), two.iter_lines()
            for stream in streams:
                next(read_events(stream))
            started = time.monotonic()
            served.stop()
            assert time.monotonic() - started < 2
            for stream in streams:
                list(stream)  # ends, and raises nothing


class FakeReads:
    """A store in memory: counts how often it is read, and can be down."""

    def __init__(self) -> None:
        self.reads = 0
        self.total = "0.00"
        self.down = False

    async def read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.down:
            raise StoreDownError("the store does not answer")
        as_of = str(self.reads)
        return [
            {"account_id": one.account, "total": self.total, "as_of": as_of} for one, _ in watched
        ]

    def watched(self, account: str = "acme", month: date | None = None) -> Watched[dict[str, Any]]:
        return watched_statement(self, account, month)


@asynccontextmanager
async def watching(live: Live, reads: FakeReads, count: int = 1) -> AsyncIterator[list[list[str]]]:
    """What some viewers of one statement were told so far, as text, event by event."""
    told: list[list[str]] = [[] for _ in range(count)]
    left = asyncio.Event()

    async def view(stream: EventStream, texts: list[str]) -> None:
        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if text := message.get("body", b"").decode():
                texts.append(text)

        await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)

    views = [asyncio.create_task(view(live.response(reads.watched()), texts)) for texts in told]
    try:
        yield told
    finally:
        left.set()
        await asyncio.gather(*views)


def last(texts: list[str]) -> str:
    return texts[-1] if texts else ""


async def test_a_hundred_viewers_cost_one_read_a_tick() -> None:
    reads = FakeReads()
    live = Live()
    async with watching(live, reads, 100) as told:
        await asyncio.sleep(1.2)
        assert reads.reads <= 4
        assert all(len(texts) == 2 for texts in told)  # `retry`, and the one statement
        reads.total = "1.00"
        await until(lambda: all("1.00" in last(texts) for texts in told))
    await asyncio.sleep(0.6)
    done = reads.reads
    await asyncio.sleep(0.6)
    assert reads.reads == done, "nobody watches, and it is still read"
    await live.close()


async def test_a_viewer_is_told_at_most_twice_a_second() -> None:
    reads = FakeReads()
    live = Live()
    async with watching(live, reads) as (texts,):
        for cents in range(120):
            reads.total = f"0.{cents:03d}"
            await asyncio.sleep(0.01)
        assert 2 <= sum("event: statement" in text for text in texts) <= 4
    await live.close()


async def test_a_quiet_stream_has_heartbeats_that_tell_when_it_was_looked_at() -> None:
    live = Live(heartbeat_s=0.7)
    async with watching(live, FakeReads()) as (texts,):
        await until(lambda: len(texts) >= 3)
        assert texts[2].startswith(": heartbeat\n\nevent: heartbeat\ndata: ")
        assert int(json.loads(texts[2].split("data: ")[1])["as_of"]) > 1
    await live.close()


async def test_a_store_that_is_down_makes_the_stream_stale_and_then_live_again() -> None:
    reads = FakeReads()
    live = Live(heartbeat_s=0.6)
    async with watching(live, reads) as (texts,):
        await until(lambda: "event: statement" in last(texts))
        reads.down = True
        await until(lambda: "event: stale" in last(texts))
        assert json.loads(texts[-1].split("data: ")[1])["reason"] == "the store does not answer"
        await until(lambda: last(texts) == ": heartbeat\n\n")
        reads.down = False
        await until(lambda: "event: statement" in last(texts))
    await live.close()


async def test_ids_rise_over_a_restart() -> None:
    ids = []
    for _ in range(2):
        live = Live()
        async with watching(live, FakeReads()) as (texts,):
            await until(lambda texts=texts: len(texts) > 1)  # type: ignore[misc]
            ids.append(int(texts[1].split("id: ")[1].split("\n")[0]))
        await live.close()
        await asyncio.sleep(0.01)
    assert ids[0] < ids[1]


async def test_a_broken_read_ends_the_streams_instead_of_leaving_them_silent() -> None:
    class Broken(FakeReads):
        async def read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
            raise KeyError("as_of")

    stream = Live().response(Broken().watched())
    with pytest.raises(KeyError):
        async for _ in stream.body_iterator:
            pass


# ------------------------------------------------------------------ tokens


TOKENS: dict[str, str] = {}  # of each account, once `guarded` has made them


@pytest.fixture(scope="module")
def guarded(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    for account in ("acme", "other", "*"):
        TOKENS[account] = create_token(path, account.replace("*", "all"), account)
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as served:
        yield served


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/acme/usage", "/v1/accounts/acme/usage/months", "/v1/accounts/acme/usage.csv",
        "/v1/accounts/acme/usage.json", "/v1/accounts/acme/events/text-1/explain",
        "/v1/accounts/acme/live?month=2026-13", "/accounts/acme", "/",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("token", "status"),
    [("", 401), ("other", 403), ("acme", 200), ("*", 200)],
)  # fmt: skip
def test_a_token_opens_its_own_account(guarded: Served, path: str, token: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
    response = guarded.get(path, headers=headers)
    if path == "/" and status != 401:
        own = {"other": "other"}.get(token, "acme")
        assert (response.status_code, response.headers["location"]) == (303, f"/accounts/{own}")
        return
    if path.endswith("13") and status == 200:
        status = 422  # let in, and the month is wrong
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["detail"] == "a token is needed"
        assert response.headers["content-type"] == "application/problem+json"


def test_signing_in_begins_a_session_that_is_not_the_token(guarded: Served) -> None:
    with httpx.Client(base_url=guarded.url, headers={"Accept": "text/html"}) as browser:
        refused = browser.get(f"/accounts/acme?month={MONTH}")
        assert refused.status_code == 401
        assert f'name="next" value="/accounts/acme?month={MONTH}"' in refused.text
        wrong = browser.post("/login", data={"token": "wrong", "next": "/accounts/acme"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        signed = browser.post("/login", data={"token": TOKENS["acme"], "next": "/accounts/acme"})
        assert (signed.status_code, signed.headers["location"]) == (303, "/accounts/acme")
        cookie = signed.headers["set-cookie"].lower()
        assert TOKENS["acme"].lower() not in cookie
        assert "max-age=43200" in cookie
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/accounts/acme").status_code == 200
        assert browser.get("/v1/accounts/acme/usage").status_code == 200
        assert browser.get("/accounts/other").status_code == 403
        copied = dict(browser.cookies)
        browser.post("/logout")
        assert browser.get("/accounts/acme").status_code == 401
    assert guarded.get("/accounts/acme", cookies=copied).status_code == 401


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/login", ""])
def test_signing_in_leads_to_no_other_site(guarded: Served, target: str) -> None:
    form = {"token": TOKENS["acme"], "next": target}
    response = httpx.post(guarded.url + "/login", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_a_form_that_is_too_large_is_refused(guarded: Served) -> None:
    response = httpx.post(guarded.url + "/login", data={"token": "x" * 10_000})
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("tokens", "is not TOML"),
        ("[other]\na = 'b'", "no tokens"),
        ("[tokens]\n", "no tokens"),
        ("[tokens]\nsecret-token = 'acme'", "token 1 is not hashed"),
        ("[tokens.'secret-token b']\n", "the name of token 1"),
        ("[tokens.a]\nsha256 = ''", "token a names no account"),
        ("[tokens.a]\naccount = 1", "token a names no account"),
        ("[tokens.a]\naccount = 'acme'\nsha256 = 'secret-token'", "token a has no sha256"),
    ],
)
def test_a_wrong_file_of_tokens_is_one_clear_line(
    tmp_path: Path, text: str | None, says: str
) -> None:
    path = tmp_path / "tokens.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TokensError, match=str(path)) as raised:
        load_tokens(path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret-token" not in str(raised.value)


PATHS = [
    USAGE, "/accounts/acme", "/", "/login", "/openapi.json", "/static/live.js", "/nowhere",
]  # fmt: skip
OF_OPERATORS = ["/metrics", "/livez", "/healthz", "/readyz"]


def test_no_route_of_any_door_answers_to_a_foreign_name(
    served: Served, guarded: Served, ops: Served
) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "10.1.2.3", "[::", ""):
        for door, paths in ((served, PATHS), (guarded, PATHS), (ops, OF_OPERATORS)):
            for path in paths:
                assert door.get(path, headers={"Host": host}).status_code == 421, (host, path)
    for host in ("localhost:1", "127.0.0.1", "[::1]:6066"):
        assert served.get(USAGE, headers={"Host": host}).status_code == 200


# listens on     RATER_HOSTS        the host asked for   | served
HOSTS = [
    ("0.0.0.0",   [],                "10.1.2.3:6066",      True),
    ("0.0.0.0",   [],                "localhost",          True),
    ("0.0.0.0",   [],                "rater.example",      False),
    ("0.0.0.0",   ["Rater.example"], "rater.EXAMPLE:443",  True),
    ("0.0.0.0",   ["rater.example"], "a.rater.example",    False),
    ("127.0.0.1", ["rater.example"], "rater.example",      True),
    ("127.0.0.1", ["rater.example"], "10.1.2.3",           False),
]  # fmt: skip


@pytest.mark.parametrize(("listens_on", "names", "host", "known"), HOSTS)
async def test_a_door_is_known_by_addresses_where_it_is_open_and_by_names_that_were_told(
    listens_on: str, names: list[str], host: str, known: bool
) -> None:
    door = Hosts(PlainTextResponse("in"), listens_on, names)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door)) as client:
        answer = await client.get("http://x/", headers={"Host": host})
    assert answer.status_code == (200 if known else 421)


# ------------------------------------------------------------------ health, metrics, headers


class Ill:
    def alive(self) -> str | None:
        return "lag 12 without progress for 61 s"

    def ready(self) -> str | None:
        return "no partitions assigned"


def test_health_is_200_when_well_and_503_with_the_reason(ops: Served, filled: Filled) -> None:
    for path in ("/livez", "/healthz", "/readyz"):
        response = ops.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})
    with Served(filled, ops=Ill()) as ill:
        answers = {path: ill.get(path) for path in ("/healthz", "/readyz")}
        assert ill.get("/livez").status_code == 200
    assert {path: answer.status_code for path, answer in answers.items()} == {
        "/healthz": 503,
        "/readyz": 503,
    }
    assert answers["/healthz"].json() == {"status": "lag 12 without progress for 61 s"}
    assert answers["/readyz"].json() == {"status": "no partitions assigned"}


def test_each_door_has_its_own_routes_and_nothing_of_the_other(served: Served, ops: Served) -> None:
    of_operators = ("/livez", "/healthz", "/readyz", "/metrics", "/ops")
    of_readers = (USAGE, "/accounts/acme", "/accounts", "/openapi.json", "/login")
    for paths, door, other in ((of_operators, ops, served), (of_readers, served, ops)):
        for path in paths:
            assert (door.get(path).status_code, other.get(path).status_code) == (200, 404), path


def test_a_store_that_is_down_is_a_503_that_says_so(
    served: Served, ops: Served, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise OSError("connection refused by 10.0.0.7")

    monkeypatch.setattr(Ledger, "query", down)
    assert ops.get("/readyz").json() == {"status": "the store does not answer"}
    response = served.get(USAGE)
    assert response.status_code == 503
    assert response.json()["detail"] == "the store does not answer; try again in a moment"
    page = served.get("/accounts/acme", headers={"Accept": "text/html"})
    assert page.status_code == 503
    assert "The store does not answer" in page.text
    assert "10.0.0.7" not in page.text


def test_metrics_are_those_of_the_process(ops: Served) -> None:
    counter = Counter("rater_web_test", "Only here.")
    counter.inc()
    response = ops.get("/metrics")
    REGISTRY.unregister(counter)
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert "rater_web_test_total 1.0" in response.text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_of_the_metrics(ops: Served) -> None:
    text = ops.get("/metrics").content
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


@pytest.mark.parametrize("path", [USAGE, "/accounts/acme", "/nowhere", "/login"])
def test_every_answer_carries_the_security_headers(served: Served, path: str) -> None:
    headers = served.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_the_api_describes_itself_and_shows_no_docs(served: Served) -> None:
    paths = served.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/accounts/{account}/usage",
        "/v1/accounts/{account}/usage/months",
        *(
            f"/v1/accounts/{{account}}/{what}.{e}"
            for what in ("usage", "events")
            for e in EXPORTERS
        ),
        "/v1/accounts/{account}/events",
        "/v1/accounts/{account}/events/{event_id}/explain",
        "/v1/accounts/{account}/live",
        "/v1/accounts/{account}/budgets",
        "/v1/accounts/{account}/budgets/{name}",
        "/v1/accounts/{account}/quote",
    }
    assert served.get("/docs").status_code == 404


# ------------------------------------------------------------------ serving


async def test_a_taken_port_is_one_clear_line(filled: Filled) -> None:
    def book() -> Book:
        return filled.book

    app = create_app(filled.ledger, book, filled.settings)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(app, "127.0.0.1", port)
        with pytest.raises(PortTakenError) as raised:
            await server.start()
        await server.stop()  # nothing to do, and no error
    assert str(raised.value).startswith(f"127.0.0.1:{port} is taken by another process")


async def test_a_server_starts_again_on_its_port(filled: Filled) -> None:
    app = create_app(filled.ledger, lambda: filled.book, filled.settings)
    first = WebServer(app, "127.0.0.1", 0)
    await first.start()
    port = int(first.url.rpartition(":")[2])
    await first.stop()
    second = WebServer(app, "127.0.0.1", port)
    await second.start()
    async with httpx.AsyncClient() as client:
        assert (await client.get(second.url + "/login")).status_code == 200
    await second.stop()
