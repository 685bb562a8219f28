"""A proxy between the workers and the store that breaks inserts, each break as a network would.

    reset      the store has the whole insert and did it; the worker's connection is reset
    truncate   the store gets half of the insert, and both connections end
    stall      nothing is passed on and nothing answered, for longer than the worker waits
    refuse     503, the store has seen nothing

Reads pass. HTTP only as far as clickhouse-connect speaks it: a body with its length, or in chunks.
"""

import contextlib
import http.client
import socket
import struct
import threading
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

BREAKS = ("reset", "truncate", "stall", "refuse")
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
STORE_TIMEOUT_S = 60
NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "connection"}


class StoreProxy:
    """Breaks the next inserts as `break_next` says; counts what it broke."""

    def __init__(self, store_port: int, *, stall_s: float) -> None:
        self.store_port = store_port
        self.stall_s = stall_s
        self.broken: Counter[str] = Counter()
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()
        self.healed = threading.Event()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def break_next(self, *breaks: str) -> None:
        """The next inserts, one break each, in this order; then inserts pass again."""
        with self._lock:
            self.healed.clear()
            self._waiting.extend(breaks)

    def left(self) -> int:
        with self._lock:
            return len(self._waiting)

    def heal(self) -> None:
        with self._lock:
            self._waiting.clear()
            self.healed.set()

    def next_break(self) -> str:
        with self._lock:
            if not self._waiting:
                return ""
            broken = self._waiting.popleft()
            self.broken[broken] += 1
            return broken

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a worker that is killed leaves its connections as they are."""

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Closes without a word before it, so that a reset is one."""
        self.close_request(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: StoreProxy

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the counts are the log."""

    def _serve(self) -> None:
        try:
            body = self._read_body()
            insert = "INSERT" in self.path or b"INSERT INTO" in body[:300]
            how = self.proxy.next_break() if insert else ""
            if how:
                getattr(self, f"_{how}")(body)
            else:
                self._pass_on(body)
        except (OSError, http.client.HTTPException):  # the store or the worker is gone
            self._hang_up()

    def _pass_on(self, body: bytes) -> None:
        status, headers, answer = self._ask_store(body)
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _reset(self, body: bytes) -> None:
        self._ask_store(body)
        self._hang_up()

    def _truncate(self, body: bytes) -> None:
        head = [f"{self.command} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.proxy.store_port}"]
        head += [f"{name}: {value}" for name, value in self._headers().items()]
        head += [f"Content-Length: {len(body)}", "", ""]
        address = ("127.0.0.1", self.proxy.store_port)
        with socket.create_connection(address, STORE_TIMEOUT_S) as store:
            store.sendall("\r\n".join(head).encode() + body[: len(body) // 2])
        self._hang_up()

    def _stall(self, body: bytes) -> None:
        self.proxy.healed.wait(self.proxy.stall_s)
        self._hang_up()

    def _refuse(self, body: bytes) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _ask_store(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        store = http.client.HTTPConnection(
            "127.0.0.1", self.proxy.store_port, timeout=STORE_TIMEOUT_S
        )
        with contextlib.closing(store):
            store.request(self.command, self.path, body, self._headers())
            answer = store.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _headers(self) -> dict[str, str]:
        return {n: v for n, v in self.headers.items() if n.lower() not in NOT_PASSED_ON}

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _hang_up(self) -> None:
        """Resets the worker's connection."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close_connection = True
