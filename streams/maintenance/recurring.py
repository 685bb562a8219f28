"""Making the monthly lines: reads what events told of things, writes the months' charges.

Idempotent, so any worker may do it, any number of times. The worker makes this month and the one
before of things that were told of, and of all at its start and when a month begins; the months
before of what is told of late. `rater monthly` makes any month.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.instants import to_us
from rater.kinds import KINDS
from rater.monthly import Telling, charge_month
from rater.months import month_of, months_until, previous_month
from rater.tariff import Book
from rater.usage import State, dims_of
from streams.rows.batch import Batch, RatedRow, monthly_row
from streams.rows.changed import Changed, Thing
from streams.rows.log_position import Place
from streams.store.ledger import Ledger
from streams.store.recurring import (
    TellingRow,
    read_charged,
    read_never_charged,
    read_tellings,
)

EARLIEST_ZONE = ZoneInfo("Etc/GMT+12")  # where a month begins last
ROWS_TOGETHER = 20_000  # of one insert, whole accounts


class Made(NamedTuple):
    """How many rows were made, which things have no price in which month, and which began before
    the first of the months, and when in microseconds."""

    rows: int
    unpriced: set[tuple[date, Thing]]
    began: dict[Thing, int]


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
        return Made(0, set(), {})
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
    return Made(made, unpriced, _began_before(min(months), rows))


def _began_before(month: date, rows: Iterable[TellingRow]) -> dict[Thing, int]:
    """What began before a month somewhere on Earth."""
    end_us = to_us(datetime(month.year, month.month, 2, tzinfo=UTC))
    began: dict[Thing, int] = {}
    for row in rows:
        if row.from_us < end_us:
            thing = (row.account_id, row.billed_as)
            began[thing] = min(row.from_us, began.get(thing, row.from_us))
    return began


def make_earlier_months(
    ledger: Ledger,
    book: Book,
    before: date,
    *,
    began: Mapping[Thing, int],
    as_of: datetime,
    topic_prefix: str = "",
) -> Made:
    """Makes the months before one of some things, from that in which they began. None is closed.

    Raises one of StoreErrors.
    """
    made = Made(0, set(), {})
    for part in Changed(set(began), set()).in_parts():
        first_us = min(began[thing] for thing in part.things)
        months = months_until(month_of(first_us, EARLIEST_ZONE), before)
        more = make_months(
            ledger, book, months, as_of=as_of, topic_prefix=topic_prefix, changed=part
        )
        made = Made(made.rows + more.rows, made.unpriced | more.unpriced, {})
    return made


def find_never_charged(ledger: Ledger, before: date) -> dict[Thing, int]:
    """What began before a month, and when, and has no charge of a month before: told of by a worker
    that was killed before it made its months. Raises one of StoreErrors."""
    return read_never_charged(ledger, before, datetime(before.year, before.month, 2, tzinfo=UTC))


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
    """The months that the worker makes of all things: wherever on Earth it is this month or was the
    last one."""
    ahead = (now + timedelta(hours=14)).date().replace(day=1)
    behind = (now - timedelta(hours=12)).date().replace(day=1)
    return sorted({ahead, behind, previous_month(behind)})
