"""The HTTP front over chDB, driven by the client that production uses."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from tests.support.clickhouse_http import ClickHouseHttp

ROOT = Path(__file__).parents[2]
RATED = """
create table rater.rated (
    account LowCardinality(String), id String, version UInt128, charge Decimal(18, 9),
    at DateTime64(6, 'UTC')
) engine = ReplacingMergeTree(version) partition by toYYYYMM(at) order by (account, id)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with ClickHouseHttp(tmp_path_factory.mktemp("clickhouse") / "store") as http:
        yield http


@pytest.fixture
def client(server: ClickHouseHttp) -> Iterator[Client]:
    with connect(server) as opened:
        opened.command("create database if not exists rater")
        yield opened


def connect(server: ClickHouseHttp, *, compress: str | bool = True) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1",
        port=server.port,
        username="rater",
        password="any",
        compress=compress,
        tz_mode="aware",
        autogenerate_session_id=False,
    )


def new_table(client: Client, name: str) -> str:
    client.command(
        f"create or replace table {name} (a String, n Int64) engine=MergeTree order by n"
    )
    return name


def test_a_client_connects_and_knows_the_engine(client: Client) -> None:
    assert client.ping()
    assert client.server_version == client.command("select version()")


def test_a_command_without_a_result_set_returns_none(client: Client) -> None:
    table = new_table(client, "rater.commands")
    assert client.command(f"select n from {table}") == ""
    assert client.command(f"exists table {table}") == 1


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_rows_arrive_in_every_compression(server: ClickHouseHttp, compress: str | bool) -> None:
    with connect(server, compress=compress) as client:
        table = new_table(client, "compressed")
        rows = [[f"row {n}", n] for n in range(20_000)]
        written = client.insert(table, rows, column_names=["a", "n"])
        assert written.written_rows == 20_000
        assert client.query(f"select a, n from {table} order by n").result_rows[-1] == (
            "row 19999",
            19_999,
        )


def test_rows_that_look_like_sql_stay_data(client: Client) -> None:
    table = new_table(client, "rater.lookalikes")
    values = ["x FORMAT Native\n", "\n", "'; drop table t; --", "\\N\t\0", "FORMAT TSV"]
    client.insert(table, [[a, n] for n, a in enumerate(values)], column_names=["a", "n"])
    client.command(f"insert into {table} values ('VALUES (1) FORMAT CSV', 9)")
    client.raw_insert(table, ["a", "n"], "csv,10\n", fmt="CSV")
    stored = [row[0] for row in client.query(f"select a from {table} order by n").result_rows]
    assert stored == [*values, "VALUES (1) FORMAT CSV", "csv"]


def test_arrow_columns_of_the_ledgers_types_arrive_and_return_exactly(client: Client) -> None:
    client.command("drop table if exists rater.rated")
    client.command(RATED)
    at = datetime(2026, 1, 31, 23, 59, 59, 999_999, UTC)
    versions = [(1 << 120) - 1, 1 << 120]
    table = pa.table(
        {
            "account": pa.array(["acme", "acme"]).dictionary_encode(),
            "id": pa.array(["call-1", "call-1"]),
            "version": pa.array([v.to_bytes(16, "little") for v in versions], pa.binary(16)),
            "charge": pa.array([Decimal("0.017"), Decimal("0.008500001")], pa.decimal128(18, 9)),
            "at": pa.array([at, at], pa.timestamp("us", "UTC")),
        }
    )
    client.insert_arrow("rater.rated", table)
    client.insert_arrow("rated", table, database="rater")
    got = client.query(
        "select account, id, version, charge, at from rated final where account = {account:String}",
        parameters={"account": "acme"},
        settings={"database": "rater"},
    )
    assert got.result_rows == [("acme", "call-1", versions[1], Decimal("0.008500001"), at)]
    arrow = client.query_arrow("select charge, at from rater.rated final", use_strings=True)
    assert arrow.to_pylist() == [{"charge": Decimal("0.008500001"), "at": at}]


def test_parameters_are_bound_and_never_read_as_sql(client: Client) -> None:
    hostile = "x' or 1=1 --\\\n\t{a:String}"
    listed = client.query(
        "select {a:String}, {n:Int64}, {l:Array(String)}",
        parameters={"a": hostile, "n": -5, "l": ["a", "b'c"]},
    )
    assert listed.result_rows == [(hostile, -5, ["a", "b'c"])]
    long = hostile * 5_000  # Too long for a URL: the client sends a form.
    assert client.query("select {a:String}", parameters={"a": long}).result_rows == [(long,)]


def test_settings_hold_for_their_request_alone(client: Client) -> None:
    ask = "select getSetting('max_block_size')"
    before = client.query(ask).result_rows
    assert client.query(ask, settings={"max_block_size": 123}).result_rows == [(123,)]
    assert client.query(ask).result_rows == before


# query                                    code  name in the text
ERRORS = [
    ("select nothing from system.one",     47,   "UNKNOWN_IDENTIFIER"),
    ("select 1 from rater.absent",         60,   "UNKNOWN_TABLE"),
    ("select 1 from absent.absent",        81,   "UNKNOWN_DATABASE"),
    ("selec 1",                            62,   "SYNTAX_ERROR"),
    ("select throwIf(1)",                  395,  "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code", "name"), ERRORS)
def test_an_error_carries_the_engines_code_and_text(
    client: Client, query: str, code: int, name: str
) -> None:
    with pytest.raises(DatabaseError, match=name) as caught:
        client.query(query)
    assert caught.value.code == code


def test_rows_that_cannot_be_read_are_an_error_and_leave_nothing(client: Client) -> None:
    table = new_table(client, "rater.unreadable")
    with pytest.raises(DatabaseError, match=r"(?s)at row 2.*INCORRECT_DATA"):
        client.raw_insert(table, ["a", "n"], "a,1\nb,two\n", fmt="CSV")
    assert client.query(f"select count() from {table}").result_rows == [(0,)]


def test_two_processes_and_many_threads_write_at_once(
    server: ClickHouseHttp, client: Client
) -> None:
    table = new_table(client, "rater.crowded")
    program = (
        "import clickhouse_connect, sys\n"
        "client = clickhouse_connect.get_client(host='127.0.0.1', port=int(sys.argv[1]))\n"
        "for n in range(10):\n"
        f"    client.insert('{table}', [['process', n]] * 100, column_names=['a', 'n'])\n"
    )
    command = [sys.executable, "-c", program, str(server.port)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]

    def write(n: int) -> None:
        client.insert(table, [["thread", n]] * 100, column_names=["a", "n"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(20)))
    assert [process.wait(30) for process in processes] == [0, 0]
    counted = client.query(f"select a, count() from {table} group by a order by a").result_rows
    assert counted == [("process", 2_000), ("thread", 2_000)]


def test_a_restart_and_a_crash_keep_port_and_rows(server: ClickHouseHttp, client: Client) -> None:
    table = new_table(client, "rater.kept")
    client.insert(table, [["kept", 1]], column_names=["a", "n"])
    url, first_pid = server.url, server.pid
    server.restart()
    assert server.pid not in (None, first_pid)
    client.insert(table, [["kept", 2]], column_names=["a", "n"])
    server.kill()
    assert server.pid is None
    with pytest.raises(OperationalError):
        client.query("select 1")
    server.start()
    assert server.url == url
    assert client.query(f"select count() from {table}").result_rows == [(2,)]


def test_a_store_that_cannot_open_says_why(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, not a folder")
    server = ClickHouseHttp(tmp_path / "store")
    with pytest.raises(RuntimeError, match=r"(?s)no answer at the start:.*Error"):
        server.start()
    assert server.pid is None
