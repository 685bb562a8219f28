"""Serving an app on the loop that runs already: a worker's, or that of `rater api`."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from streams.web.connections import KEEP_ALIVE_S, protocol_for

GRACEFUL_STOP_S = 2
STOP_S = 4.0


class PortTakenError(RuntimeError):
    """An address that can't be listened on; the message is one line."""


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the process that it runs in has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _nothing() -> None:
    pass


class WebServer:
    """An app on host:port. Port 0 is any free one; `url` tells which.

    `before_stop` ends what would keep connections open, such as live streams.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        setting: str = "RATER_WEB_PORT",
        trusted_proxies: Sequence[str] = (),
        before_stop: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._setting = setting
        self._trusted_proxies = trusted_proxies
        self._before_stop = before_stop
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Binds and serves. Raises PortTakenError when the address can't be had."""
        listener = _listen(self._host, self._port, self._setting)
        self._port = listener.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self._app,
                http=protocol_for(list(self._trusted_proxies)),
                timeout_keep_alive=KEEP_ALIVE_S,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                # Of nobody else: who says where he comes from may say it anew for each guess.
                proxy_headers=bool(self._trusted_proxies),
                forwarded_allow_ips=list(self._trusted_proxies),
                ws="none",
                timeout_graceful_shutdown=GRACEFUL_STOP_S,
            )
        )
        self._task = asyncio.create_task(self._server.serve([listener]), name="web server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the web server ended while starting")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Ends what is open, lets answers under way finish, and closes. Bounded by STOP_S."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        closing = asyncio.ensure_future(self._before_stop())
        _, late = await asyncio.wait({closing, self._task}, timeout=STOP_S)
        for task in late:
            task.cancel()
        self._server = self._task = None


def _listen(host: str, port: int, setting: str) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"{host}:{port} is taken by another process; stop it or set {setting}"
        else:
            message = f"can't listen on {host}:{port}: {error.strerror}"
        raise PortTakenError(message) from None
