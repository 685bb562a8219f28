"""What the real broker hands out, read by the worker's own consumer."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import aiokafka
import pytest
from aiokafka.admin import NewTopic

from streams.base.settings import Settings
from streams.ingest.transport import LeanConsumer
from streams.kafka.clients import admin_client
from streams.kafka.embedded.kafka import EmbeddedKafka

READ_S = 20


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


async def new_topic(broker: EmbeddedKafka, **configs: str) -> str:
    """A topic of one partition."""
    name = f"topic-{uuid.uuid4().hex[:8]}"
    async with admin_client(Settings(kafka_bootstrap=broker.bootstrap)) as admin:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs=configs)])
    return name


async def send(broker: EmbeddedKafka, topic: str, *values: bytes, **options: Any) -> None:
    """All of the values in one record batch."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, max_request_size=32 * 1024 * 1024, **options
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        for value in values:
            assert batch.append(key=b"acme", value=value, timestamp=None) is not None
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


async def read(broker: EmbeddedKafka, topic: str, count: int) -> list[Any]:
    """The first records of a topic, as the worker's consumer gives them."""
    consumer = LeanConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    records: list[Any] = []
    try:
        async with asyncio.timeout(READ_S):
            while len(records) < count:
                for batches in (await consumer.getmany(timeout_ms=200)).values():
                    records += [record for batch in batches for record in batch]
    finally:
        await consumer.stop()
    return records


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_of_kafka_is_read(broker: EmbeddedKafka, codec: str) -> None:
    topic = await new_topic(broker)
    values = [b'{"id": "%d"}' % n for n in range(500)]
    await send(broker, topic, *values, compression_type=codec)
    records = await read(broker, topic, len(values))
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(len(values)))
