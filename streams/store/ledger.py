"""The ledger: the only module that speaks to ClickHouse, a server's or the engine in the process.

Writes are columns through Arrow: rated and states side by side, then parked, rejected, and receipts
last: a receipt says that its stretch's rows are there. No insert deduplication: identity does the
work.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

import schemas
from streams.base import faults
from streams.base.settings import Settings, read_secret
from streams.rows.batch import Batch
from streams.rows.log_position import Span, join_spans
from streams.store.columns import (
    _block_columns,
    _parked_columns,
    _rated_columns,
    _receipt_columns,
    _rejected_columns,
    _schema,
    _state_columns,
    months_apart,
)
from streams.store.connections import Connections
from streams.store.embedded import NoStoreError, StoreHeldError, prepare_folder
from streams.store.errors import StoreErrors
from streams.store.memory_file import memory_file

# What a migration copies is of all months there are, and a server's default is 100 in one insert.
_OF_ALL_MONTHS = {"max_partitions_per_insert_block": 0}
TABLES = ("rated", "states", "parked", "rejected", "receipts")

# Identity makes a row written twice one row; the engine's own insert tokens can lose rows. Where a
# server knows `deduplicate_insert`, it alone decides and the older setting is not asked. Copies
# within one insert are left to FINAL and to merges too: looking for them took half of an insert.
INSERT_SETTINGS = {
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
    "optimize_on_insert": 0,
    "async_insert": 0,
}

READERS = 5  # questions of pages and streams at once

# What was written of parts of the log that lie no further apart is looked at as of one part.
SPANS_GAP_MS = 60_000

_VOID = """
INSERT INTO rated SELECT * REPLACE (
    0 AS billed, 0 AS billed_seconds, 0 AS charge, 0 AS tax_federal, 0 AS tax_state,
    0 AS tax_local, 'no telling of it stands: $0' AS rule, 'voided' AS status,
    {version:UInt128} AS version)
FROM rated FINAL
WHERE account_id = {account:String} AND month = {month:Date} AND line = {line:String}
  AND identity = {identity:String}
"""


def open_ledger(settings: Settings, *, migrate: bool, make: bool = True) -> "Ledger":
    """The ledger, its tables brought up to date where `migrate` says so.

    What only reads says not to `make` an embedded store. Raises one of StoreErrors; StoreHeldError
    when another process holds an embedded store, NoStoreError when there is none.
    """
    ledger = Ledger(settings, create=migrate and make)
    if migrate:
        ledger.applied = ledger.migrate()
    return ledger


class Ledger:
    """Connections to the store: for writes, for those of states, for reads, for long searches.

    States are written beside rated rows: what an insert of a small batch costs is mostly the
    store's own, whatever is in it. One lock for writes, one for searches; READERS for pages.
    """

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.applied: list[str] = []
        self.database = settings.clickhouse_database
        # Where the engine in the process has its files; a server has its own.
        url = settings.clickhouse_url
        self.path = Path(url.removeprefix("chdb:")) if url.startswith("chdb:") else None
        if create:
            with _closing(_connect(settings, "", make=True)) as client:
                client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        self._writer = _connect(settings, self.database)
        known = self._writer.server_settings
        self._insert_settings = {k: v for k, v in INSERT_SETTINGS.items() if k in known}
        self._states_writer = _connect(settings, self.database)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._readers = Connections(partial(_connect, settings, self.database), READERS)
        self._searcher = _connect(settings, self.database, timeout_s=settings.search_timeout_s)
        self._write_lock = threading.Lock()
        self._search_lock = threading.Lock()
        self._written: list[Span] = []

    def close(self) -> None:
        self._beside.shutdown()
        self._readers.close()
        for client in (self._writer, self._states_writer, self._searcher):
            client.close()

    def migrate(self) -> list[str]:
        """Runs the migrations that this database has not seen, in order; says which."""
        self._writer.command(
            "CREATE TABLE IF NOT EXISTS migrations (name String, applied_at DateTime64(3, 'UTC'))"
            " ENGINE = ReplacingMergeTree ORDER BY name"
        )
        done = {row[0] for row in self.query("SELECT name FROM migrations FINAL")}
        applied = []
        for path in sorted(schemas.MIGRATIONS.glob("*.sql")):
            if path.name in done:
                continue
            for statement in _statements(path):
                self._writer.command(statement, settings=_OF_ALL_MONTHS)
            self._writer.insert("migrations", [[path.name, datetime.now(UTC)]])
            applied.append(path.name)
        return applied

    def ping(self) -> bool:
        """Whether the store answers and holds the ledger."""
        try:
            return bool(self.query("SELECT count() FROM receipts WHERE last_offset < 0") == [(0,)])
        except StoreErrors:
            return False

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query with bound parameters (`{name:Type}`)."""
        with self._readers.one() as client:
            return _rows(client, sql, parameters)

    def search(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """As `query`, on a connection of its own: no page waits for what takes seconds."""
        with self._search_lock:
            return _rows(self._searcher, sql, parameters)

    def search_columns(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """As `search`, as columns: decimals and instants as the store has them."""
        with self._search_lock:
            return self._searcher.query_arrow(sql, parameters=dict(parameters), use_strings=True)

    def search_file(self, sql: str, parameters: Mapping[str, Any], file_format: str) -> bytes:
        """As `search`, as the store writes a file of one of its formats."""
        with self._search_lock:
            return self._searcher.raw_query(sql, parameters=dict(parameters), fmt=file_format)

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Runs a statement that gives no rows, beside no other write. Raises one of StoreErrors."""
        with self._write_lock:
            self._writer.command(sql, parameters=dict(parameters or {}))

    def write(self, batch: Batch) -> None:
        """Writes a batch; when it returns, all of it is in the store. Safe to call again.

        Raises one of StoreErrors when the store does not take it: nothing may be acknowledged.
        """
        now = datetime.now(UTC)
        rated = [_rated_columns(batch.rated), _block_columns(batch.blocks)]
        states = _state_columns(batch.states)
        others = {
            "parked": _parked_columns(batch.parked, now),
            "rejected": _rejected_columns(batch.rejected, now),
            "receipts": _receipt_columns(batch.receipts, now),
        }
        with self._write_lock:
            if (span := batch.span()) is not None:
                self._written = join_spans([*self._written, span], SPANS_GAP_MS)
            beside = self._beside.submit(self._insert, "states", states)
            try:
                for columns in rated:
                    self._insert("rated", columns)
                faults.reach("in_insert")
            finally:
                error = beside.exception()  # once it has ended
            if error is not None:
                raise error
            for table, more in others.items():
                self._insert(table, more)

    def take_written(self) -> list[Span]:
        """Which parts of the log have records that were written since this was asked last."""
        with self._write_lock:
            taken, self._written = self._written, []
        return taken

    def insert(self, table: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Writes rows of some columns, a few of them. Raises one of StoreErrors."""
        with self._write_lock:
            self._writer.insert(table, rows, column_names=names, settings=self._insert_settings)

    def void_monthly(self, month: date, charged: tuple[str, str, str], *, read_us: int) -> None:
        """Makes a month's charge of (account, line, identity) one of $0, as read at an instant."""
        account, line, identity = charged
        parameters = {"account": account, "month": month, "line": line, "identity": identity}
        with self._write_lock:
            self._writer.command(
                _VOID, parameters=parameters | {"version": read_us}, settings=self._insert_settings
            )

    def _insert(self, table: str, columns: dict[str, pa.Array] | None) -> None:
        if columns:
            client = self._states_writer if table == "states" else self._writer
            rows = pa.Table.from_arrays(list(columns.values()), schema=_schema(columns))
            for part in months_apart(rows):
                client.insert_arrow(table, part, settings=self._insert_settings)


def _rows(client: Client, sql: str, parameters: Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
    rows = client.query(sql, parameters=dict(parameters or {})).result_rows
    return [tuple(row) for row in rows]


def _connect(
    settings: Settings, database: str, *, timeout_s: float = 0, make: bool = False
) -> Client:
    """A connection; of one for long searches the store is told how long they may take.

    `make` makes the folder of an embedded store.
    """
    url = settings.clickhouse_url
    if url.startswith("chdb:"):
        path = Path(url.removeprefix("chdb:"))
        prepare_folder(path, make=make)
        try:
            client = clickhouse_connect.get_client(
                interface="chdb", path=str(path), database=database or "default"
            )
            # Its own way copies the rows to a file in a folder for such, and the engine reads that.
            client.insert_arrow = partial(  # type: ignore[assignment,method-assign]
                _insert_in_process, client
            )
            return client
        except ClickHouseError as error:
            if database and "UNKNOWN_DATABASE" in str(error):
                raise
            raise StoreHeldError(
                f"the store at {path} can't be opened; is another process using it? ({error})"
            ) from error
    parts = urlsplit(url)
    client = clickhouse_connect.get_client(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        secure=parts.scheme == "https",
        username=settings.clickhouse_user,
        password=read_secret(settings.clickhouse_password_file),
        database=database or "default",
        ca_cert=str(settings.clickhouse_ca_file) if settings.clickhouse_ca_file else None,
        send_receive_timeout=int(timeout_s or settings.insert_timeout_s),
        connect_timeout=10,
        autogenerate_session_id=False,
    )
    if timeout_s:  # what is given up here ends there, too; its user's own limit is that of a write
        client.set_client_setting("max_execution_time", int(timeout_s))
    return client


def _insert_in_process(
    client: Client, table: str, rows: pa.Table, settings: Mapping[str, Any]
) -> None:
    """As `Client.insert_arrow`, by way of memory."""
    names = ", ".join(map(quote_identifier, rows.column_names))
    clause = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
    with memory_file() as path:
        with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, rows.schema) as stream:
            stream.write(rows)
        client.command(
            f"INSERT INTO {table} ({names}) FROM INFILE '{path}' SETTINGS {clause}"
            " FORMAT ArrowStream"
        )


@contextmanager
def _closing(client: Client) -> Iterator[Client]:
    try:
        yield client
    finally:
        client.close()


def _statements(path: Path) -> Iterator[str]:
    """The statements of a migration: comments out, one for each semicolon at a line's end."""
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("--")
    ]
    for statement in "\n".join(lines).split(";\n"):
        if statement.strip(" \n;"):
            yield statement.strip(" \n;")


__all__ = ["DatabaseError", "Ledger", "NoStoreError", "StoreErrors", "StoreHeldError"]
