"""A program that serves `streams.store.http_front`, so that several processes share one store:

    python -m tests.support.clickhouse_http --path DIR --port 0

It says on its standard output where it listens.
"""

import argparse
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self

import chdb
import uvicorn

from streams.kafka.embedded.children import spawn_child
from streams.kafka.embedded.ports import free_port
from streams.store.http_front import build_app

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
DRAIN_TIMEOUT_S = 5


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
