"""Making the monthly lines: reads what events told of things, writes the months' charges.

Idempotent, so any worker may do it, any number of times. The worker makes the open months (this
one and the one before) of things that were told of, and of all at its start and when a month
begins; `rater monthly` makes any month.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from rater.events import KINDS, State, to_us
from rater.monthly import Telling, charge_month
from rater.months import previous_month
from rater.tariff import Book
from streams.rows.batch import Batch, RatedRow, monthly_row
from streams.rows.changed import Changed, Thing
from streams.rows.log_position import Place
from streams.store.ledger import Ledger

ROWS_TOGETHER = 20_000  # of one insert, whole accounts


class Made(NamedTuple):
    """How many rows were made, and which things have no price in which month."""

    rows: int
    unpriced: set[tuple[date, Thing]]


_OF = """AND (account_id IN {{owners:Array(String)}} AND xxh3({name}) IN {{things:Array(UInt64)}}
    OR account_id IN {{accounts:Array(String)}})"""
# Of what changed, and of what has an account and a name's hash of it; all tellings of what a thing
# is billed as, from which its charge is made.
TOLD, CHARGED = (_OF.format(name=name) for name in ("billed_as", "identity"))
# Of all, what has begun: of what changed, few things begin later.
BEGUN = """AND (account_id, kind, thing) IN (
    SELECT account_id, kind, thing FROM states WHERE from_at < {before:DateTime64(6, 'UTC')})"""
# Rows of one account come together.
_TELLINGS = """
SELECT account_id, kind, event_id, line, thing, billed_as, toUnixTimestamp64Micro(from_at),
       toUnixTimestamp64Micro(until_at), seconds, number, number_type, product, call_id, partition,
       offset, toUnixTimestamp64Milli(logged_at), toUnixTimestamp64Micro(now64(6))
FROM states FINAL
WHERE revision = 0 {only}
ORDER BY account_id
"""
# As FINAL has it, which would put all rows of the months in order first.
_CHARGED = """
SELECT month, account_id, line, identity, toUnixTimestamp64Micro(now64(6)) FROM rated
WHERE month IN {months:Array(Date)}
  AND line IN ('phone_numbers', 'recording_storage', 'subscriptions') {only}
GROUP BY month, account_id, line, identity, revision
HAVING argMax(status, version) != 'voided'
"""


def make_months(
    ledger: Ledger,
    book: Book,
    months: Collection[date],
    *,
    as_of: datetime,
    topic_prefix: str = "",
    changed: Changed | None = None,
) -> Made:
    """Makes the rows of some months, of what changed or of all.

    Raises one of StoreErrors when the store does not answer.
    """
    if not months:
        return Made(0, set())
    parameters: dict[str, Any] = {
        "months": sorted(months),
        "before": _end_in_every_zone(max(months)),
    }
    told, of = BEGUN, ""
    if changed is not None:
        told, of = TOLD, CHARGED
        parameters |= changed.parameters()
    before = ledger.query(_CHARGED.replace("{only}", of), parameters)
    rows = ledger.query(_TELLINGS.replace("{only}", told), parameters)
    if changed is not None:
        before = [row for row in before if changed.has((row[1], row[3]))]
        rows = [row for row in rows if changed.has((row[0], row[5]))]
    charged_us = max((row[-1] for row in before), default=0)
    charged: dict[date, set[tuple[str, str, str]]] = {month: set() for month in months}
    for month, account, line, identity, _ in before:
        charged[month].add((account, line, identity))
    read_us = rows[0][-1] if rows else charged_us
    # The row of a telling that lost its event id to one read later, which tells of another thing.
    named = {(row[0], row[3], row[5]) for row in rows}
    for month in months:
        for untold in sorted(charged[month] - named):
            ledger.void_monthly(month, untold, read_us=read_us)
    made, unpriced = 0, set()
    waiting: list[RatedRow] = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        tellings = [_telling(row) for row in group]
        for month in months:
            charges, without_price = charge_month(
                tellings, month, book, as_of_us=to_us(as_of), charged=charged[month]
            )
            unpriced |= {(month, (one.account_id, one.state.billed_as)) for one, _ in without_price}
            made += len(charges)
            waiting += [
                monthly_row(charge, telling, topic_prefix + KINDS[telling.kind].topic, read_us)
                for charge, telling in charges
            ]
        if len(waiting) >= ROWS_TOGETHER:
            ledger.write(Batch(rated=waiting))
            waiting = []
    if waiting:
        ledger.write(Batch(rated=waiting))
    return Made(made, unpriced)


def _telling(row: tuple) -> Telling:  # type: ignore[type-arg]
    (account_id, kind, event_id, line, thing, billed_as, from_us, until_us, seconds, number,
     number_type, product, call_id, partition, offset, logged_ms, _) = row  # fmt: skip
    state = State(
        line, thing, billed_as, from_us, until_us, seconds, number,
        (None,) * 8 + (number_type or None, product or None), call_id,
    )  # fmt: skip
    position = Place("", partition, offset, logged_ms).position()
    return Telling(account_id, kind, event_id, position, state)


def _end_in_every_zone(month: date) -> datetime:
    """An instant at which the month is over everywhere: what starts later can't touch it."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 2)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)


def open_months(now: datetime) -> list[date]:
    """The months whose monthly lines are made by the worker: wherever on Earth it is this month or
    was the last one."""
    ahead = (now + timedelta(hours=14)).date().replace(day=1)
    behind = (now - timedelta(hours=12)).date().replace(day=1)
    return sorted({ahead, behind, previous_month(behind)})
