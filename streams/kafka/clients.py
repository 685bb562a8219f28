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
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from streams.base.errors import in_words
from streams.base.settings import Settings, SettingsError, read_secret

ADMIN_TIMEOUT_S = 40.0
ASK_AGAIN_S = 0.2
KNOCK_TIMEOUT_MS = 5_000
# A broker that has just woken may tell of no broker at all, and that is lived by until the next
# question: in aiokafka's default 5 minutes.
METADATA_MAX_AGE_MS = 5_000

BrokerErrors = (KafkaError, OSError)


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS towards Kafka, where the protocol asks for it; the system's CAs unless a file is set.

    Raises SettingsError for a file that is missing or is no PEM.
    """
    if "SSL" not in settings.kafka_security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    except OSError as error:  # ssl's errors are among them
        raise SettingsError(f"RATER_KAFKA_CA_FILE={settings.kafka_ca_file}: {error}") from error
    if settings.kafka_cert_file:
        try:
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
        except OSError as error:
            raise SettingsError(
                f"RATER_KAFKA_CERT_FILE={settings.kafka_cert_file}, "
                f"RATER_KAFKA_KEY_FILE={settings.kafka_key_file}: {error}"
            ) from error
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


async def trouble(settings: Settings, error: BaseException) -> str:
    """Why Kafka can't be used, in one line that says what to do.

    A client says alike of a broker that is away and of one that does not let it in, so the broker
    is asked again.
    """
    where = f"Kafka at {settings.kafka_bootstrap}"
    if refusal := await _refusal(settings):
        return f"{where} {refusal}"
    return (
        f"{where} can't be used ({in_words(error)}); "
        "is it running? RATER_KAFKA_BOOTSTRAP says where"
    )


async def _refusal(settings: Settings) -> str | None:
    """What a broker says to who knocks; None where it lets in, or does not answer."""
    options = client_options(settings)
    del options["bootstrap_servers"], options["metadata_max_age_ms"]
    for address in settings.kafka_bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            connection = await create_conn(
                host, int(port), request_timeout_ms=KNOCK_TIMEOUT_MS, **options
            )
        except ssl.SSLCertVerificationError as error:
            return (
                f"has a certificate that is not trusted ({error.verify_message}); "
                "RATER_KAFKA_CA_FILE names the authorities that are"
            )
        except (SaslAuthenticationFailed, UnsupportedSaslMechanismError):
            return (
                "refuses the user, its password or the mechanism; see RATER_KAFKA_SASL_USERNAME, "
                "RATER_KAFKA_SASL_PASSWORD_FILE and RATER_KAFKA_SASL_MECHANISM"
            )
        except (ValueError, TimeoutError, *BrokerErrors):
            continue
        connection.close()
    return None


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
