"""Dead letters sent again, and how what people sent is shown.

A letter sent again is the same record, so the event keeps its id and a replay is harmless. Where
the log took it is remembered: if it is rejected again, the new letter at that place is the same
record's, and so the attempts of one record are counted along its whole way. It carries two headers
that say so to people; nobody reads them here, for anyone can write them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rater.reject import Reason
from streams.base.settings import Settings
from streams.kafka.clients import BrokerErrors, make_producer
from streams.kafka.log import Reader, RecordTooLargeError, partition_counts
from streams.rows.kept import digest_of
from streams.rows.log_position import FILE, Place, hash_of_record
from streams.store.ledger import Ledger
from streams.store.letters import Content, Letter, Sent, read_contents, remember_sent

ATTEMPT_HEADER, ORIGIN_HEADER = "rater_replay_attempt", "rater_replay_of"

PAGE = 50  # letters in memory with their bytes


class Replayed(NamedTuple):
    """What became of one letter of a replay: sent to a place, or the reason why not."""

    letter: Letter
    sent: Sent | None
    why_not: str = ""


async def replay(
    settings: Settings,
    ledger: Ledger,
    letters: Sequence[Letter],
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Replayed]:
    """Sends letters to the topic and partition they came from; remembers what the log has taken.

    What the ledger keeps whole is sent from there; a record that was cut is read from the log
    again, if it is still there. Raises one of BrokerErrors or StoreErrors; what was sent until
    then is remembered, but for a crash between the two, which sends at most a page once more.
    """
    partitions = await partition_counts(settings, {letter.topic for letter in letters})
    producer = make_producer(settings)
    replayed: list[Replayed] = []
    await producer.start()
    try:
        async with Reader(settings) as reader:
            for start in range(0, len(letters), PAGE):
                page = letters[start : start + PAGE]
                kept = await asyncio.to_thread(read_contents, ledger, page)
                whole: list[Content | str] = []
                for letter in page:
                    if letter.reason == Reason.CONFLICT:
                        whole.append("the other content stands; send a higher revision instead")
                    elif letter.reason == Reason.BAD_BATCH:
                        whole.append("nobody can unpack it: let its producer send it again")
                    elif letter.partition < partitions.get(letter.topic, 0):
                        whole.append(await _whole(reader, letter, kept[letter.key()]))
                    elif letter.topic.startswith(FILE):
                        whole.append("it came from a file; mend the file and rate it again")
                    else:
                        whole.append("its topic or partition does not exist on this broker")
                outcomes = await asyncio.gather(
                    *(_send(producer, *pair) for pair in zip(page, whole, strict=True)),
                    return_exceptions=True,
                )
                done = [outcome for outcome in outcomes if isinstance(outcome, Replayed)]
                sent = [outcome.sent for outcome in done if outcome.sent is not None]
                await asyncio.to_thread(remember_sent, ledger, sent)
                for outcome in outcomes:
                    if isinstance(outcome, BaseException):
                        raise outcome
                replayed += done
                on_progress(len(replayed))
    finally:
        await producer.stop()
    return replayed


async def send_fixed(settings: Settings, ledger: Ledger, letter: Letter, content: Content) -> str:
    """Sends what an operator made of a letter's record to where that came from; says why not.

    Raises one of StoreErrors.
    """
    if letter.topic.startswith(FILE):
        return "it came from a file; mend the file and rate it again"
    try:
        partitions = await partition_counts(settings, {letter.topic})
        if letter.partition >= partitions.get(letter.topic, 0):
            return "its topic or partition does not exist on this broker"
        producer = make_producer(settings)
        try:
            await producer.start()
            replayed = await _send(producer, letter, content)
        finally:
            await producer.stop()
    except BrokerErrors as error:
        return f"Kafka did not take it ({type(error).__name__}); may this user write the topic?"
    if replayed.sent is not None:
        await asyncio.to_thread(remember_sent, ledger, [replayed.sent])
    return replayed.why_not


async def _send(producer: Any, letter: Letter, content: Content | str) -> Replayed:
    """Sends one letter's record again, or says why it can't be had."""
    if isinstance(content, str):
        return Replayed(letter, None, content)
    attempt = letter.replays + 1
    marks = {ATTEMPT_HEADER: str(attempt), ORIGIN_HEADER: letter.origin}
    headers = [header for header in content.headers if header[0] not in marks]
    headers += [(name, text.encode()) for name, text in marks.items()]
    try:
        metadata = await producer.send_and_wait(
            letter.topic,
            content.value,
            key=content.key,
            partition=letter.partition,
            headers=headers,
        )
    except RecordTooLargeError:
        why = f"its {letter.raw_bytes} bytes are more than a producer or the topic takes"
        return Replayed(letter, None, why)
    place = Place(letter.topic, metadata.partition, metadata.offset, metadata.timestamp)
    hashed = hash_of_record(place, content.value or b"")
    return Replayed(letter, Sent(letter.origin, attempt, (*place[:3], hashed)))


async def _whole(reader: Reader, letter: Letter, kept: Content) -> Content | str:
    """The record as it was sent, or why it can't be had.

    The ledger keeps the value's first bytes without a text's body, and headers as text: what that
    changed is read from the log, and the hash says whether it is the same record still.
    """
    same_value = digest_of(kept.value or b"") == letter.raw_hash
    if same_value and not any("\ufffd".encode() in value for _, value in kept.headers):
        return kept
    record = await reader.read_record(letter.topic, letter.partition, letter.offset)
    if record is not None and digest_of(record.value or b"") == letter.raw_hash:
        return Content(record.key, record.value, list(record.headers))
    lost = f"only {len(kept.value or b'')} of its {letter.raw_bytes} bytes were kept"
    if same_value:
        lost = "its headers are not text and were not kept as they were"
    return f"{lost}, and the record is no longer in Kafka: let its producer send it again"


# Shown to people


def printable(text: str) -> str:
    """Text without what a terminal would obey: control characters and the like are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_bytes(raw: bytes | None) -> str:
    """Bytes as text on one line; what is no UTF-8 is shown as \\xNN."""
    return printable((raw or b"").decode("utf-8", "backslashreplace"))
