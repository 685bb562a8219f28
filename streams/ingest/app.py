"""The Faust app: one consumer group over all input topics, receiving record batches."""

import faust
from faust.auth import SASLCredentials, SSLCredentials

from streams.base.settings import Settings, read_secret
from streams.ingest.transport import use_batches
from streams.kafka.clients import ssl_context


def make_app(settings: Settings) -> faust.App:
    """The app on the running event loop. No tables, no web of its own, nothing declared.

    Faust serves `/table` and `/router` on 0.0.0.0 unless told not to; exactness is ours, by ack
    last and row identity, since `exactly_once` covers Kafka only.
    """
    app = faust.App(
        settings.group,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 8,
        broker_rebalance_timeout=30,
        broker_request_timeout=max(40.0, settings.session_timeout_s + 10),
        broker_max_poll_interval=300,
        broker_commit_interval=0.5,
        consumer_max_fetch_size=settings.fetch_max_bytes,
        stream_buffer_maxsize=16,
        # The worker drains its writer itself, within a bound; a rebalance waits for nothing, and
        # what was in flight is read again by the next owner, whose copies identity absorbs.
        stream_wait_empty=False,
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        autodiscover=False,
        datadir="/nonexistent",
    )
    use_batches(app, settings.group_instance_id)
    return app


def _credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    context = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL_"):
        return SASLCredentials(
            username=settings.kafka_sasl_username,
            password=read_secret(settings.kafka_sasl_password_file),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None
