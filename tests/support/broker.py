"""What a test reads from the real broker: every record of the log, what a group has committed."""

import asyncio
from dataclasses import dataclass

import aiokafka

from streams.settings import Settings
from streams.topics import read_committed


@dataclass(frozen=True)
class Logged:
    """A record as the log has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


async def _read_topics(bootstrap: str, topics: list[str]) -> list[Logged]:
    consumer = aiokafka.AIOKafkaConsumer(
        *topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = consumer.assignment()
        assert {tp.topic for tp in partitions} == set(topics)
        ends = await consumer.end_offsets(partitions)
        logged: list[Logged] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                logged += [
                    Logged(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                    for r in records
                ]
        return logged
    finally:
        await consumer.stop()


def read_topics(bootstrap: str, topics: list[str]) -> list[Logged]:
    """Every record of some topics, in the order of the log."""
    logged = asyncio.run(_read_topics(bootstrap, topics))
    return sorted(logged, key=lambda r: (r.timestamp, r.partition, r.offset))


def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """What the settings' group has committed, by (topic, partition).

    Raises one of BrokerErrors when the broker is away.
    """
    return asyncio.run(read_committed(settings, timeout_s=5))
