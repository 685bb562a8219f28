"""What the ledger holds of the log: receipts, and of each record its outcome.

A place may be used again, where a topic was made anew: what its receipts cover is one life of a
partition after the other, told apart by the broker's clock.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from rater.instants import in_utc
from streams.rows.log_position import LATEST_MS, POSITIONS, Span, join_spans
from streams.store.ledger import Ledger
from streams.store.parts import AT

# So many lives in one query: their names and numbers travel in its address.
LIVES_TOGETHER = 500
EVER, NEVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(2286, 1, 1, tzinfo=UTC)


class Covered(NamedTuple):
    """What a receipt covers; the log's times are 0 where they were not kept."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    first_logged_ms: int
    last_logged_ms: int
    skipped: Sequence[int] = ()  # the first and the last of each range that holds no record


class Life(NamedTuple):
    """Receipts of one partition since its topic was made, in the order of offsets."""

    topic: str
    partition: int
    first_logged_ms: int
    receipts: list[Covered]

    def end(self) -> int:
        return max(one.last_offset for one in self.receipts) + 1

    def span(self) -> Span:
        """What the log took it in; all of it where a receipt kept no times."""
        last_ms = [one.last_logged_ms or LATEST_MS for one in self.receipts]
        return Span(min(one.first_logged_ms for one in self.receipts), max(last_ms))


class Outcomes(NamedTuple):
    """How many records of a life have an outcome, and which part of the log they are of."""

    records: int
    logged: Span


# Of what was written from one instant to another, by partition: from the receipt before the first
# of these, or from what overlaps it, to the last, in the order of the log's clock. What was written
# up to REACH before and after is looked at, too, and nothing else. A receipt that kept no times was
# written soon after.
REACH = timedelta(days=1)
_RECEIPTS = """
WITH timed AS (
    SELECT topic, partition, first_offset, last_offset, first_logged_at, last_logged_at, written_at,
           skipped,
           if(first_logged_at = 0, written_at, first_logged_at) AS began,
           if(last_logged_at = 0, written_at, last_logged_at) AS ended
    FROM receipts
    WHERE startsWith(topic, {prefix:String})
      AND written_at >= {reach_from:DateTime64(3, 'UTC')}
      AND written_at < {reach_to:DateTime64(3, 'UTC')}),
recent AS (
    SELECT topic, partition, min(began) AS low, max(began) AS high FROM timed
    WHERE written_at >= {since:DateTime64(3, 'UTC')} AND written_at < {until:DateTime64(3, 'UTC')}
    GROUP BY topic, partition),
before AS (
    SELECT topic, partition, maxIf(began, began < low) AS reached, any(high) AS last
    FROM timed INNER JOIN recent USING (topic, partition) GROUP BY topic, partition)
SELECT DISTINCT topic, partition, first_offset, last_offset,
    toUnixTimestamp64Milli(first_logged_at), toUnixTimestamp64Milli(last_logged_at), skipped
FROM timed INNER JOIN before USING (topic, partition) WHERE ended >= reached AND began <= last
"""
_WRITTEN = """
SELECT DISTINCT topic, partition, first_offset, last_offset,
    toUnixTimestamp64Milli(first_logged_at), toUnixTimestamp64Milli(last_logged_at)
FROM receipts WHERE written_at >= {since:DateTime64(3, 'UTC')} AND last_logged_at > 0
  AND states >= {states:UInt32}
"""
_FIRST_WRITTEN = "SELECT min(written_at) FROM receipts HAVING count() > 0"
_UNMERGED = "SELECT count() - uniqExact(account_id, month, line, identity, revision) FROM rated"
_REJECTED = "SELECT count() FROM rejected FINAL"
_ENDS = """
SELECT topic, partition, max(last_offset) + 1 FROM receipts
WHERE startsWith(topic, {prefix:String}) GROUP BY topic, partition
"""

# Of each life the records that have an outcome, from the tables that hold them: a version's lower
# 126 bits are the place's position turned round (`streams.rows.log_position`). The bounds come one
# after the other: topic, partition, when it began, its first offset and the one after its last.
_OUTCOMES = """
WITH lives AS (
    SELECT life.1 AS topic, toInt32(life.2) AS partition, life.3 AS since_ms, life.4 AS low,
           life.5 AS high
    FROM (SELECT arrayJoin({lives:Array(Tuple(String, Int32, Int64, Int64, Int64))}) AS life)),
outcomes AS (
    SELECT topic,
           toInt32(bitAnd(bitShiftRight(position, 64), 65535)) AS partition,
           toInt64(bitAnd(position, toUInt128('18446744073709551615'))) AS offset,
           toInt64(bitShiftRight(position, 80)) AS logged_ms
    FROM (
        SELECT topic, toUInt128('{positions}')
            - bitAnd(version, toUInt128('{positions}')) AS position
        FROM accepted
        WHERE topic IN (SELECT topic FROM lives) AND {at}
          AND (empty({months:Array(Date)}) OR month IN {months:Array(Date)})
    )
    UNION ALL
    SELECT topic, partition, offset, toUnixTimestamp64Milli(logged_at)
    FROM parked WHERE topic IN (SELECT topic FROM lives)
    UNION ALL
    SELECT topic, partition, offset, toUnixTimestamp64Milli(logged_at)
    FROM rejected WHERE topic IN (SELECT topic FROM lives))
SELECT topic, partition, since_ms, groupBitmap(toUInt64(offset)), min(logged_ms), max(logged_ms)
FROM outcomes ASOF INNER JOIN lives
    ON outcomes.topic = lives.topic AND outcomes.partition = lives.partition
    AND outcomes.logged_ms >= lives.since_ms
WHERE offset >= low AND offset < high
GROUP BY topic, partition, since_ms
""".replace("{positions}", str(POSITIONS)).replace("{at}", AT)


def read_lives(
    ledger: Ledger, prefix: str, since: datetime = EVER, until: datetime = NEVER
) -> list[Life]:
    """The lives of partitions with a receipt that was written from one instant to another, so far
    as these reach; of topics that begin with `prefix`. Raises one of StoreErrors."""
    rows = ledger.search(
        _RECEIPTS,
        {
            "prefix": prefix,
            "since": since,
            "until": until,
            "reach_from": max(EVER, since - REACH),
            "reach_to": min(NEVER, until + REACH),
        },
    )
    return lives_of(Covered._make(row) for row in rows)


def read_written(ledger: Ledger, since: datetime, *, telling: bool = False) -> list[Covered]:
    """What was written since, of all topics, or with states of things alone; of receipts that kept
    the log's times. Raises one of StoreErrors."""
    parameters = {"since": since, "states": int(telling)}
    return [Covered(*row) for row in ledger.search(_WRITTEN, parameters)]


def read_first_written(ledger: Ledger) -> datetime | None:
    """When the first receipt was written; None where there is none. Raises one of StoreErrors."""
    rows = ledger.search(_FIRST_WRITTEN)
    return in_utc(rows[0][0]) if rows else None


def lives_of(receipts: Iterable[Covered]) -> list[Life]:
    """A life of a partition ends where offsets that were covered are covered again by records that
    the log took later than all of these: a re-reading has the same times."""
    lives: list[Life] = []
    by_clock = sorted(receipts, key=lambda one: (one[:2], one.first_logged_ms, one.first_offset))
    end = last_logged_ms = 0
    some: list[Covered] = []
    for one in by_clock:
        if (
            not some
            or one[:2] != some[0][:2]
            or (
                some[0].last_logged_ms
                and one.first_offset < end
                and one.first_logged_ms > last_logged_ms
            )
        ):
            some, end, last_logged_ms = [], 0, 0
            lives.append(Life(*one[:2], one.first_logged_ms, some))
        some.append(one)
        end = max(end, one.last_offset + 1)
        last_logged_ms = max(last_logged_ms, one.last_logged_ms)
    for life in lives:
        life.receipts.sort(key=lambda one: one.first_offset)
    return lives


def read_ends(ledger: Ledger, prefix: str) -> dict[tuple[str, int], int]:
    """The offset after the last that was ever covered, by partition. Raises one of StoreErrors."""
    rows = ledger.search(_ENDS, {"prefix": prefix})
    return {(topic, partition): end for topic, partition, end in rows}


def read_outcomes(
    ledger: Ledger, lives: Sequence[Life], months: Sequence[date]
) -> list[Outcomes | None]:
    """How many records of each life have an outcome; those that were rated in these months, or
    in any where there are none. Raises one of StoreErrors."""
    found = {}
    for first in range(0, len(lives), LIVES_TOGETHER):
        some = lives[first : first + LIVES_TOGETHER]
        bounds = [(*life[:3], life.receipts[0].first_offset, life.end()) for life in some]
        (span,) = join_spans((life.span() for life in some), LATEST_MS)
        for *life, records, first_ms, last_ms in ledger.search(
            _OUTCOMES, {"lives": bounds, "months": sorted(months), **span.parameters()}
        ):
            found[tuple(life)] = Outcomes(records, Span(first_ms, last_ms))
    return [found.get(life[:3]) for life in lives]


def count_unmerged(ledger: Ledger) -> int:
    """Copies of rows that no merge has made one yet. Raises one of StoreErrors."""
    return int(ledger.search(_UNMERGED)[0][0])


def count_rejected(ledger: Ledger) -> int:
    """Dead letters, those that were sent again too. Raises one of StoreErrors."""
    return int(ledger.search(_REJECTED)[0][0])
