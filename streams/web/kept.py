"""What was read, kept for some seconds: many readers of one thing cost one read of it."""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

KEYS_MOST = 5000
OF_EACH_S = 0.01  # what many ask for is kept longer: for so much of a second for each


class KeptByKey(Generic[K, T]):
    """The last read by key, while it is no older than `keep_s`, or than many of them allow.

    Two threads may read the same at once: both are right. The oldest of too many is forgotten.
    """

    def __init__(self, keep_s: float, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._keep_s = keep_s
        self._now_s = now_s
        self._read: dict[K, tuple[float, T]] = {}

    def get(self, key: K, read: Callable[[], T]) -> T:
        """What `read` gave last; raises what it raises."""
        return self.get_all([key], lambda _: {key: read()})[key]

    def get_all(self, keys: Iterable[K], read: Callable[[list[K]], Mapping[K, T]]) -> dict[K, T]:
        """The same of several keys: those that are not kept are read together."""
        now_s = self._now_s()
        keep_s = max(self._keep_s, len(self._read) * OF_EACH_S)
        kept = {key: self._read.get(key) for key in keys}
        told = {key: one[1] for key, one in kept.items() if one and now_s - one[0] <= keep_s}
        if missing := [key for key in kept if key not in told]:
            for key, one in read(missing).items():
                told[key] = one
                self._read.pop(key, None)
                self._read[key] = now_s, one
        while len(self._read) > KEYS_MOST:
            self._read.pop(next(iter(self._read)), None)
        return told
