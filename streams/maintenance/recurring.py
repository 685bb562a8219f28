"""Making the monthly lines: reads what events told of things, writes the months' charges.

Idempotent, so any worker may do it, any number of times. The worker makes the open months (this
one and the one before) of things that were told of, and of all at its start and when a month
begins; `rater monthly` makes any month.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from rater.instants import to_us
from rater.kinds import KINDS
from rater.monthly import Telling, charge_month
from rater.months import previous_month
from rater.tariff import Book
from rater.usage import State, dims_of
from streams.rows.batch import Batch, RatedRow, monthly_row
from streams.rows.changed import Changed, Thing
from streams.rows.log_position import Place
from streams.store.ledger import Ledger
from streams.store.recurring import TellingRow, read_charged, read_tellings

ROWS_TOGETHER = 20_000  # of one insert, whole accounts


class Made(NamedTuple):
    """How many rows were made, and which things have no price in which month."""

    rows: int
    unpriced: set[tuple[date, Thing]]


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
    before = read_charged(ledger, months, changed)
    rows = read_tellings(ledger, _end_in_every_zone(max(months)), changed)
    charged_us = max((row.read_us for row in before), default=0)
    charged: dict[date, set[tuple[str, str, str]]] = {month: set() for month in months}
    for row in before:
        charged[row.month].add((row.account_id, row.line, row.identity))
    read_us = rows[0].read_us if rows else charged_us
    # The row of a telling that lost its event id to one read later, which tells of another thing.
    named = {(row.account_id, row.line, row.billed_as) for row in rows}
    for month in months:
        for untold in sorted(charged[month] - named):
            ledger.void_monthly(month, untold, read_us=read_us)
    made, unpriced = 0, set()
    waiting: list[RatedRow] = []
    for _, group in groupby(rows, key=lambda row: row.account_id):
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


def _telling(row: TellingRow) -> Telling:
    state = State(
        row.line, row.thing, row.billed_as, row.from_us, row.until_us, row.seconds, row.number,
        dims_of({"number_type": row.number_type or None, "product": row.product or None}),
        row.call_id, user_id=row.user_id, team=row.team,
    )  # fmt: skip
    position = Place("", row.partition, row.offset, row.logged_ms).position()
    return Telling(row.account_id, row.kind, row.event_id, position, state)


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
