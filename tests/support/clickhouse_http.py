"""ClickHouse's HTTP interface in front of chDB, for tests.

chDB is the server's engine in a process, one process per data folder. This front lets several
processes share one store, through the same client path (clickhouse-connect over HTTP) that
production takes. As a program:

    python -m tests.support.clickhouse_http --path DIR --port 0

It says on its standard output where it listens. What a server has and this has not: users and
passwords (any are taken), sessions (each request stands alone: no SET, USE or temporary table
outlives it), external data, and answers that stream or are compressed.
"""

import argparse
import email
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import chdb
import uvicorn
from clickhouse_connect.driver._backend.chdb_backend import _decompress
from clickhouse_connect.driver.exceptions import NotSupportedError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streams.kafka.embedded.children import spawn_child
from streams.kafka.embedded.ports import free_port
from streams.store.memory_file import memory_file

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 5
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


def build_app(path: Path) -> Starlette:
    """The HTTP front over the engine at `path`."""

    async def ping(_request: Request) -> Response:
        return PlainTextResponse("Ok.\n")

    async def statement(request: Request) -> Response:
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


def main() -> None:
    """Serve until SIGTERM."""
    options = argparse.ArgumentParser(description="ClickHouse's HTTP interface over chDB.")
    options.add_argument("--path", type=Path, required=True, help="the data folder")
    options.add_argument("--port", type=int, default=0, help="0: any free port")
    arguments = options.parse_args()
    # With its protocol named, asyncio switches Nagle's algorithm off: 5 ms a query, not 45.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", arguments.port))
    listener.listen(128)
    engine = chdb.connect(str(arguments.path))  # The engine lives as long as one connection does.
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        build_app(arguments.path),
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
        timeout_keep_alive=120,
    )
    # uvicorn stops in order and then raises the signal again: end with the engine closed.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        engine.close()


class ClickHouseHttp:
    """The program above as a child process; it never outlives the test. Restarts keep the port."""

    def __init__(self, path: Path, *, port: int = 0) -> None:
        self.path = path.resolve()
        self.port = port or free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For example `http://127.0.0.1:40123`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id; None when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """What the program printed since its last start; beside the data folder."""
        return self.path.with_name(self.path.name + ".log")

    def start(self) -> None:
        """Return when it answers. Raises RuntimeError with its output when it ends before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.support.clickhouse_http"]
        command += ["--path", str(self.path), "--port", str(self.port)]
        with self.log_path.open("wb") as log:
            self._process = spawn_child(command, cwd=ROOT, output=log)
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.pid is None or time.monotonic() > give_up_at:
                self.kill()
                raise RuntimeError(f"no answer at the start: {self.log_path.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order; by force after STOP_TIMEOUT_S."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it at once with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop and start, on the same port with the same data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        # Its own word first: another server may hold the port.
        if f"listening on 127.0.0.1:{self.port}" not in self.log_path.read_text(errors="replace"):
            return False
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


if __name__ == "__main__":
    main()
