"""Kafka's topics: declaring them, and checking what exists against what is declared."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from rater.kinds import KINDS
from streams.base.settings import Settings
from streams.kafka.clients import admin_client

REJECTED = "usage.rejected.v1"
INPUTS = tuple(kind.topic for kind in KINDS.values())

# The log's own clock orders records and bounds the future, so no producer's clock can.
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(7 * 86_400_000)}


class PartitionCountError(RuntimeError):
    """Input topics differ in partitions, so one account would be on several workers."""


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
