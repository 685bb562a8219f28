"""Connections of a door: so many, so many of one address, and none that sends nothing for long.

Uvicorn has no time limit for a request's head: who sent a byte now and then kept a connection open.
"""

import asyncio
from collections import Counter
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # for a request's head, from the connection or the answer before
CONNECTIONS_MOST = 6000  # of one door: 5,000 open pages, and who looks beside them
OF_ONE_ADDRESS_MOST = 100  # a proxy that is trusted counts as all its clients
KEEP_ALIVE_S = 5


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, closed when no request is under way for HEAD_S."""

    shared_addresses: frozenset[str] = frozenset()
    of_address: ClassVar[Counter[str]] = Counter()
    _deadline: asyncio.TimerHandle | None = None
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client is not None else ""
        self.of_address[self._address] += 1
        if (
            len(self.connections) > CONNECTIONS_MOST
            or self.of_address[self._address] > self._address_most()
        ):
            transport.abort()
            return
        self._wait_for_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.of_address[self._address] -= 1
        if not self.of_address[self._address]:
            del self.of_address[self._address]
        if self._deadline is not None:
            self._deadline.cancel()

    def on_response_complete(self) -> None:
        self._wait_for_a_head()
        super().on_response_complete()

    def _wait_for_a_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(HEAD_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _address_most(self) -> int:
        is_shared = self._address in self.shared_addresses
        return CONNECTIONS_MOST if is_shared else OF_ONE_ADDRESS_MOST


def protocol_for(trusted_proxies: list[str]) -> type[GuardedProtocol]:
    """The protocol of a door whose proxies' addresses stand for many clients."""
    shared = frozenset(trusted_proxies)
    own = {"shared_addresses": shared, "of_address": Counter()}
    return type("GuardedProtocol", (GuardedProtocol,), own)
