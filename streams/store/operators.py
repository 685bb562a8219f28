"""What operators see at a glance: how fast, how far, what waits and was refused; all accounts."""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.instants import in_utc, to_us
from rater.lines import MONTHLY_LINES
from rater.months import month_bounds_us, previous_month
from streams.store.events import TAX
from streams.store.ledger import Ledger
from streams.store.statements import nanos

_UTC = ZoneInfo("UTC")
_NOW = "fromUnixTimestamp64Milli({now_ms:Int64}, 'UTC')"
_PACE = f"""
SELECT sum(events) / 60, quantile(0.99)(toUnixTimestamp64Milli(written_at) - toUnixTimestamp64Milli(first_logged_at))
FROM receipts WHERE written_at > {_NOW} - INTERVAL 60 SECOND AND first_logged_at > 0
"""  # noqa: E501
_PARTITIONS = """
SELECT partition, as_of, told_at FROM progress FINAL
WHERE consumer_group = (SELECT argMax(consumer_group, told_at) FROM progress)
ORDER BY partition
"""
_KEY = "(topic, partition, offset, record_hash)"
_OPEN = f"{_KEY} NOT IN (SELECT {_KEY} FROM dismissed)"
_LETTERS = f"""
SELECT reason, count(), countIf(rejected_at > {_NOW} - INTERVAL 1 DAY), min(logged_at),
    max(logged_at), argMax(message, logged_at)
FROM rejected FINAL WHERE {_OPEN} GROUP BY reason ORDER BY count() DESC, reason
"""
_PLACES = f"""
SELECT topic, partition, offset, message, logged_at FROM rejected FINAL
WHERE reason = {{reason:String}} AND {_OPEN}
ORDER BY logged_at DESC, topic, partition, offset DESC LIMIT {{limit:UInt32}}
"""
_WAITING = """
SELECT reason, message, count(), min(logged_at) FROM parked FINAL WHERE resolved = 0
GROUP BY reason, message ORDER BY count() DESC, message LIMIT {limit:UInt32}
"""
_DISMISS = f"""
INSERT INTO dismissed SELECT topic, partition, offset, record_hash, now64(3) FROM rejected FINAL
WHERE reason = {{reason:String}} AND {_OPEN}
    AND ({{topic:String}} = '' OR (topic = {{topic:String}} AND partition = {{partition:Int32}}
        AND offset = {{offset:Int64}}))
"""
# A page of accounts first, then what each has in the two months; who waits has no row, perhaps.
_ACCOUNTS = f"""
WITH some AS (
    SELECT DISTINCT account_id FROM rated
    WHERE account_id > {{after:String}} AND month IN {{months:Array(Date)}}
    ORDER BY account_id LIMIT {{limit:UInt32}})
SELECT account_id, total, before, last, waits FROM (
    SELECT account_id, sumIf(charge + {TAX}, month = {{month:Date}}) AS total,
        sumIf(charge + {TAX}, month != {{month:Date}} AND (line IN {{monthly:Array(String)}}
            OR occurred_at < fromUnixTimestamp64Micro({{until_us:Int64}}))) AS before,
        max(occurred_at) AS last
    FROM rated_rows WHERE account_id IN (SELECT account_id FROM some)
        AND month IN {{months:Array(Date)}}
    GROUP BY account_id) AS used
LEFT JOIN (
    SELECT account_id, count() AS waits FROM parked FINAL
    WHERE resolved = 0 AND account_id IN (SELECT account_id FROM some) GROUP BY account_id
) AS parked USING (account_id) ORDER BY account_id
"""


class Pace(NamedTuple):
    """Of the last minute: events rated a second, and the age of 99 in 100 as they were written."""

    events_per_s: float
    age_ms: int


class Partition(NamedTuple):
    """Up to when a partition is committed, and when its worker last said so."""

    partition: int
    as_of: datetime
    told_at: datetime


class LetterGroup(NamedTuple):
    """Dead letters of one reason that nobody has laid aside."""

    reason: str
    letters: int
    of_today: int
    since: datetime
    last_at: datetime
    message: str


class LetterPlace(NamedTuple):
    topic: str
    partition: int
    offset: int
    message: str
    logged_at: datetime


class WaitingGroup(NamedTuple):
    """Events that wait for the same price."""

    reason: str
    message: str
    events: int
    since: datetime


class AccountUse(NamedTuple):
    """An account's month, and the one before to the same moment of its run, in nanos with tax."""

    account_id: str
    total: int
    before: int
    last_at: datetime
    waits: int


def read_pace(ledger: Ledger, now: datetime) -> Pace:
    """Raises one of StoreErrors."""
    ((rate, age_ms),) = ledger.query(_PACE, {"now_ms": _ms(now)})
    # Of no receipts the age is no number.
    return Pace(float(rate or 0), int(age_ms) if age_ms == age_ms and age_ms else 0)


def read_partitions(ledger: Ledger) -> list[Partition]:
    """Of the group that told something last. Raises one of StoreErrors."""
    return [
        Partition(number, in_utc(as_of), in_utc(told_at))
        for number, as_of, told_at in ledger.query(_PARTITIONS)
    ]


def read_letter_groups(ledger: Ledger, now: datetime) -> list[LetterGroup]:
    """Raises one of StoreErrors."""
    rows = ledger.query(_LETTERS, {"now_ms": _ms(now)})
    return [
        LetterGroup._make(row)._replace(since=in_utc(row[3]), last_at=in_utc(row[4]))
        for row in rows
    ]


def read_letter_places(ledger: Ledger, reason: str, limit: int) -> list[LetterPlace]:
    """The newest of a reason that nobody has laid aside. Raises one of StoreErrors."""
    rows = ledger.query(_PLACES, {"reason": reason, "limit": limit})
    return [LetterPlace._make((*row[:-1], in_utc(row[-1]))) for row in rows]


def dismiss(ledger: Ledger, reason: str, place: tuple[str, int, int] | None = None) -> None:
    """Lays aside the letters of a reason, or the one of a place. Raises one of StoreErrors."""
    topic, partition, offset = place or ("", 0, 0)
    ledger.command(
        _DISMISS, {"reason": reason, "topic": topic, "partition": partition, "offset": offset}
    )


def read_waiting_groups(ledger: Ledger, limit: int) -> list[WaitingGroup]:
    """What waits, by the price that is missing. Raises one of StoreErrors."""
    rows = ledger.query(_WAITING, {"limit": limit})
    return [WaitingGroup._make((*row[:-1], in_utc(row[-1]))) for row in rows]


def read_accounts(ledger: Ledger, now: datetime, *, after: str, limit: int) -> list[AccountUse]:
    """The next accounts by name that have usage in this month or the one before.

    Raises one of StoreErrors.
    """
    month = now.date().replace(day=1)
    before = previous_month(month)
    run_us = to_us(now) - month_bounds_us(month, _UTC)[0]
    begun_us, ended_us = month_bounds_us(before, _UTC)
    parameters = {
        "after": after, "month": month, "months": [month, before], "limit": limit,
        "monthly": list(MONTHLY_LINES), "until_us": min(begun_us + run_us, ended_us),
    }  # fmt: skip
    return [
        AccountUse(account, nanos(total), nanos(had), in_utc(last), waits)
        for account, total, had, last, waits in ledger.query(_ACCOUNTS, parameters)
    ]


def _ms(now: datetime) -> int:
    return int(now.astimezone(UTC).timestamp() * 1000)
