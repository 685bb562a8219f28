"""The same work in Bytewax: its Kafka source, `collect` under one key, and a sink that writes.

Run as a process by `tests.bench.rivals`. One worker, since the engine's store has one owner, and no
recovery store, which would cost it more. Without `collect` each partition's messages would be
an insert of their own.
"""

from collections import defaultdict
from datetime import timedelta
from typing import NamedTuple

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

from tests.bench.work import TOGETHER, Work

MESSAGES_AT_A_POLL = 10_000  # of one partition; 1,000 is the library's default
WITHIN = timedelta(seconds=0.2)


class Message(NamedTuple):
    """A record: the library's own message has its timestamp as a pair of type and milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class LedgerPartition(StatelessSinkPartition):  # type: ignore[misc]
    """Rates and writes each collected list."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def write_batch(self, items: list[tuple[str, list[KafkaSourceMessage]]]) -> None:
        for _, collected in items:
            stretches: dict[tuple[str, int], list[Message]] = defaultdict(list)
            for of in collected:
                stretches[of.topic, of.partition].append(
                    Message(of.offset, of.timestamp[1], of.key, of.value, of.headers)
                )
            for (topic, partition), records in stretches.items():
                self._work.take(topic, partition, records)
            self._work.rate_and_write()


class LedgerSink(DynamicSink):  # type: ignore[misc]
    """One partition for the one worker."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> LedgerPartition:
        return LedgerPartition(self._work)


def main() -> None:
    work = Work()
    source = KafkaSource(
        [work.settings.kafka_bootstrap],
        work.topics,
        batch_size=MESSAGES_AT_A_POLL,
        add_config={"max.partition.fetch.bytes": work.settings.fetch_max_bytes},
    )
    flow = Dataflow("rated")
    messages = op.input("kafka", flow, source)
    keyed = op.key_on("one_key", messages, lambda _message: "all")
    collected = op.collect("collect", keyed, WITHIN, TOGETHER)
    op.output("ledger", collected, LedgerSink(work))
    cli_main(flow)


if __name__ == "__main__":
    main()
