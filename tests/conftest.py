"""What tests share: the book, ledgers on both ways to the store, a log of events, the real data."""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from shutil import copytree
from typing import Any, NamedTuple

import orjson
import pytest

import schemas
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.rows.batch import Batch, add_records
from streams.store.ledger import Ledger, open_ledger
from tests import oracle
from tests.support.clickhouse_http import ClickHouseHttp

ROOT = Path(__file__).resolve().parents[1]
MakeLedger = Callable[[], Ledger]
Event = dict[str, Any]

os.environ.pop("COLUMNS", None)  # a console keeps what it finds when it is made

# ------------------------------------------------------------------ no skips where CI says so

NO_SKIPS = "RATER_TEST_NO_SKIPS"
_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get(NO_SKIPS) and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


MEASURED = "measured"  # the property of a test whose value the summary prints


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == MEASURED:
                terminalreporter.write_line(f"{report.nodeid}: {value}")
    if os.environ.get(NO_SKIPS) and _skipped:
        names = ", ".join(_skipped)
        terminalreporter.write_line(
            f"FAILED: {len(_skipped)} skipped, and {NO_SKIPS} allows none: {names}", red=True
        )


# ------------------------------------------------------------------ data and prices


@pytest.fixture(scope="session")
def book() -> Book:
    """The sample tariff."""
    return load_book(schemas.SAMPLE_TARIFF)


@pytest.fixture(scope="session")
def oracle_book() -> oracle.Book:
    """The sample tariff as the oracle reads it."""
    return oracle.load_book(schemas.SAMPLE_TARIFF)


# ------------------------------------------------------------------ ledgers

# chDB opens one folder per process at a time. Closing the last client lets go of it, and the next
# open of another folder takes 0.2 s (3 s for the first), so each test has a folder of its own.


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The folder of a ledger without a row, made once for each folder of migrations.

    To copy one costs a tenth of the migrations.
    """

    @cache
    def made(migrations: Path) -> Path:
        path = tmp_path_factory.mktemp("empty") / "store"
        open_ledger(Settings(clickhouse_url=f"chdb:{path}"), migrate=True).close()
        return path

    return made


@pytest.fixture
def make_ledger(tmp_path: Path, empty_store: Callable[[Path], Path]) -> Iterator[MakeLedger]:
    """Ledgers in this process, fresh ones, one open at a time."""
    opened: list[Ledger] = []

    def make() -> Ledger:
        for ledger in opened:
            ledger.close()
        empty = empty_store(schemas.MIGRATIONS)
        path = copytree(empty, tmp_path / f"store-{len(opened)}", symlinks=True)
        opened.append(open_ledger(Settings(clickhouse_url=f"chdb:{path}"), migrate=True))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(make_ledger: MakeLedger) -> Ledger:
    """A ledger in this process."""
    return make_ledger()


@pytest.fixture(scope="session")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    """ClickHouse's HTTP interface in a child process."""
    with ClickHouseHttp(tmp_path_factory.mktemp("clickhouse-http") / "store") as server:
        yield server


@pytest.fixture
def http_ledger(http_server: ClickHouseHttp) -> Iterator[Ledger]:
    """A ledger over HTTP, as production has it: a database of its own."""
    database = f"rater_{uuid.uuid4().hex[:12]}"
    settings = Settings(clickhouse_url=http_server.url, clickhouse_database=database)
    ledger = open_ledger(settings, migrate=True)
    yield ledger
    ledger.close()


@pytest.fixture(params=["chdb", "http"])
def any_ledger(request: pytest.FixtureRequest) -> Ledger:
    """Each way to the store in its turn."""
    name = {"chdb": "ledger", "http": "http_ledger"}[request.param]
    opened = request.getfixturevalue(name)
    assert isinstance(opened, Ledger)
    return opened


# ------------------------------------------------------------------ events

NEW_YORK, LOS_ANGELES, CHICAGO = "+12125550100", "+13105550100", "+13125550100"


def call(**more: Any) -> Event:
    """An outbound call of 61 seconds, 2 minutes at $0.013."""
    return {
        "kind": "call", "id": "call-1", "account_id": "acme", "direction": "outbound",
        "from": NEW_YORK, "to": LOS_ANGELES, "dialed_at": "2026-08-10T12:00:00Z",
        "answered_at": "2026-08-10T12:00:10Z", "ended_at": "2026-08-10T12:01:01Z",
        "status": "completed",
    } | more  # fmt: skip


def dial(**more: Any) -> Event:
    return call(kind="dial", id="dial-1", campaign_id="campaign-1") | more


def text(**more: Any) -> Event:
    """A text of one segment, $0.0079 and a fee of $0.003."""
    return {
        "kind": "text", "id": "text-1", "account_id": "acme", "direction": "outbound",
        "media": "sms", "from": NEW_YORK, "to": LOS_ANGELES, "sent_at": "2026-08-10T12:00:00Z",
        "status": "sent", "registered": True, "carrier": "AT&T", "sender": "10dlc", "segments": 1,
    } | more  # fmt: skip


def amd(**more: Any) -> Event:
    """A detection on an answered call, $0.01."""
    return {
        "kind": "amd", "id": "amd-1", "account_id": "acme", "call_id": "dial-1",
        "dialed_at": "2026-08-10T12:00:00Z", "answered_at": "2026-08-10T12:00:10Z",
        "verdict": "human",
    } | more  # fmt: skip


def recording(**more: Any) -> Event:
    """A recording of 90 seconds, 2 minutes at $0.001 a month."""
    return {
        "kind": "recording", "id": "recording-1", "account_id": "acme", "recording_id": "R",
        "stored_at": "2026-08-10T12:00:00Z", "duration_s": 90,
    } | more  # fmt: skip


def number(**more: Any) -> Event:
    """A local number, $1 a month."""
    return {
        "kind": "number", "id": "number-1", "account_id": "acme", "number": NEW_YORK,
        "number_type": "local", "acquired_at": "2026-08-10T12:00:00Z",
    } | more  # fmt: skip


def subscription(**more: Any) -> Event:
    """The power dialer, $49 a month."""
    return {
        "kind": "subscription", "id": "subscription-1", "account_id": "acme",
        "subscription_id": "S", "product": "power-dialer", "started_at": "2026-08-10T12:00:00Z",
    } | more  # fmt: skip


def campaign(**more: Any) -> Event:
    return {
        "kind": "campaign", "id": "campaign-1", "account_id": "acme", "campaign_id": "spring",
        "name": "Spring sale", "detection": True, "effective_at": "2026-08-10T12:00:00Z",
    } | more  # fmt: skip


SAMPLES = {
    "call": call, "text": text, "dial": dial, "amd": amd, "recording": recording,
    "number": number, "subscription": subscription, "campaign": campaign,
}  # fmt: skip


class Logged(NamedTuple):
    """A record as a Kafka consumer hands it out."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


LOGGED_MS = 1_793_491_200_000  # 2026-11-01, after every event of the tests


class Log:
    """Events in the order of the broker's clock, each kind's topic one partition."""

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.records: list[tuple[Kind, Logged]] = []
        for event in events:
            self.append(event)

    def append(self, event: Mapping[str, Any]) -> None:
        n = len(self.records)
        kind = KINDS[event["kind"]]
        key = event["account_id"].encode()
        self.events.append(event)
        self.records.append((kind, Logged(n, LOGGED_MS + n, key, orjson.dumps(event))))

    def stretches(self) -> list[list[int]]:
        """The records' places in the log, as the stretches of each topic."""
        by_topic: dict[str, list[int]] = {}
        for place, (kind, _) in enumerate(self.records):
            by_topic.setdefault(kind.topic, []).append(place)
        return list(by_topic.values())

    def batch(self, book: Book, stretches: Iterable[Sequence[int]] | None = None) -> Batch:
        """The batch of some stretches, or of the whole log."""
        batch = Batch()
        for stretch in self.stretches() if stretches is None else stretches:
            kind = self.records[stretch[0]][0]
            records = [self.records[place][1] for place in stretch]
            add_records(batch, kind, kind.topic, 0, records, book)
        return batch


# ------------------------------------------------------------------ a ledger beside the oracle

Rows = dict[tuple[Any, ...], tuple[Any, ...]]

_ROWS = """
SELECT account_id, formatDateTime(month, '%Y-%m'), line, identity, revision,
       direction, billed, unit, billed_seconds, segments,
       charge, tax_federal, tax_state, tax_local
FROM rated_rows WHERE status != 'voided'
"""


def rows_of(ledger: Ledger) -> Rows:
    """What the ledger charges: identity, then units and exact amounts."""
    return {tuple(row[:5]): tuple(row[5:]) for row in ledger.query(_ROWS)}


def rows_by_oracle(expected: oracle.Ledger, accounts: Iterable[str], months: Iterable[str]) -> Rows:
    """The same by the oracle, the monthly lines of these months among them."""
    months = list(months)
    rows = {name: row for name, row in expected.rows.items() if name.month in months}
    for account_id in accounts:
        for month in months:
            rows |= expected.monthly(account_id, month)[0]
    return {
        tuple(name): (
            row.direction or "", row.billed, row.unit, row.billed_seconds, row.segments,
            row.charge, row.tax_federal, row.tax_state, row.tax_local,
        )
        for name, row in rows.items()
    }  # fmt: skip


def assert_rows(rows: Rows, expected: Rows) -> None:
    """Equal, and where not, the few rows that differ: a difference of thousands is unreadable."""
    differ = sorted(
        name for name in rows.keys() | expected.keys() if rows.get(name) != expected.get(name)
    )
    shown = [(name, rows.get(name), expected.get(name)) for name in differ[:5]]
    assert not differ, f"{len(differ)} rows differ (name, ledger, expected): {shown}"


def comparable(statement: Mapping[str, Any]) -> dict[str, Any]:
    """A statement without what an oracle can't know; it adds up, or this fails."""
    assert_adds_up(statement)
    left_out = (
        "as_of",
        "status",
        "products",
        "waiting",
        "events_per_second",
        "freshness",
        "tariffs",
        "remarks",
    )
    return {k: v for k, v in statement.items() if k not in left_out}


def assert_adds_up(statement: Mapping[str, Any]) -> None:
    """Parts add up to their line, differ in what they name, and lines and totals to the total."""
    for line in statement["lines"]:
        parts = line["parts"]
        if parts:
            assert sum(Decimal(part["charge"]) for part in parts) == Decimal(line["charge"]), line
            if "level" not in parts[0]:  # a charge that two levels tax is one charge
                for name in ("amount", "free"):
                    assert sum(part[name] for part in parts) == line[name], line
                assert sum(Decimal(part["quantity"]) for part in parts) == Decimal(line["quantity"])
        apart = [
            (part.get("level"), part.get("media"), part.get("registered"), part.get("direction"))
            for part in parts
        ]
        assert len(apart) == len(set(apart)), line
    exact = sum((Decimal(line["charge"]) for line in statement["lines"]), Decimal(0))
    total = Decimal(statement["total"])
    assert total == exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    assert Decimal(statement["usage_total"]) + Decimal(statement["products_total"]) == total
    products = {product["subscription_id"]: product for product in statement.get("products", [])}
    charged = sum((Decimal(one["charge"]) for one in products.values()), Decimal(0))
    if products:
        assert charged.quantize(Decimal("0.01"), ROUND_HALF_EVEN) == Decimal(
            statement["products_total"]
        )


# ------------------------------------------------------------------ the command line


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def command_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment without settings of ours, for child processes."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RATER_")}
    if env.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Without compiled files each start takes seconds, phonenumbers' tables above all.
        env["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("pycache"))
    return env | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Some variables of the environment for a while; no other of ours is set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("RATER_"):
                patch.delenv(name)
        for name, value in values.items():
            patch.setenv(name, value)
        yield
