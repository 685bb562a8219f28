"""The ledger: the only module that speaks to ClickHouse, a server's or the engine in the process.

Writes are columns through Arrow: rated and states side by side, then parked, rejected, and receipts
last: a receipt says that its stretch's rows are there. No insert deduplication: identity does the
work.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
import numpy as np
import orjson
import pyarrow as pa
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

import schemas
from rater import __version__
from rater.charge import MONEY, Charge, Cost, Terms
from rater.codes import Codes
from rater.facts import NEVER, Instants
from streams.base import faults
from streams.base.settings import Settings, read_secret
from streams.rows.batch import Batch, Block, ParkedRow, RatedRow, Receipt, RejectedRow, StateRow
from streams.rows.log_position import Place, Span, join_spans
from streams.store.memory_file import memory_file

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

# What was written of parts of the log that lie no further apart is looked at as of one part.
SPANS_GAP_MS = 60_000

StoreErrors = (ClickHouseError, OSError)
T = TypeVar("T")

_VOID = """
INSERT INTO rated SELECT * REPLACE (
    0 AS billed, 0 AS billed_seconds, 0 AS charge, 0 AS tax_federal, 0 AS tax_state,
    0 AS tax_local, 'no telling of it stands: $0' AS rule, 'voided' AS status,
    {version:UInt128} AS version)
FROM rated FINAL
WHERE account_id = {account:String} AND month = {month:Date} AND line = {line:String}
  AND identity = {identity:String}
"""


class StoreHeldError(RuntimeError):
    """An embedded store whose path another process holds."""


def open_ledger(settings: Settings, *, migrate: bool) -> "Ledger":
    """The ledger, its tables brought up to date where `migrate` says so.

    Raises one of StoreErrors, or StoreHeldError when another process holds an embedded store.
    """
    ledger = Ledger(settings, create=migrate)
    if migrate:
        ledger.applied = ledger.migrate()
    return ledger


class Ledger:
    """Connections to the store: for writes, for those of states, for reads, for long searches.

    States are written beside rated rows: what an insert of a small batch costs is mostly the
    store's own, whatever is in it. One lock for writes, one for reads, one for searches.
    """

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.applied: list[str] = []
        self.database = settings.clickhouse_database
        if create:
            with _closing(_connect(settings, "")) as client:
                client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        self._writer = _connect(settings, self.database)
        known = self._writer.server_settings
        self._insert_settings = {k: v for k, v in INSERT_SETTINGS.items() if k in known}
        self._states_writer = _connect(settings, self.database)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._reader = _connect(settings, self.database)
        self._searcher = _connect(settings, self.database)
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._search_lock = threading.Lock()
        self._written: list[Span] = []

    def close(self) -> None:
        self._beside.shutdown()
        for client in (self._writer, self._states_writer, self._reader, self._searcher):
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
                self._writer.command(statement)
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
        return _rows(self._reader, self._read_lock, sql, parameters)

    def search(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """As `query`, on a connection of its own: no page waits for what takes seconds."""
        return _rows(self._searcher, self._search_lock, sql, parameters)

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

    def write_superseded(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Names rows that another row of their identity supersedes."""
        now = datetime.now(UTC)
        names = [
            "account_id", "month", "line", "identity", "revision", "version", "loses", "found_at",
        ]  # fmt: skip
        with self._write_lock:
            self._writer.insert(
                "losers",
                [[*row, 1, now] for row in rows],
                column_names=names,
                settings=self._insert_settings,
            )

    def void_monthly(self, month: date, charged: tuple[str, str, str], *, read_us: int) -> None:
        """Makes a month's charge of (account, line, identity) one of $0, as read at an instant."""
        account, line, identity = charged
        parameters = {"account": account, "month": month, "line": line, "identity": identity}
        with self._write_lock:
            self._writer.command(
                _VOID, parameters=parameters | {"version": read_us}, settings=self._insert_settings
            )

    def resolve_parked(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Marks rows of `parked`, `resolved` last, as rated; their rows are in the ledger."""
        if rows:
            with self._write_lock:
                self._writer.insert(
                    "parked", [[*row[:-1], 1] for row in rows], settings=self._insert_settings
                )

    def _insert(self, table: str, columns: dict[str, pa.Array] | None) -> None:
        if columns:
            client = self._states_writer if table == "states" else self._writer
            rows = pa.Table.from_arrays(list(columns.values()), schema=_schema(columns))
            client.insert_arrow(table, rows, settings=self._insert_settings)


def _rows(
    client: Client, lock: threading.Lock, sql: str, parameters: Mapping[str, Any] | None
) -> list[tuple[Any, ...]]:
    with lock:
        rows = client.query(sql, parameters=dict(parameters or {})).result_rows
    return [tuple(row) for row in rows]


def _connect(settings: Settings, database: str) -> Client:
    url = settings.clickhouse_url
    if url.startswith("chdb:"):
        path = Path(url.removeprefix("chdb:"))
        path.mkdir(parents=True, exist_ok=True)
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
    return clickhouse_connect.get_client(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8443 if parts.scheme == "https" else 8123),
        secure=parts.scheme == "https",
        username=settings.clickhouse_user,
        password=read_secret(settings.clickhouse_password_file),
        database=database or "default",
        ca_cert=str(settings.clickhouse_ca_file) if settings.clickhouse_ca_file else None,
        send_receive_timeout=int(settings.insert_timeout_s),
        connect_timeout=10,
        autogenerate_session_id=False,
    )


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


def _schema(columns: Mapping[str, pa.Array]) -> pa.Schema:
    """Says which columns have nulls: one that may have some takes the engine half as long again."""
    return pa.schema(
        [pa.field(name, column.type, column.null_count > 0) for name, column in columns.items()]
    )


# Columns: integers become decimals and instants by their buffers, without an object for each.


def _decimals(nanos: Sequence[int]) -> pa.Array:
    """Decimal(18, 9) from nanos: 128-bit little-endian integers, sign-extended."""
    low = np.asarray(nanos, np.int64)
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0] = low
    words[:, 1] = low >> 63
    return pa.Decimal128Array.from_buffers(
        pa.decimal128(18, 9), len(low), [None, pa.py_buffer(words)]
    )


def _versions(versions: Sequence[int]) -> pa.Array:
    return pa.array([version.to_bytes(16, "little") for version in versions], pa.binary(16))


def _instants(at_us: Sequence[int | None]) -> pa.Array:
    return pa.array(at_us, pa.timestamp("us", tz="UTC"))


def _milliseconds(at_ms: Sequence[int]) -> pa.Array:
    return pa.array(at_ms, pa.timestamp("ms", tz="UTC"))


def _place_columns(places: Sequence[Place]) -> dict[str, pa.Array]:
    topic, partition, offset, logged_ms = zip(*places, strict=True)
    return {
        "topic": pa.array(topic).dictionary_encode(),
        "partition": pa.array(partition, pa.int32()),
        "offset": pa.array(offset, pa.int64()),
        "logged_at": _milliseconds(logged_ms),
    }


_CHARGE_NAMES = {
    "from_": "from_number",
    "to": "to_number",
    "occurred_us": "occurred_at",
    "answered_us": "answered_at",
    "ended_us": "ended_at",
}


def _rated_columns(rows: Sequence[RatedRow]) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    charges, hashes, places, versions = zip(*rows, strict=True)
    *own, terms, costs = zip(*charges, strict=True)
    columns = {}
    for name, values in zip(Charge._fields[:-2], own, strict=True):
        columns[_CHARGE_NAMES.get(name, name)] = (
            _instants(values) if name.endswith("_us") else pa.array(values)
        )
    each = np.arange(len(rows))
    columns |= _shared_columns(Terms._fields, terms, each)
    columns |= _shared_columns(Cost._fields, costs, each)
    columns["content_hash"] = pa.array(hashes, pa.uint64())
    return columns | _place_columns(places) | {"version": _versions(versions)}


def _block_columns(blocks: Sequence[Block]) -> dict[str, pa.Array] | None:
    """As `_rated_columns`; what the lines of an event share is made once."""
    if not blocks:
        return None
    own = [columns for block in blocks for columns in [_own_columns(block)] * len(block.lines)]
    lines = [line for block in blocks for line in block.lines]
    terms, terms_of = _chained([(line.terms, line.terms_of) for line in lines])
    costs, costs_of = _chained([(line.costs, line.costs_of) for line in lines])
    columns = {name: pa.concat_arrays([one[name] for one in own]) for name in own[0]}
    columns["topic"] = columns["topic"].dictionary_encode()
    columns |= _shared_columns(Terms._fields, terms, terms_of)
    return columns | _shared_columns(Cost._fields, costs, costs_of)


def _chained(parts: Sequence[tuple[Sequence[T], Codes]]) -> tuple[list[T], Codes]:
    """What rows share and which of it each has, one part's rows after another's."""
    shared: list[T] = []
    numbers = []
    for some, numbers_of_some in parts:
        numbers.append(numbers_of_some + len(shared))
        shared += some
    return shared, np.concatenate(numbers)


def _own_columns(block: Block) -> dict[str, pa.Array]:
    """A row for each event, without what its charges share with others."""
    facts, places = block.facts, block.places
    count = len(facts.ids)
    return {
        "account_id": facts.account_ids,
        "identity": facts.identities,
        "revision": pa.array(facts.revisions),
        "event_id": facts.ids,
        "from_number": facts.from_,
        "to_number": facts.to,
        "group_id": facts.group_ids,
        "campaign_id": facts.campaign_ids,
        "call_id": facts.call_ids,
        "occurred_at": _times(facts.at_us),
        "answered_at": _times(facts.answered_us),
        "ended_at": _times(facts.ended_us),
        "content_hash": pa.array(block.content_hashes),
        "topic": pa.repeat(places.topic, count),
        "partition": pa.array(places.partitions.astype(np.int32)),
        "offset": pa.array(places.offsets),
        "logged_at": pa.array(places.logged_ms).view(pa.timestamp("ms", tz="UTC")),
        "version": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(block.versions)]
        ),
    }


def _times(at_us: Instants) -> pa.Array:
    return pa.array(at_us, mask=at_us == NEVER).view(pa.timestamp("us", tz="UTC"))


def _shared_columns(
    names: Iterable[str], shared: Sequence[tuple[Any, ...]], numbers: Codes
) -> dict[str, pa.Array]:
    """Columns of what many rows share, made once for each of it; each row has one, by its number.

    Texts are dictionaries, as LowCardinality columns want them; no value may stand twice in one.
    """
    taken = pa.array(numbers)
    made = {}
    for name, values in zip(names, zip(*shared, strict=True), strict=True):
        column = _decimals(values) if name in MONEY else pa.array(values)
        if pa.types.is_string(column.type):
            column = column.dictionary_encode()
        made[name] = column.take(taken)
    return made


def _state_columns(rows: Sequence[StateRow]) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    tellings, revisions, hashes, places, versions = zip(*rows, strict=True)
    states = [telling.state for telling in tellings]
    columns = {
        "account_id": pa.array([telling.account_id for telling in tellings]),
        "kind": pa.array([telling.kind for telling in tellings]),
        "event_id": pa.array([telling.event_id for telling in tellings]),
        "revision": pa.array(revisions),
        "line": pa.array([state.line for state in states]),
        "thing": pa.array([state.thing for state in states]),
        "billed_as": pa.array([state.billed_as for state in states]),
        "from_at": _instants([state.from_us for state in states]),
        "until_at": _instants([state.until_us for state in states]),
        "seconds": pa.array([state.seconds for state in states]),
        "number": pa.array([state.number for state in states]),
        "number_type": pa.array([state.dims[-2] or "" for state in states]),
        "product": pa.array([state.dims[-1] or "" for state in states]),
        "call_id": pa.array([state.call_id for state in states]),
        "content_hash": pa.array(hashes, pa.uint64()),
    }
    return columns | _place_columns(places) | {"version": _versions(versions)}


def _parked_columns(rows: Sequence[ParkedRow], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    return _place_columns([row.place for row in rows]) | {
        "kind": pa.array([row.kind for row in rows]),
        "account_id": pa.array([row.account_id for row in rows]),
        "event_id": pa.array([row.event_id for row in rows]),
        "reason": pa.array([row.parked.reason.value for row in rows]),
        "message": pa.array([row.parked.message for row in rows]),
        "event": pa.array([row.event for row in rows], pa.binary()),
        "parked_at": pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC")),
        "resolved": pa.array([0] * len(rows), pa.uint8()),
    }


def _rejected_columns(rows: Sequence[RejectedRow], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    return _place_columns([row.place for row in rows]) | {
        "kind": pa.array([row.kind for row in rows]),
        "reason": pa.array([row.reject.reason.value for row in rows]),
        "message": pa.array([row.reject.message for row in rows]),
        "key": pa.array([row.key or b"" for row in rows], pa.binary()),
        "raw": pa.array([row.raw() for row in rows], pa.binary()),
        "raw_bytes": pa.array([len(row.value) for row in rows], pa.uint32()),
        "raw_hash": pa.array([row.raw_hash() for row in rows]),
        "headers": pa.array([_headers_json(row.headers) for row in rows]),
        "engine_version": pa.array([__version__] * len(rows)),
        "rejected_at": pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC")),
    }


def _headers_json(headers: Sequence[tuple[str, bytes]]) -> str:
    pairs = [[name, (value or b"").decode("utf-8", "replace")] for name, value in headers]
    return orjson.dumps(pairs).decode() if pairs else ""


def _receipt_columns(rows: Sequence[Receipt], now: datetime) -> dict[str, pa.Array] | None:
    if not rows:
        return None
    columns = {}
    for name, values in zip(Receipt._fields, zip(*rows, strict=True), strict=True):
        columns[name] = _decimals(values) if name == "charge" else pa.array(values)
    columns["written_at"] = pa.array([now] * len(rows), pa.timestamp("ms", tz="UTC"))
    return columns


__all__ = ["DatabaseError", "Ledger", "StoreErrors", "StoreHeldError"]
