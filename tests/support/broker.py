"""What a test reads from the real broker: every record of the log, what a group has committed, and
what the oracle makes of it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiokafka

from rater.kinds import KINDS
from streams.base.settings import Settings
from streams.kafka import record_batches  # noqa: F401  how every consumer reads
from streams.kafka.clients import read_committed
from streams.kafka.topics import INPUTS
from tests import oracle
from tests.support.poison import REFUSED
from tests.support.workers import wait_for

BAD = (b"", b"{bad", b'{"id":"x"}', b"\xff\xfe", b'{"id":NaN}', b"[" * 2000)


LONG_BYTES = 100_000  # no event is longer


def is_bad(value: bytes | None) -> bool:
    """Whether a record of the tests' traffic and poison is none that is rated."""
    value = value or b""
    unpacked = not value.startswith(bytes(4))  # else a whole batch, which begins with its offset
    return value in BAD or not unpacked or len(value) > LONG_BYTES or REFUSED.encode() in value


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


def read_log(settings: Settings) -> list[Logged]:
    """Every record of the input topics."""
    return read_topics(settings.kafka_bootstrap, [settings.topic(name) for name in INPUTS])


def good_events(settings: Settings, logged: list[Logged]) -> list[dict[str, Any]]:
    """The events of all records that are not bad, each with its kind."""
    kind_of = {settings.topic(kind.topic): kind.name for kind in KINDS.values()}
    return [
        json.loads(record.value or b"") | {"kind": kind_of[record.topic]}
        for record in logged
        if not is_bad(record.value)
    ]


def oracle_of(settings: Settings, logged: list[Logged]) -> oracle.Ledger:
    """The oracle's ledger of the good events, in the order of the log."""
    return oracle.rate_lines(good_events(settings, logged), oracle.load_book(settings.tariff))


def ends_of(logged: list[Logged]) -> dict[tuple[str, int], int]:
    """Where each partition ends that has records."""
    ends: dict[tuple[str, int], int] = {}
    for record in logged:
        place = (record.topic, record.partition)
        ends[place] = max(ends.get(place, 0), record.offset + 1)
    return ends


def wait_until_committed(
    settings: Settings,
    logged: list[Logged],
    timeout_s: float = 60,
    log: Callable[[], str] = lambda: "",
) -> None:
    """Returns once the settings' group has committed all of the records."""
    ends = ends_of(logged)

    def done() -> bool:
        now = committed(settings)
        return all(now.get(place, 0) >= end for place, end in ends.items())

    wait_for(done, f"all of {len(logged)} records committed", timeout_s, log)


def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """What the settings' group has committed, by (topic, partition).

    Raises one of BrokerErrors when the broker is away.
    """
    return asyncio.run(read_committed(settings, timeout_s=5))
