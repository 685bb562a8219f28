"""A worker says how far it is: up to when each of its partitions is committed, every two seconds.

Pages say by it whether what they show is live, behind, or without a worker.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from rater.kinds import KINDS
from streams.base.errors import first_line
from streams.base.settings import Settings
from streams.kafka.clients import BrokerErrors
from streams.kafka.log import partition_counts
from streams.store.errors import StoreErrors
from streams.store.ledger import Ledger
from streams.store.progress import tell_progress

TELL_EVERY_S = 2.0
COUNT_EVERY_S = 60.0
# What the broker said of a partition's end is good for so long; then nobody knows.
BOUNDS_GOOD_S = 10.0

Place = tuple[str, int]  # topic and partition

log = structlog.get_logger()


class Reached:
    """Up to when each assigned partition is committed, in Unix seconds."""

    def __init__(self) -> None:
        self._until_s: dict[Place, float] = {}

    def update(
        self,
        lags: Mapping[Place, int],
        in_flight_since_s: Mapping[Place, float],
        *,
        bounds_at_s: float,
        now_s: float,
    ) -> None:
        """What has no lag is committed until the broker was last asked; until now, if lately.

        What is in flight is committed up to its oldest record. Of all else nothing new is known,
        and of what is not assigned any more nothing is kept.
        """
        fresh = now_s - bounds_at_s <= BOUNDS_GOOD_S
        kept = {}
        for place, lag in lags.items():
            if not lag:
                until_s: float | None = now_s if fresh else bounds_at_s
            else:
                until_s = in_flight_since_s.get(place, self._until_s.get(place))
            if until_s is not None:
                kept[place] = until_s
        self._until_s = kept

    def by_partition(self, topics: int) -> dict[int, datetime]:
        """The slowest topic of each partition; only of those whose every topic is known."""
        known: dict[int, list[float]] = {}
        for (_, partition), until_s in self._until_s.items():
            known.setdefault(partition, []).append(until_s)
        return {
            partition: datetime.fromtimestamp(min(untils), UTC)
            for partition, untils in known.items()
            if len(untils) == topics
        }


class ProgressTeller:
    """Writes what `Reached` says to the store. One that is away is told of elsewhere."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.reached = Reached()
        self._settings = settings
        self._ledger = ledger
        self._partitions = 0
        self._counted_at = -COUNT_EVERY_S

    async def run(self) -> None:
        """Tells until cancelled."""
        topics = [self._settings.topic(kind.topic) for kind in KINDS.values()]
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            try:
                await self._count(topics)
                await asyncio.to_thread(
                    tell_progress,
                    self._ledger,
                    self._settings.group,
                    self._partitions,
                    self.reached.by_partition(len(topics)),
                    datetime.now(UTC),
                )
            except (*BrokerErrors, *StoreErrors) as error:
                log.debug("progress_not_told", error=first_line(error))

    async def _count(self, topics: list[str]) -> None:
        """How many partitions the group has: the most of its topics."""
        if time.monotonic() - self._counted_at >= COUNT_EVERY_S:
            counts = await partition_counts(self._settings, topics)
            self._partitions = max(counts.values(), default=0)
            self._counted_at = time.monotonic()
