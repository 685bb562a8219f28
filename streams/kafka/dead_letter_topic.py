"""Dead letters on their topic: a record that is no event, with where it came from and why."""

import asyncio
from collections.abc import Sequence

import aiokafka

from rater import __version__
from streams.base.settings import Settings
from streams.kafka.topics import REJECTED
from streams.rows.batch import RejectedRow


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
    # What a producer says of where its record lay is left out: nobody is to take it for ours.
    own = [header for header in row.headers if header[0] not in origin]
    return row.key, row.raw(), [*own, *((name, text.encode()) for name, text in origin.items())]


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
