"""Clients of Kafka: what each connects with, the producer, the admin, what a group committed.

The consumer of the hot line is Faust's (`streams.ingest`), which connects with the same TLS.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.base.settings import Settings, read_secret

ADMIN_TIMEOUT_S = 40.0
ASK_AGAIN_S = 0.2
# A broker that has just woken may tell of no broker at all, and that is lived by until the next
# question: in aiokafka's default 5 minutes.
METADATA_MAX_AGE_MS = 5_000

BrokerErrors = (KafkaError, OSError)


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS towards Kafka, where the protocol asks for it; the system's CAs unless a file is set."""
    if "SSL" not in settings.kafka_security_protocol:
        return None
    context = ssl.create_default_context(
        cafile=str(settings.kafka_ca_file) if settings.kafka_ca_file else None
    )
    if settings.kafka_cert_file:
        context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    return context


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


async def read_committed(
    settings: Settings, *, timeout_s: float = ADMIN_TIMEOUT_S
) -> dict[tuple[str, int], int]:
    """What the group has committed, by (topic, partition). Raises one of BrokerErrors.

    A broker that has just come up has no coordinator for a group yet and says so: it is asked again
    for up to `timeout_s`.
    """
    until_s = time.monotonic() + timeout_s
    async with admin_client(settings, timeout_s=timeout_s) as admin:
        while True:
            try:
                offsets = await admin.list_consumer_group_offsets(settings.group)
            except KafkaError as error:
                if not error.retriable or time.monotonic() > until_s:
                    raise
                await asyncio.sleep(ASK_AGAIN_S)
            else:
                return {(tp.topic, tp.partition): meta.offset for tp, meta in offsets.items()}
