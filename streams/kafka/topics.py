"""Kafka outside the worker: declaring the topics, sending events, sending dead letters."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from rater import __version__
from rater.kinds import KINDS
from streams.base.settings import Settings, read_secret
from streams.ingest.app import ssl_context
from streams.ingest.transport import METADATA_MAX_AGE_MS
from streams.rows.batch import RejectedRow

REJECTED = "usage.rejected.v1"
INPUTS = tuple(kind.topic for kind in KINDS.values())

# The log's own clock orders records and bounds the future, so no producer's clock can.
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(7 * 86_400_000)}

ADMIN_TIMEOUT_S = 40.0

BrokerErrors = (KafkaError, OSError)


class PartitionCountError(RuntimeError):
    """Input topics differ in partitions, so one account would be on several workers."""


def client_options(settings: Settings) -> dict[str, object]:
    """What every aiokafka client of ours connects with."""
    options: dict[str, object] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if settings.kafka_security_protocol.startswith("SASL_"):
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": read_secret(settings.kafka_sasl_password_file),
        }
    return options


def make_producer(settings: Settings) -> aiokafka.AIOKafkaProducer:
    """A producer that waits for all replicas and lets no retry write a record twice."""
    return aiokafka.AIOKafkaProducer(
        **client_options(settings), acks="all", enable_idempotence=True, linger_ms=5
    )


@asynccontextmanager
async def admin_client(
    settings: Settings, *, timeout_s: float = ADMIN_TIMEOUT_S
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics and groups; `timeout_s` is for each of its requests."""
    admin = AIOKafkaAdminClient(
        **client_options(settings), request_timeout_ms=round(timeout_s * 1000)
    )
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that do not exist yet; returns their names. Idempotent.

    Raises PartitionCountError when existing input topics differ in their partition counts.
    """
    created = []
    async with admin_client(settings) as admin:
        for name in (*INPUTS, REJECTED):
            topic = NewTopic(
                settings.topic(name),
                settings.topic_partitions,
                settings.topic_replication,
                topic_configs=TOPIC_CONFIG,
            )
            response = await admin.create_topics([topic])
            code = response.topic_errors[0][1]
            if code == 0:
                created.append(topic.name)
            elif code != TopicAlreadyExistsError.errno:
                raise for_code(code)(f"topic {topic.name}: {response.topic_errors[0][2]}")
        await _check_partitions(admin, settings)
    return created


async def check_topics(settings: Settings) -> None:
    """Raises PartitionCountError where an input topic is missing or differs in partitions."""
    async with admin_client(settings) as admin:
        await _check_partitions(admin, settings)


async def _check_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    names = [settings.topic(name) for name in INPUTS]
    for _ in range(20):
        described = await admin.describe_topics(names)
        if all(topic["error_code"] == 0 for topic in described):
            break
        await asyncio.sleep(0.1)  # a topic just created takes a moment to be known
    missing = sorted(topic["topic"] for topic in described if topic["error_code"])
    if missing:
        raise PartitionCountError(
            f"topics {', '.join(missing)} do not exist; run `rater topics create`"
        )
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    if len(set(counts.values())) > 1:
        raise PartitionCountError(
            f"input topics differ in partitions, {counts}: give all of them the same count, so "
            "that one worker holds one account"
        )


async def read_committed(
    settings: Settings, *, timeout_s: float = ADMIN_TIMEOUT_S
) -> dict[tuple[str, int], int]:
    """What the group has committed, by (topic, partition). Raises one of BrokerErrors."""
    async with admin_client(settings, timeout_s=timeout_s) as admin:
        offsets = await admin.list_consumer_group_offsets(settings.group)
    return {(tp.topic, tp.partition): meta.offset for tp, meta in offsets.items()}


def dead_letter(row: RejectedRow) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a dead letter: the record's own, and where it came from and why.

    The value is its first bytes (RAW_KEPT_BYTES); the hash is of the whole.
    """
    origin = {
        "rater_origin_topic": row.place.topic,
        "rater_origin_partition": str(row.place.partition),
        "rater_origin_offset": str(row.place.offset),
        "rater_origin_timestamp_ms": str(row.place.logged_ms),
        "rater_reason": row.reject.reason.value,
        "rater_message": row.reject.message,
        "rater_value_bytes": str(len(row.value)),
        "rater_value_hash": row.raw_hash(),
        "rater_engine_version": __version__,
    }
    return (
        row.key,
        row.raw(),
        [*row.headers, *((name, text.encode()) for name, text in origin.items())],
    )


async def send_dead_letters(
    producer: aiokafka.AIOKafkaProducer, settings: Settings, rows: Sequence[RejectedRow]
) -> None:
    """Sends dead letters to the topic, each on its record's partition number; returns when all are
    in the log."""
    topic = settings.topic(REJECTED)
    partitions = await producer.partitions_for(topic)
    sent = []
    for row in rows:
        key, value, headers = dead_letter(row)
        partition = row.place.partition if row.place.partition in partitions else None
        sent.append(
            await producer.send(topic, value, key=key, partition=partition, headers=headers)
        )
    await asyncio.gather(*sent)
