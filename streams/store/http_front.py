"""ClickHouse's HTTP interface in front of chDB: other programs share the store of this process.

chDB is the server's engine in a process, one process per data folder. Clients take the same path
(HTTP) as to a server. What a server has and this has not: users (there is one password, or none),
sessions (each request stands alone: no SET, USE or temporary table outlives it), external data, and
answers that stream or are compressed. For loopback alone.
"""

import email
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import chdb
from clickhouse_connect.driver._backend.chdb_backend import _decompress
from clickhouse_connect.driver.exceptions import NotSupportedError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streams.store.memory_file import memory_file

# What a request's parameters may be besides `query`, `database`, `param_x` and settings.
TRANSPORT_PARAMETERS = re.compile(
    "buffer_size|client_protocol_version|compress|decompress|default_format|password|query_id"
    "|quota_key|role|session_check|session_id|session_timeout|user|wait_end_of_query"
)
NAME = re.compile(r"[A-Za-z_]\w*")
# An answer's format is the last thing a query says, but for settings.
LAST_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;'()]*)?;?\s*$", re.IGNORECASE)
INSERT_WITH_DATA = re.compile(
    rb"\s*(?P<into>INSERT\s+INTO\s+(?:TABLE\s+)?[\w.`\"]+\s*(?:\([^()]*\))?)"
    rb"\s*(?P<settings>SETTINGS\s[^;]*?\s)?\s*FORMAT\s+(?P<format>\w+)[ \t]*\r?\n?",
    re.IGNORECASE,
)
# Which of its two packages wrote chdb/__init__.py last decides which class the engine raises.
ENGINE_ERRORS = (chdb.ChdbError, RuntimeError)
ERROR_CODE = re.compile(r"Code: (\d+)\.")
# As the server does; whatever is not here is 500. 60, 81: no such table, no such database.
STATUS_OF_CODE = {36: 400, 43: 400, 46: 404, 47: 400, 53: 400, 60: 404, 62: 400, 81: 404}


@dataclass(frozen=True)
class Statement:
    """One request, read."""

    sql: bytes
    database: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What the engine said. `format` is None when the statement has no result set."""

    body: bytes
    format: str | None
    summary: Mapping[str, str]


def read_form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a multipart form: how the client sends long parameters."""
    form = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields = {}
    for part in form.walk():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields[name] = value.decode()
    return fields


def read_statement(url_query: str, headers: Mapping[str, str], body: bytes) -> Statement:
    """The statement of a request. Raises ValueError when a setting's name is none."""
    values = dict(parse_qsl(url_query, keep_blank_values=True))
    content_type = headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        values |= read_form(body, content_type)
        body = b""
    else:
        encoding = headers.get("content-encoding", "identity")
        body = body if encoding == "identity" else _decompress(body, encoding)
    parts = [values.pop("query", "").encode(), body]
    database = values.pop("database", "") or headers.get("x-clickhouse-database", "")
    parameters = {k[6:]: values.pop(k) for k in list(values) if k.startswith("param_")}
    settings = {k: v for k, v in values.items() if not TRANSPORT_PARAMETERS.fullmatch(k)}
    for name in settings:
        if not NAME.fullmatch(name):
            raise ValueError(f"setting {name!r} is not a name")
    return Statement(b"\n".join(part for part in parts if part), database, parameters, settings)


def quote(text: str, mark: str) -> str:
    """The text between marks, as SQL reads it."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def execute(path: Path, statement: Statement) -> Answer:
    """Run one statement on a connection of its own, so that nothing leaks into the next."""
    connection = chdb.connect(str(path))
    try:
        for name, value in statement.settings.items():
            connection.query(f"SET {name} = {quote(value, chr(39))}")
        if statement.database:
            connection.query(f"USE {quote(statement.database, '`')}")
        insert = INSERT_WITH_DATA.match(statement.sql)
        if insert is not None:
            return insert_data(connection, statement, insert)
        return query(connection, statement)
    finally:
        connection.close()


def query(connection: Any, statement: Statement) -> Answer:
    """Run a statement without data of its own."""
    chosen = LAST_FORMAT.search(statement.sql)
    parameters = dict(statement.parameters)
    # With names, only a statement that has a result set answers at all, be it without rows.
    result = connection.query(statement.sql, "TabSeparatedWithNames", params=parameters)
    body = bytes(result.bytes() or b"")
    if chosen is not None:
        return Answer(body, chosen[1].decode(), summary_of(result))
    if not body:
        return Answer(b"", None, summary_of(result))
    return Answer(body.partition(b"\n")[2], "TabSeparated", summary_of(result))


def insert_data(connection: Any, statement: Statement, insert: re.Match[bytes]) -> Answer:
    """Run an insert whose rows follow it, by way of a file: inline data is cut off at 256 KB."""
    with memory_file() as path:
        Path(path).write_bytes(memoryview(statement.sql)[insert.end() :])
        sql = b"%s FROM INFILE %s %s FORMAT %s" % (
            insert["into"],
            quote(path, "'").encode(),
            insert["settings"] or b"",
            insert["format"],
        )
        result = connection.query(sql, "TabSeparated", params=dict(statement.parameters))
        return Answer(b"", None, summary_of(result))


def summary_of(result: Any) -> dict[str, str]:
    """The counts that a server sends in X-ClickHouse-Summary."""
    return {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "written_rows": str(result.rows_written()),
        "written_bytes": str(result.bytes_written()),
        "elapsed_ns": str(round(result.elapsed() * 1e9)),
    }


def is_allowed(headers: Mapping[str, str], password: str) -> bool:
    """Whether a request has the password, as ClickHouse's clients send it. None is wanted where it
    is empty."""
    if not password:
        return True
    given = headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = b64decode(encoded, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    return hmac.compare_digest(given.encode(), password.encode())


def build_app(path: Path, password: str = "") -> Starlette:
    """The HTTP front over the engine at `path`."""

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def statement(request: Request) -> Response:
        if not is_allowed(request.headers, password):
            headers = {"X-ClickHouse-Exception-Code": "516"}
            return PlainTextResponse("Code: 516. Authentication failed\n", 403, headers)
        body = await request.body()
        try:
            asked = read_statement(request.url.query, request.headers, body)
        except (ValueError, NotSupportedError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        if not asked.sql:
            return PlainTextResponse("Ok.\n")
        try:
            answer = await run_in_threadpool(execute, path, asked)
        except ENGINE_ERRORS as error:
            found = ERROR_CODE.search(str(error))
            code = int(found[1]) if found else 0
            headers = {"X-ClickHouse-Exception-Code": str(code)}
            return PlainTextResponse(f"{error}\n", STATUS_OF_CODE.get(code, 500), headers)
        headers = {
            "X-ClickHouse-Summary": json.dumps(answer.summary),
            "X-ClickHouse-Query-Id": request.query_params.get("query_id", ""),
        }
        if answer.format is not None:
            headers["X-ClickHouse-Format"] = answer.format
        return Response(answer.body, 200, headers, "text/plain; charset=UTF-8")

    routes = [Route("/ping", ping), Route("/", statement, methods=["GET", "POST"])]
    return Starlette(routes=routes)
