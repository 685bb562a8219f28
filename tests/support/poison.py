"""Poison: records that once stopped every worker of their partition, and how each is sent."""

from typing import Any

import aiokafka
import orjson
from aiokafka.record._crc32c import crc as crc32c

from streams.base.settings import Settings
from tests.conftest import call

LONG = "x" * 900_000
MARK = "Marked-7f3a"  # in accounts and ids, to be looked for in logs
REFUSED = f"{MARK}-refused"  # the id of what `REFUSING` has the store refuse
REFUSING = f"ALTER TABLE rated ADD CONSTRAINT refused CHECK event_id != '{REFUSED}'"


def poisoned(**more: Any) -> bytes:
    return orjson.dumps(call(id=f"{MARK}-poison", account_id=f"{MARK}-poison") | more)


def old_call(n: int) -> bytes:
    day = f"{2013 + n // 12}-{n % 12 + 1:02}-10T12:0"
    told = {"id": f"old-{n}", "dialed_at": f"{day}0:00Z", "answered_at": None}
    return orjson.dumps(call(**told, ended_at=f"{day}1:01Z"))


# name                     how a batch is sent         its values
POISONS: list[tuple[str, dict[str, Any], list[bytes]]] = [
    ("many months",        {},                         [old_call(n) for n in range(150)]),
    ("an enum of 900 kB",  {},                         [poisoned(status=LONG)]),
    ("a key of 1 MB",      {"key": b"k" * 1_000_000},  [b"{bad"]),
    ("headers of 1 MB",    {"header": b"h" * 1_000_000}, [b"{bad"]),
    ("zstd",               {"codec": "zstd"},          [poisoned(id="packed")]),
    ("a header no text",   {"header": b"\xff\xfe"},    [poisoned(id="header")]),
    ("a bomb",             {"codec": "gzip"},          [b"0" * 24_000_000] * 3),
    ("a team of 900 kB",   {},                        [poisoned(team=LONG)]),
    ("the store refuses",  {},                         [poisoned(id=REFUSED)]),
    ("a transaction",      {"transaction": "t"},       [poisoned(id="transaction")]),
]  # fmt: skip


async def send(
    settings: Settings,
    name: str,
    partition: int,
    *values: bytes,
    key: bytes = b"acme",
    header: bytes = b"",
    codec: str | None = None,
    transaction: str = "",
) -> None:
    """One record batch; `header` is put in for the name of its header."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        compression_type=codec,
        max_batch_size=2**27,
        max_request_size=2**27,
        transactional_id=f"{settings.group}-{transaction}" if transaction else None,
    )
    await producer.start()
    try:
        topic = settings.topic(name)
        if transaction:
            async with producer.transaction():
                await producer.send_and_wait(topic, values[0], key=key, partition=partition)
            return
        batch = producer.create_batch()
        headers = [("x" * len(header), b"1")] if header else []
        for value in values:
            assert batch.append(key=key, value=value, timestamp=None, headers=headers)
        if header:
            raw = bytearray(batch._build().replace(b"x" * len(header), header))
            raw[17:21] = crc32c(bytes(raw[21:])).to_bytes(4, "big")
            batch._buffer = raw
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
