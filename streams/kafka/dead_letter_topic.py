"""Dead letters on their topic: a record that is no event, with where it came from and why."""

import asyncio
from collections.abc import Sequence

import aiokafka
import structlog
from aiokafka.errors import MessageSizeTooLargeError

from rater import __version__
from streams.base.settings import Settings
from streams.kafka.topics import REJECTED
from streams.rows.batch import RejectedRow
from streams.rows.kept import KEPT_BYTES, digest_of

log = structlog.get_logger()


def dead_letter(row: RejectedRow) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a dead letter: the record's own, and where it came from and why.

    The value is what is kept of it (`kept_of`); the hash is of the whole. In the place of a key,
    or of headers, that are longer than that stands their hash.
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
    key, headers = row.key, list(row.headers)
    if key is not None and len(key) > KEPT_BYTES:
        origin["rater_key_hash"] = digest_of(key)
        key = origin["rater_key_hash"].encode()
    named = [name.encode() + b"=" + (value or b"") for name, value in headers]
    if sum(map(len, named)) > KEPT_BYTES:
        origin["rater_headers_hash"] = digest_of(b"\n".join(named))
        headers = []
    # What a producer says of where its record lay is left out: nobody is to take it for ours.
    own = [header for header in headers if header[0] not in origin]
    return key, row.raw(), [*own, *((name, text.encode()) for name, text in origin.items())]


async def send_dead_letters(
    producer: aiokafka.AIOKafkaProducer, settings: Settings, rows: Sequence[RejectedRow]
) -> None:
    """Sends dead letters to the topic, each on its record's partition number; returns when all are
    in the log. One that the topic does not take for its size is in the table alone.
    """
    topic = settings.topic(REJECTED)
    partitions = await producer.partitions_for(topic)
    sent = []
    for row in rows:
        key, value, headers = dead_letter(row)
        partition = row.place.partition if row.place.partition in partitions else None
        try:
            sent.append(
                await producer.send(topic, value, key=key, partition=partition, headers=headers)
            )
        except MessageSizeTooLargeError:
            log.warning("dead_letter_too_large", topic=topic)
    results = await asyncio.gather(*sent, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if not isinstance(error, MessageSizeTooLargeError):
            raise error
        log.warning("dead_letter_too_large", topic=topic)
