"""What every rival does with its records: the same decode, the same rating, the same insert."""

import sys
from collections import defaultdict
from collections.abc import Sequence

from rater.kinds import KINDS
from rater.tariff_file import load_book
from streams.base.settings import load_settings
from streams.rows.batch import Batch, PartitionRecords, Record, add_columns
from streams.runtime.services import calm_collector
from streams.store.ledger import open_ledger
from tests.bench.watch import Sample

NO_INSERT = "--no-insert"
TOGETHER = 20_000  # records of one insert, where the library lets us say


class Work:
    """Rates records, writes their rows, and prints a sample.

    Where the process has the argument `--no-insert`, rows are dropped instead of written.
    """

    def __init__(self) -> None:
        self.settings = load_settings()
        inserts = NO_INSERT not in sys.argv[1:]
        self._ledger = open_ledger(self.settings, migrate=True) if inserts else None
        self._book = load_book(self.settings.tariff)
        self._kinds = {self.settings.topic(kind.topic): kind for kind in KINDS.values()}
        self._taken: defaultdict[str, list[PartitionRecords]] = defaultdict(list)
        self._done = 0
        calm_collector()  # As our worker does: a rival gets what isn't the library's own to do.

    @property
    def topics(self) -> list[str]:
        return list(self._kinds)

    def take(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Keeps one partition's records until they are rated and written."""
        self._taken[topic].append((partition, records))

    def rate_and_write(self) -> None:
        """Rates what was taken since the last time; when it returns, the rows are durable."""
        batch = Batch()
        for topic, stretches in self._taken.items():
            add_columns(batch, self._kinds[topic], topic, stretches, self._book)
        self._taken.clear()
        if self._ledger is not None:
            self._ledger.write(batch)
        self._done += batch.record_count()
        print(Sample.now(self._done).line(), flush=True)
