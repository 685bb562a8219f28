"""The same work in Quix Streams: a batching sink, flushed and committed with each checkpoint.

Run as a process by `tests.bench.rivals`. Values pass as bytes, so that our decoder alone decodes.
The library hands over each partition's batch by itself; they are rated together into one insert,
since a checkpoint has dozens of partitions of several topics.
"""

from quixstreams import Application
from quixstreams.sinks.base import BatchingSink, SinkBatch

from tests.bench.work import TOGETHER, Work

COMMIT_INTERVAL_S = 2.0  # longer than TOGETHER takes, so that the count alone decides


class LedgerSink(BatchingSink):  # type: ignore[misc]
    """Takes the batch of each partition, then rates and writes all of them."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def write(self, batch: SinkBatch) -> None:
        self._work.take(batch.topic, batch.partition, list(batch))

    def flush(self) -> None:
        if self._batches:
            super().flush()
            self._work.rate_and_write()


def main() -> None:
    work = Work()
    app = Application(
        work.settings.kafka_bootstrap,
        consumer_group=work.settings.group,
        auto_offset_reset="earliest",
        commit_every=TOGETHER,
        commit_interval=COMMIT_INTERVAL_S,
        consumer_extra_config={"max.partition.fetch.bytes": work.settings.fetch_max_bytes},
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )
    sink = LedgerSink(work)
    for name in work.topics:
        topic = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")
        app.dataframe(topic).sink(sink)
    app.run()


if __name__ == "__main__":
    main()
