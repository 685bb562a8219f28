"""Dead letters as the ledger keeps them, and how often each was sent again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from rater.instants import in_utc, to_us
from rater.reject import Reason
from streams.rows.log_position import FILE
from streams.store.ledger import Ledger

SENT_AT_ONCE = 10_000  # letters in one run at the most

Headers = list[tuple[str, bytes]]
Key = tuple[str, int, int, int]  # a place and its record's hash


class Letter(NamedTuple):
    """A dead letter without its bytes."""

    topic: str
    partition: int
    offset: int
    record_hash: int  # of one place several records may be letters; 0 of what was written before
    kind: str
    reason: str
    message: str
    raw_bytes: int
    raw_hash: str
    engine_version: str
    logged_at: datetime
    rejected_at: datetime
    origin: str  # `name_of` the first letter of the record
    attempt: int  # which replay brought this letter; 0 for the first letter
    replays: int  # of its origin, so far

    def place(self) -> str:
        return f"{self.topic} {self.partition} {self.offset}"

    def key(self) -> Key:
        return self[:4]


class Content(NamedTuple):
    """Key, value and headers: what is sent again."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Sent(NamedTuple):
    """A letter that the log took again."""

    origin: str
    attempt: int
    record: Key  # which it is now


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


def name_of(topic: str, partition: int, offset: int, record_hash: int) -> str:
    """How `replays` names a record: its place and its hash."""
    return f"{topic}/{partition}/{offset}/{record_hash}"


# `name_of` a record; one of before there was a hash is named by its place alone.
_NAME = """concat(topic, '/', toString(partition), '/', toString(offset),
    if(record_hash = 0, '', concat('/', toString(record_hash))))"""
# Which replay brought a letter is told by where the log took it, never by the letter's headers,
# which anyone may write. `sent` is the last attempt known for an origin.
_LETTERS = f"""
WITH letters AS (
    SELECT topic, partition, offset, record_hash, kind, reason, message, raw_bytes, raw_hash,
           engine_version, logged_at, rejected_at,
           if(replay.first = '', name, replay.first) AS origin, replay.nth AS attempt
    FROM (SELECT *, {_NAME} AS name FROM rejected FINAL) AS letter
    LEFT JOIN (
        SELECT place, origin AS first, attempt AS nth FROM replays FINAL WHERE place != ''
    ) AS replay ON replay.place = letter.name
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
_FIT = f"(reason != '{Reason.CONFLICT}' AND NOT startsWith(topic, '{FILE}'))"
_COLUMNS = """topic, partition, offset, record_hash, kind, reason, message, raw_bytes, raw_hash,
    engine_version, logged_at, rejected_at, origin, attempt, sent"""
_CONTENTS = """
SELECT offset, record_hash, hex(key) AS key_hex, hex(raw) AS raw_hex, headers FROM rejected FINAL
WHERE topic = {topic:String} AND partition = {partition:Int32}
  AND offset IN {offsets:Array(Int64)}
"""


def list_letters(ledger: Ledger, selection: Selection, limit: int) -> list[Letter]:
    """The newest letters by the broker's clock. Raises one of StoreErrors."""
    where, parameters = selection.where()
    rows = ledger.query(
        f"{_LETTERS} SELECT {_COLUMNS} FROM letters INNER JOIN attempts USING (origin)"
        f" WHERE {where}"
        " ORDER BY logged_at DESC, topic, partition, offset DESC LIMIT {limit:UInt32}",
        parameters | {"limit": limit},
    )
    return [_letter(row) for row in rows]


def count_letters(ledger: Ledger, selection: Selection) -> dict[str, int]:
    """How many letters there are by reason, the most frequent first. Raises one of StoreErrors."""
    where, parameters = selection.where()
    rows = ledger.query(
        f"SELECT reason, count() AS letters FROM rejected FINAL WHERE {where}"
        " GROUP BY reason ORDER BY letters DESC, reason",
        parameters,
    )
    return {str(reason): int(count) for reason, count in rows}


def read_letter(ledger: Ledger, place: tuple[str, int, int]) -> tuple[Letter, Content] | None:
    """The newest letter of a place with what the ledger keeps of its record; None where there is
    none. Raises one of StoreErrors."""
    letters = list_letters(ledger, Selection(place=place), 1)
    if not letters:
        return None
    return letters[0], read_contents(ledger, letters)[letters[0].key()]


class Chosen(NamedTuple):
    """What a replay of a selection will do."""

    letters: list[Letter]  # to be sent, in the order of the log
    on_their_way: int  # sent before, and not come back
    exhausted: int  # came back as often as is allowed
    unfit: int  # a file's line, or a conflict, which would be one again
    beyond: int  # more than one run sends


def choose(ledger: Ledger, selection: Selection, max_attempts: int) -> Chosen:
    """The letters to send: of each record the last one to come back, if it may be sent again.

    Raises one of StoreErrors.
    """
    where, parameters = selection.where()
    parameters |= {"most": max_attempts, "limit": SENT_AT_ONCE}
    rows = ledger.query(
        f"{_LETTERS}{_LATEST} SELECT {_COLUMNS} FROM latest WHERE ({where}) AND {_FIT}"
        " AND attempt = sent AND attempt < {most:UInt32}"
        " ORDER BY topic, partition, offset, record_hash LIMIT {limit:UInt32}",
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


def read_contents(ledger: Ledger, letters: Sequence[Letter]) -> dict[Key, Content]:
    """What the ledger keeps of some letters' records, by their key. Raises one of StoreErrors."""
    offsets: dict[tuple[str, int], list[int]] = {}
    for letter in letters:
        offsets.setdefault((letter.topic, letter.partition), []).append(letter.offset)
    contents = {}
    for (topic, partition), some in offsets.items():
        # As hexadecimal digits: bytes that are no text would come back changed.
        for offset, record_hash, key, raw, headers in ledger.query(
            _CONTENTS, {"topic": topic, "partition": partition, "offsets": sorted(some)}
        ):
            pairs = orjson.loads(headers) if headers else []
            contents[topic, partition, offset, record_hash] = Content(
                bytes.fromhex(key) or None,
                bytes.fromhex(raw) or None,
                [(name, value.encode()) for name, value in pairs],
            )
    return contents


def remember_sent(ledger: Ledger, sent: Sequence[Sent]) -> None:
    """Writes which letters the log took again. Raises one of StoreErrors."""
    if sent:
        now = datetime.now(UTC)
        ledger.insert(
            "replays",
            ("origin", "attempt", "place", "replayed_at"),
            [[one.origin, one.attempt, name_of(*one.record), now] for one in sent],
        )


def _letter(row: tuple[Any, ...]) -> Letter:
    letter = Letter._make(row)
    return letter._replace(
        logged_at=in_utc(letter.logged_at), rejected_at=in_utc(letter.rejected_at)
    )
