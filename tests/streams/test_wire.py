"""What the real broker hands out, read by the worker's own consumer."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import aiokafka
import orjson
import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.record._crc32c import crc as crc32c
from aiokafka.record.default_records import DefaultRecord

import schemas
from rater.kinds import KINDS
from rater.reject import Reason
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.kafka import lean, record_batches
from streams.kafka.clients import admin_client
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.lean import LeanConsumer
from streams.kafka.record_batches import Unread
from streams.kafka.topics import TopicsError, check_topics, create_topics
from streams.rows.batch import Batch, add_columns, add_records
from streams.rows.log_position import LATEST_MS
from tests.conftest import call

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


async def send(
    broker: EmbeddedKafka,
    topic: str,
    *values: bytes,
    header: bytes = b"",
    at_ms: int | None = None,
    **options: Any,
) -> None:
    """All of the values in one record batch; `header` is put in for the name of theirs."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, max_batch_size=2**20, **options
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        for value in values:
            headers = [("x" * len(header), b"1")] if header else []
            assert batch.append(key=b"acme", value=value, timestamp=at_ms, headers=headers)
        if header:
            _put_in(batch, header)
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


def _put_in(batch: Any, header: bytes) -> None:
    """Other names of headers into a batch that is closed."""
    raw = bytearray(batch._build().replace(b"x" * len(header), header))
    raw[17:21] = crc32c(bytes(raw[21:])).to_bytes(4, "big")
    batch._buffer = raw


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
                consumer.make_room()
                for lists in (await consumer.getmany(timeout_ms=200)).values():
                    records += [record for some in lists for record in some]
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


async def test_a_header_s_name_need_be_no_text(broker: EmbeddedKafka) -> None:
    topic = await new_topic(broker)
    await send(broker, topic, b"1", b"2", header=b"\xff\xfe")
    await send(broker, topic, b"3")
    records = await read(broker, topic, 3)
    assert [(record.offset, record.value) for record in records] == [
        (0, b"1"),
        (1, b"2"),
        (2, b"3"),
    ]
    assert records[0].headers == [("\ufffd\ufffd", b"1")]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_bomb_is_a_dead_letter_and_is_never_unpacked(
    broker: EmbeddedKafka, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "UNPACKED_BYTES_MAX", 100_000)
    topic = await new_topic(broker)
    await send(broker, topic, b"1")
    await send(broker, topic, *[b"0" * 60_000] * 2, compression_type=codec)
    await send(broker, topic, b"2")
    records = await read(broker, topic, 4)
    assert [type(record) for record in records] == [DefaultRecord, Unread, Unread, DefaultRecord]
    bomb, other = records[1:3]
    assert (bomb.offset, bomb.reject.reason, other.offset) == (1, Reason.BAD_BATCH, 2)
    assert bomb.reject.message == (
        "offsets 1 to 2 are of a record batch that becomes more than 100000 bytes; its first bytes "
        "are kept with offset 1"
    )
    assert len(bomb.value) < 10_000
    assert other.value == b""


async def test_much_is_handed_out_a_part_at_a_time(
    broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "HANDED_OUT_BYTES", 1_000)
    monkeypatch.setattr(record_batches, "RECORDS_TOGETHER", 7)
    topic = await new_topic(broker)
    values = [b"%d" % n for n in range(100)]
    for first in range(0, 100, 25):
        await send(broker, topic, *values[first : first + 25], compression_type="zstd")
    records = await read(broker, topic, 100)
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(100))


async def test_a_producer_s_clock_may_say_anything(broker: EmbeddedKafka) -> None:
    """On a topic with Kafka's own default, the producer's time."""
    topic = await new_topic(
        broker,
        **{"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**62)},
    )
    times = [-(10**15), -1, 0, 10**15]
    for at_ms in times:
        await send(broker, topic, orjson.dumps(call(id=f"call{at_ms}")), at_ms=at_ms)
    records = await read(broker, topic, len(times))
    batch, by_row = Batch(), Batch()
    book = load_book(schemas.SAMPLE_TARIFF)
    add_columns(batch, KINDS["call"], topic, [(0, records)], book)
    add_records(by_row, KINDS["call"], topic, 0, records, book)
    assert [row.place.logged_ms for row in batch.rejected] == [0, 0, 0]
    assert batch.rejected == by_row.rejected
    assert {row.reject.reason for row in batch.rejected} == {Reason.IN_FUTURE}
    assert batch.blocks[0].places.logged_ms.tolist() == [LATEST_MS]
    assert by_row.rated[0].version == place_version(batch)


def place_version(batch: Batch) -> int:
    low, high = batch.blocks[0].versions[0].tolist()
    return int(high << 64 | low)


async def test_topics_with_their_producers_timestamps_are_refused_unless_a_setting_allows_it(
    broker: EmbeddedKafka,
) -> None:
    settings = Settings(kafka_bootstrap=broker.bootstrap, topic_prefix="stamped.")
    await create_topics(settings)
    await check_topics(settings)
    name = settings.topic("usage.call.v1")
    async with admin_client(settings) as admin:
        configs = {"message.timestamp.type": "CreateTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs)])

    async def refuse() -> None:
        for _ in range(50):  # the broker's controller knows at once, the broker a moment later
            await check_topics(settings)
            await asyncio.sleep(0.1)

    with pytest.raises(TopicsError, match=f"^topics {name} have .* RATER_KAFKA_CREATE_TIME=true$"):
        await refuse()
    await check_topics(settings.model_copy(update={"kafka_create_time": True}))
