"""A stretch of the log: what agents hand to the writer, and how it is rated."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from rater.kinds.kind import Kind
from rater.tariff import Book, Memo
from streams.kafka.record_batches import Skipped, Unread
from streams.rows.batch import Batch, PartitionRecords, Record, add_columns, add_rejected


class Stretch(NamedTuple):
    """Records of one partition in order, and how to acknowledge all of them.

    The list is emptied once its records are stored. `skipped` are the offsets before and between
    them that hold no record.
    """

    kind: Kind
    topic: str
    partition: int
    records: list[Record]
    acknowledge: Callable[[], object]
    skipped: Skipped = ()

    def size(self) -> int:
        """Bytes of its records' values."""
        return sum(map(len, filter(None, map(_value, self.records))))


_value = attrgetter("value")


def by_topic(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """The same, those of a topic together."""
    of_topic: dict[tuple[Kind, str], list[Stretch]] = {}
    for stretch in stretches:
        of_topic.setdefault((stretch.kind, stretch.topic), []).append(stretch)
    return list(of_topic.values())


def rate_topic(stretches: Sequence[Stretch], book: Book, memo: Memo) -> Batch:
    """The outcome of each record of one topic's stretches."""
    batch = Batch()
    kind, topic = stretches[0].kind, stretches[0].topic
    ranges: list[PartitionRecords] = []
    for one in stretches:
        first = one.records[0]
        if isinstance(first, Unread):  # so are all of them
            add_rejected(batch, kind, topic, (one.partition, one.records), first.reject)
        else:
            ranges.append((one.partition, one.records))
    if ranges:
        add_columns(batch, kind, topic, ranges, book, memo)
    tell_skipped(batch, stretches)
    return batch


def tell_skipped(batch: Batch, stretches: Sequence[Stretch]) -> None:
    """Receipts tell what was skipped before and between the records they are of."""
    skipped = {
        (one.topic, one.partition, one.records[0].offset): one.skipped
        for one in stretches
        if one.skipped
    }
    if skipped:
        batch.receipts = [
            receipt._replace(skipped=skipped.get(receipt[:3], ())) for receipt in batch.receipts
        ]


def rate_all(stretches: Sequence[Stretch], book: Book) -> Batch:
    """The outcome of each record, one topic after another, without what was remembered."""
    batch = Batch()
    for of_one in by_topic(stretches):
        batch.merge(rate_topic(of_one, book, Memo()))
    return batch
