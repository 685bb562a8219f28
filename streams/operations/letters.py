"""Dead letters and parked events, for the person who looks after them; and sending letters again.

A letter sent again is the same record, so the event keeps its id and a replay is harmless. It
carries two headers: how often this was done, and where the record lay first. If it is rejected
again it comes back as a new letter at a new place, with these headers; so the attempts of one
record are counted along its whole way, by what the log says and by the table `replays`.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import orjson

from rater.instants import to_us
from rater.rate import Wait
from rater.reject import Reason
from streams.base.settings import Settings
from streams.kafka.clients import make_producer
from streams.kafka.log import Reader, RecordTooLargeError, partition_counts
from streams.store.ledger import Ledger

ATTEMPT_HEADER, ORIGIN_HEADER = "rater_replay_attempt", "rater_replay_of"

REPLAYED_AT_ONCE = 10_000  # letters in one run at the most
FILE = "file:"  # what a topic's name begins with when the record was a file's line
PAGE = 50  # letters in memory with their bytes

Headers = list[tuple[str, bytes]]


class Letter(NamedTuple):
    """A dead letter without its bytes."""

    topic: str
    partition: int
    offset: int
    kind: str
    reason: str
    message: str
    raw_bytes: int
    raw_hash: str
    engine_version: str
    logged_at: datetime
    rejected_at: datetime
    origin: str  # topic/partition/offset of the first letter
    attempt: int  # which replay brought this letter; 0 for the first letter
    replays: int  # of its origin, so far

    def place(self) -> str:
        return f"{self.topic} {self.partition} {self.offset}"


class Content(NamedTuple):
    """Key, value and headers: what is sent again."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Selection(NamedTuple):
    """Which letters; what is None or empty selects all."""

    reason: Reason | None = None
    topics: Sequence[str] = ()
    since: datetime | None = None
    place: tuple[str, int, int] | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition and its bound parameters."""
        conditions, parameters = ["1"], dict[str, Any]()
        if self.reason is not None:
            conditions.append("reason = {reason:String}")
            parameters["reason"] = self.reason.value
        if self.topics:
            conditions.append("topic IN {topics:Array(String)}")
            parameters["topics"] = list(self.topics)
        if self.since is not None:
            conditions.append("logged_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')")
            parameters["since_ms"] = to_us(self.since) // 1000
        if self.place is not None:
            conditions.append(
                "topic = {topic:String} AND partition = {partition:Int32}"
                " AND offset = {offset:Int64}"
            )
            parameters |= dict(zip(("topic", "partition", "offset"), self.place, strict=True))
        return " AND ".join(conditions), parameters


# `sent` is the last attempt known for an origin: remembered, or told by a letter that came back
# (a replay that died before it could remember).
_LETTERS = r"""
WITH letters AS (
    SELECT topic, partition, offset, kind, reason, message, raw_bytes, raw_hash, engine_version,
           logged_at, rejected_at,
           extract(headers, '\\["rater_replay_of","([^"\\\\]+)"\\]') AS carried,
           if(carried = '', concat(topic, '/', toString(partition), '/', toString(offset)),
              carried) AS origin,
           toUInt32OrZero(
               extract(headers, '\\["rater_replay_attempt","(\\d{1,6})"\\]')) AS attempt
    FROM rejected FINAL
),
attempts AS (
    SELECT origin, max(attempt) AS sent
    FROM (SELECT origin, attempt FROM letters UNION ALL SELECT origin, attempt FROM replays)
    GROUP BY origin
)
"""
# Of each origin the last letter to come back.
_LATEST = """,
latest AS (
    SELECT * FROM letters INNER JOIN attempts USING (origin)
    ORDER BY attempt DESC, logged_at DESC LIMIT 1 BY origin
)
"""
_FIT = "(reason != 'conflict' AND NOT startsWith(topic, 'file:'))"
_COLUMNS = """topic, partition, offset, kind, reason, message, raw_bytes, raw_hash,
    engine_version, logged_at, rejected_at, origin, attempt, sent"""


def list_letters(ledger: Ledger, selection: Selection, limit: int) -> list[Letter]:
    """The newest letters by the broker's clock."""
    where, parameters = selection.where()
    rows = ledger.query(
        f"{_LETTERS} SELECT {_COLUMNS} FROM letters INNER JOIN attempts USING (origin)"
        f" WHERE {where}"
        " ORDER BY logged_at DESC, topic, partition, offset DESC LIMIT {limit:UInt32}",
        parameters | {"limit": limit},
    )
    return [_letter(row) for row in rows]


def count_letters(ledger: Ledger, selection: Selection) -> dict[str, int]:
    """How many letters there are by reason, the most frequent first."""
    where, parameters = selection.where()
    rows = ledger.query(
        f"SELECT reason, count() AS letters FROM rejected FINAL WHERE {where}"
        " GROUP BY reason ORDER BY letters DESC, reason",
        parameters,
    )
    return {str(reason): int(count) for reason, count in rows}


def read_letter(ledger: Ledger, place: tuple[str, int, int]) -> tuple[Letter, Content] | None:
    """One letter with what the ledger keeps of its record; None where there is none."""
    letters = list_letters(ledger, Selection(place=place), 1)
    if not letters:
        return None
    return letters[0], _contents(ledger, letters)[place]


class Chosen(NamedTuple):
    """What a replay of a selection will do."""

    letters: list[Letter]  # to be sent, in the order of the log
    on_their_way: int  # sent before, and not come back
    exhausted: int  # came back as often as is allowed
    unfit: int  # a file's line, or a conflict, which would be one again
    beyond: int  # more than one run sends


def choose(ledger: Ledger, selection: Selection, max_attempts: int) -> Chosen:
    """The letters to send: of each record the last one to come back, if it may be sent again."""
    where, parameters = selection.where()
    parameters |= {"most": max_attempts, "limit": REPLAYED_AT_ONCE}
    rows = ledger.query(
        f"{_LETTERS}{_LATEST} SELECT {_COLUMNS} FROM latest WHERE ({where}) AND {_FIT}"
        " AND attempt = sent AND attempt < {most:UInt32}"
        " ORDER BY topic, partition, offset LIMIT {limit:UInt32}",
        parameters,
    )
    ((on_their_way, exhausted, unfit, ready),) = ledger.query(
        f"{_LETTERS}{_LATEST} SELECT countIf({_FIT} AND attempt < sent),"
        f" countIf({_FIT} AND attempt = sent AND attempt >= {{most:UInt32}}),"
        f" countIf(NOT {_FIT}),"
        f" countIf({_FIT} AND attempt = sent AND attempt < {{most:UInt32}})"
        f" FROM latest WHERE {where}",
        parameters,
    )
    letters = [_letter(row) for row in rows]
    return Chosen(letters, on_their_way, exhausted, unfit, ready - len(letters))


class Replayed(NamedTuple):
    """What became of one letter of a replay: sent to an offset, or the reason why not."""

    letter: Letter
    attempt: int
    offset: int | None
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
                kept = await asyncio.to_thread(_contents, ledger, page)
                whole: list[Content | str] = []
                for letter in page:
                    if letter.reason == Reason.CONFLICT:
                        whole.append("the other content stands; send a higher revision instead")
                    elif letter.partition < partitions.get(letter.topic, 0):
                        whole.append(await _whole(reader, letter, kept[letter[:3]]))
                    elif letter.topic.startswith(FILE):
                        whole.append("it came from a file; mend the file and rate it again")
                    else:
                        whole.append("its topic or partition does not exist on this broker")
                outcomes = await asyncio.gather(
                    *(_send(producer, *pair) for pair in zip(page, whole, strict=True)),
                    return_exceptions=True,
                )
                done = [outcome for outcome in outcomes if isinstance(outcome, Replayed)]
                await asyncio.to_thread(_remember, ledger, done)
                for outcome in outcomes:
                    if isinstance(outcome, BaseException):
                        raise outcome
                replayed += done
                on_progress(len(replayed))
    finally:
        await producer.stop()
    return replayed


async def _send(producer: Any, letter: Letter, content: Content | str) -> Replayed:
    """Sends one letter's record again, or says why it can't be had."""
    if isinstance(content, str):
        return Replayed(letter, letter.replays, None, content)
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
        return Replayed(letter, letter.replays, None, why)
    return Replayed(letter, attempt, metadata.offset)


async def _whole(reader: Reader, letter: Letter, kept: Content) -> Content | str:
    """The record as it was sent, or why it can't be had.

    The ledger keeps the value's first bytes, and headers as text: what that changed is read from
    the log, and the hash says whether it is the same record still.
    """
    same_value = _hash(kept.value) == letter.raw_hash
    if same_value and not any("\ufffd".encode() in value for _, value in kept.headers):
        return kept
    record = await reader.read_record(letter.topic, letter.partition, letter.offset)
    if record is not None and _hash(record.value) == letter.raw_hash:
        return Content(record.key, record.value, list(record.headers))
    lost = f"only {len(kept.value or b'')} of its {letter.raw_bytes} bytes were kept"
    if same_value:
        lost = "its headers are not text and were not kept as they were"
    return f"{lost}, and the record is no longer in Kafka: let its producer send it again"


def _hash(value: bytes | None) -> str:
    return hashlib.blake2b(value or b"", digest_size=16).hexdigest()


def _remember(ledger: Ledger, outcomes: Sequence[Replayed]) -> None:
    sent = [outcome for outcome in outcomes if outcome.offset is not None]
    if sent:
        ledger.query(
            "INSERT INTO replays SELECT pair.1, pair.2, now64(3) FROM (SELECT arrayJoin("
            "arrayZip({origins:Array(String)}, {attempts:Array(UInt32)})) AS pair)",
            {
                "origins": [outcome.letter.origin for outcome in sent],
                "attempts": [outcome.attempt for outcome in sent],
            },
        )


def _contents(ledger: Ledger, letters: Sequence[Letter]) -> dict[tuple[str, int, int], Content]:
    """What the ledger keeps of some records, by their place."""
    contents = {}
    places = sorted(letter[:3] for letter in letters)
    for (topic, partition), group in groupby(places, key=lambda place: place[:2]):
        # As hexadecimal digits: bytes that are no text would come back changed.
        for offset, key, raw, headers in ledger.query(
            "SELECT offset, hex(key) AS key_hex, hex(raw) AS raw_hex, headers FROM rejected FINAL"
            " WHERE topic = {topic:String} AND partition = {partition:Int32}"
            " AND offset IN {offsets:Array(Int64)}",
            {"topic": topic, "partition": partition, "offsets": [place[2] for place in group]},
        ):
            pairs = orjson.loads(headers) if headers else []
            contents[topic, partition, offset] = Content(
                bytes.fromhex(key) or None,
                bytes.fromhex(raw) or None,
                [(name, value.encode()) for name, value in pairs],
            )
    return contents


def _letter(row: tuple[Any, ...]) -> Letter:
    letter = Letter._make(row)
    return letter._replace(
        logged_at=_in_utc(letter.logged_at), rejected_at=_in_utc(letter.rejected_at)
    )


# Parked events


class Waiting(NamedTuple):
    """An event that waits for a price."""

    topic: str
    partition: int
    offset: int
    kind: str
    account_id: str
    event_id: str
    reason: str
    message: str
    logged_at: datetime


def list_parked(ledger: Ledger, reason: Wait | None, limit: int) -> list[Waiting]:
    """The newest events that wait now, by the broker's clock."""
    rows = ledger.query(
        "SELECT topic, partition, offset, kind, account_id, event_id, reason, message, logged_at"
        " FROM parked FINAL WHERE resolved = 0 AND ({reason:String} IN ('', reason))"
        " ORDER BY logged_at DESC, topic, partition, offset DESC LIMIT {limit:UInt32}",
        {"reason": reason.value if reason else "", "limit": limit},
    )
    return [Waiting._make((*row[:8], _in_utc(row[8]))) for row in rows]


def count_waiting(ledger: Ledger, reason: Wait | None = None) -> Counter[str]:
    """How many events wait now, by reason."""
    rows = ledger.query(
        "SELECT reason, count() FROM parked FINAL"
        " WHERE resolved = 0 AND ({reason:String} IN ('', reason)) GROUP BY reason",
        {"reason": reason.value if reason else ""},
    )
    return Counter({str(name): int(count) for name, count in rows})


# Shown to people


def printable(text: str) -> str:
    """Text without what a terminal would obey: control characters and the like are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_bytes(raw: bytes | None) -> str:
    """Bytes as text on one line; what is no UTF-8 is shown as \\xNN."""
    return printable((raw or b"").decode("utf-8", "backslashreplace"))


def _in_utc(instant: datetime) -> datetime:
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
