"""Kafka's topics: declaring them, and checking what exists against what is declared."""

import asyncio

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from rater.kinds import KINDS
from streams.base.settings import Settings
from streams.kafka.clients import admin_client

REJECTED = "usage.rejected.v1"
ALERTS = "usage.alerts.v1"
INPUTS = tuple(kind.topic for kind in KINDS.values())

# The log's own clock orders records and bounds the future, so no producer's clock can.
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(7 * 86_400_000)}


def config_of(replication: int) -> dict[str, str]:
    """A topic's configuration. Of three replicas two have a record before its producer is told so:
    a broker that is lost takes nothing with it, and one that is away stops nobody."""
    return TOPIC_CONFIG | ({"min.insync.replicas": "2"} if replication >= 3 else {})


_TIMESTAMP_TYPE = "message.timestamp.type"

log = structlog.get_logger()


class TopicsError(RuntimeError):
    """Input topics that would make wrong charges; the message says what to do."""


async def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that do not exist yet; returns their names. Idempotent.

    Raises TopicsError when existing input topics differ in their partition counts.
    """
    created = []
    async with admin_client(settings) as admin:
        for name in (*INPUTS, REJECTED, ALERTS):
            topic = NewTopic(
                settings.topic(name),
                settings.topic_partitions,
                settings.topic_replication,
                topic_configs=config_of(settings.topic_replication),
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
    """Raises TopicsError where an input topic is missing, differs in partitions (one account would
    be on several workers), or has its producers' timestamps and no setting allows it."""
    async with admin_client(settings) as admin:
        await _check_partitions(admin, settings)
        if not settings.kafka_create_time:
            await _check_timestamps(admin, settings)


async def _check_timestamps(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, settings.topic(name), {_TIMESTAMP_TYPE: None})
        for name in INPUTS
    ]
    answers = await admin.describe_configs(asked)
    topics = [topic for answer in answers for topic in answer.resources]
    stamped_by_producers, unknown = [], []
    for error_code, _, _, name, entries in topics:
        if error_code:
            unknown.append(name)
        elif any(entry[:2] == (_TIMESTAMP_TYPE, "CreateTime") for entry in entries):
            stamped_by_producers.append(name)
    if unknown:  # a right that no worker needs
        log.warning("timestamp_type_unknown", topics=sorted(unknown))
    if stamped_by_producers:
        raise TopicsError(
            f"topics {', '.join(sorted(stamped_by_producers))} have their producers' timestamps: "
            "which of two contents stands, and which event is from the future, would be theirs to "
            "say; set message.timestamp.type=LogAppendTime, or RATER_KAFKA_CREATE_TIME=true"
        )


async def _check_partitions(admin: AIOKafkaAdminClient, settings: Settings) -> None:
    names = [settings.topic(name) for name in INPUTS]
    for _ in range(20):
        described = await admin.describe_topics(names)
        if all(topic["error_code"] == 0 for topic in described):
            break
        await asyncio.sleep(0.1)  # a topic just created takes a moment to be known
    missing = sorted(topic["topic"] for topic in described if topic["error_code"])
    if missing:
        raise TopicsError(f"topics {', '.join(missing)} do not exist; run `rater topics create`")
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    if len(set(counts.values())) > 1:
        raise TopicsError(
            f"input topics differ in partitions, {counts}: give all of them the same count, so "
            "that one worker holds one account"
        )
