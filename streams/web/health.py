"""Health: what /healthz and /readyz ask. None is well; else the reason, as one line."""

from typing import Protocol

from streams.store.ledger import Ledger


class Health(Protocol):
    """`alive` runs on the loop and must not block; `ready` may ask the store, off the loop."""

    def alive(self) -> str | None: ...
    def ready(self) -> str | None: ...


class StoreHealth:
    """The health of a process that only reads: ready while the store answers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def alive(self) -> str | None:
        return None

    def ready(self) -> str | None:
        return None if self._ledger.ping() else "the store does not answer"
