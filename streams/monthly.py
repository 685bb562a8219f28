"""Making the monthly lines: reads what events told of things, writes the month's charges.

Idempotent, so any worker may do it, any number of times. The worker makes the open months (this
one and the one before) of accounts whose things changed, and of all accounts at its start and
when a month begins; `rater monthly` makes any month.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime
from itertools import groupby

from rater.events import KINDS, State, to_us
from rater.monthly import Telling, charge_month
from rater.tariff import Book
from streams.ledger import Ledger
from streams.pipeline import Batch, RatedRow, monthly_row
from streams.place import Place

ROWS_TOGETHER = 20_000  # of one insert, whole accounts

# Rows of one account come together, so an account's month is made from all of its things.
_TELLINGS = """
SELECT account_id, kind, event_id, line, thing, billed_as, from_at, until_at, seconds, number,
       number_type, product, call_id, partition, offset, logged_at,
       toUnixTimestamp64Micro(now64(6))
FROM states FINAL
WHERE revision = 0 {only} AND (account_id, kind, thing) IN (
    SELECT account_id, kind, thing FROM states WHERE from_at < {before:DateTime64(6, 'UTC')} {only})
ORDER BY account_id
"""
_CHARGED = """
SELECT account_id, line, identity, toUnixTimestamp64Micro(now64(6)) FROM rated FINAL
WHERE month = {month:Date} AND status != 'voided'
  AND line IN ('phone_numbers', 'recording_storage', 'subscriptions') {only}
"""


def make_month(
    ledger: Ledger,
    book: Book,
    month: date,
    *,
    as_of: datetime,
    topic_prefix: str = "",
    accounts: Collection[str] | None = None,
) -> tuple[int, int]:
    """Makes the month's rows of some accounts, or of all; returns (rows, things without a price).

    Raises one of StoreErrors when the store does not answer.
    """
    parameters: dict[str, object] = {"month": month, "before": _end_in_every_zone(month)}
    only = ""
    if accounts is not None:
        only = "AND account_id IN {accounts:Array(String)}"
        parameters["accounts"] = sorted(accounts)
    before = ledger.query(_CHARGED.replace("{only}", only), parameters)
    charged, charged_us = {row[:3] for row in before}, max((row[3] for row in before), default=0)
    rows = ledger.query(_TELLINGS.replace("{only}", only), parameters)
    # The row of a telling that lost its event id to one read later, which tells of another thing.
    for untold in sorted(charged - {(row[0], row[3], row[5]) for row in rows}):
        ledger.void_monthly(month, untold, read_us=rows[0][-1] if rows else charged_us)
    made = unpriced = 0
    waiting: list[RatedRow] = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        charges, without_price = charge_month(
            [_telling(row) for row in group], month, book, as_of_us=to_us(as_of), charged=charged
        )
        unpriced += len(without_price)
        made += len(charges)
        waiting += [
            monthly_row(charge, telling, topic_prefix + KINDS[telling.kind].topic, rows[0][-1])
            for charge, telling in charges
        ]
        if len(waiting) >= ROWS_TOGETHER:
            ledger.write(Batch(rated=waiting))
            waiting = []
    if waiting:
        ledger.write(Batch(rated=waiting))
    return made, unpriced


def _telling(row: tuple) -> Telling:  # type: ignore[type-arg]
    (account_id, kind, event_id, line, thing, billed_as, from_at, until_at, seconds, number,
     number_type, product, call_id, partition, offset, logged_at, _) = row  # fmt: skip
    logged_ms = _us(logged_at) // 1000
    state = State(
        line, thing, billed_as, _us(from_at), _us(until_at) if until_at else None, seconds, number,
        (None,) * 8 + (number_type or None, product or None), call_id,
    )  # fmt: skip
    position = Place("", partition, offset, logged_ms).position()
    return Telling(account_id, kind, event_id, position, state)


def _us(instant: datetime) -> int:
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


def _end_in_every_zone(month: date) -> datetime:
    """An instant at which the month is over everywhere: what starts later can't touch it."""
    following = date(month.year + month.month // 12, month.month % 12 + 1, 2)
    return datetime(following.year, following.month, following.day, tzinfo=UTC)
