"""What was read, kept for some seconds: many readers of one thing cost one read of it."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

KEYS_MOST = 2000


class KeptByKey(Generic[T]):
    """The last read by key, while it is no older than `keep_s`.

    Two threads may read the same at once: both are right. The oldest of too many is forgotten.
    """

    def __init__(self, keep_s: float, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._keep_s = keep_s
        self._now_s = now_s
        self._read: dict[Hashable, tuple[float, T]] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gave last; raises what it raises."""
        now_s = self._now_s()
        kept = self._read.get(key)
        if kept is not None and now_s - kept[0] <= self._keep_s:
            return kept[1]
        told = read()
        self._read.pop(key, None)
        self._read[key] = now_s, told
        if len(self._read) > KEYS_MOST:
            self._read.pop(next(iter(self._read)), None)
        return told
