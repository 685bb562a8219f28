"""Traffic at a steady pace, whatever else goes on: its events are made and packed beforehand.

Run as a process by `tests.bench.ages`. For each rate it says "ready", waits for a line, sends, and
says as JSON when it did. A record batch for each partition and tick, as producers with a linger
make them; so sending 50,000 events a second takes little of a core.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import aiokafka
import orjson
from aiokafka.partitioner import DefaultPartitioner

from rater.kinds import KINDS
from streams.base.settings import Settings, load_settings
from streams.kafka.simulate import Simulated
from tests.bench.traffic import make_copies, make_events

TICK_S = 0.05
BASE = 50_000  # events; more are made from these, with ids of their own
BATCH_BYTES_MAX = 512 * 1024

Packed = tuple[str, int, aiokafka.producer.message_accumulator.BatchBuilder]


def pack(
    producer: aiokafka.AIOKafkaProducer, settings: Settings, events: Sequence[Simulated]
) -> list[Packed]:
    """The record batches of one tick."""
    partition_of = DefaultPartitioner()
    everyone = list(range(settings.topic_partitions))
    places: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
    for event in events:
        key = event.account_id.encode()
        topic = settings.topic(KINDS[event.kind].topic)
        places[topic, partition_of(key, everyone, everyone)].append((key, event.value))
    packed: list[Packed] = []
    for (topic, partition), records in places.items():
        batch = producer.create_batch()
        for key, value in records:
            if batch.append(timestamp=None, key=key, value=value) is None:
                packed.append((topic, partition, batch))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value)
        packed.append((topic, partition, batch))
    return packed


async def send(producer: aiokafka.AIOKafkaProducer, ticks: Sequence[Sequence[Packed]]) -> float:
    """Sends the ticks at their time; the seconds that the last one was late."""
    began = time.monotonic()
    sent = []
    late_s = 0.0
    for number, packed in enumerate(ticks):
        late_s = time.monotonic() - (began + number * TICK_S)
        if late_s < 0:
            await asyncio.sleep(-late_s)
        for topic, partition, batch in packed:
            sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)
    return max(0.0, late_s)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rates", required=True, help="events a second, by comma")
    options.add_argument("--seconds", type=float, required=True, help="of each rate")
    arguments = options.parse_args()
    settings = load_settings()
    # Of the last hours, as live traffic is: what it charges by the month is of this one.
    base = make_events(BASE, 1, datetime.now(UTC) - timedelta(hours=2))
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES_MAX,
    )
    await producer.start()
    try:
        made = 0
        for rate in map(int, arguments.rates.split(",")):
            each = round(rate * TICK_S)
            count = each * round(arguments.seconds / TICK_S)
            events = make_copies(base, 1, made, count)
            made += count
            ticks = [
                pack(producer, settings, events[at : at + each]) for at in range(0, count, each)
            ]
            del events
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            began_ms = time.time() * 1000
            late_s = await send(producer, ticks)
            done = {"began_ms": began_ms, "ended_ms": time.time() * 1000}
            print(orjson.dumps(done | {"sent": count, "late_s": late_s}).decode(), flush=True)
    finally:
        await producer.stop()


if __name__ == "__main__":
    asyncio.run(main())
