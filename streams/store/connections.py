"""A few connections to the store, each for one question at a time."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client


class Connections:
    """Makes a connection when all others are busy, up to `most`; then whoever asks waits."""

    def __init__(self, connect: Callable[[], Client], most: int) -> None:
        self._connect = connect
        self._turns = threading.Semaphore(most)
        self._free: queue.LifoQueue[Client] = queue.LifoQueue()
        self.made = 1
        self._free.put(connect())  # a store that is not there is told of at once

    @contextmanager
    def one(self) -> Iterator[Client]:
        """A connection for a question. Raises one of StoreErrors where a new one can't be had."""
        with self._turns:
            try:
                client = self._free.get_nowait()
            except queue.Empty:
                client = self._connect()
                self.made += 1
            try:
                yield client
            finally:
                self._free.put(client)

    def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()
