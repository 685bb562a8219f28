"""Identities: which of an identity's rows stands. Pure.

An identity is an event by its id, whichever of the kinds that tell of one thing it is told as; or a
detection's call. What stands, in this order:

1. The record of the highest version: the first in the log, but of a call's detections one that was
   answered.
2. Of that record's rows, those of the least month, then of the least line. Which of two books was
   the right one no row can tell, and which row was written first no row keeps; the least is the
   same in every order of writing and resolving. A text's carrier fee stands where its text does.

This is a total order of an identity's rows, so a row that another one stands before is superseded
for ever: it may be named so at once, again, or by several workers, and the end is the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple, TypeVar

from streams.rows.batch import RatedRow

# A record's other line, which stands beside the first one and never in its stead.
BESIDE = ("carrier_fees",)
# Kinds that tell of one thing: a campaign's call is a call, whichever of the two it is told as.
# No others are: a text may have the id of a call, and a detection has its call's very often.
SAME_KIND: Mapping[str, str] = {"dial": "call"}


class AcceptedRecord(NamedTuple):
    """A record of an event that stands more than once or has more than one content."""

    account_id: str
    kind: str
    event_id: str
    revision: int
    topic: str
    content_hash: int
    version: int
    month: date
    line: str


class IdentityRow(NamedTuple):
    """A row of `rated`, as far as it takes to tell which of an identity's rows stands."""

    account_id: str
    kind: str
    event_id: str
    revision: int
    month: date
    line: str
    identity: str
    topic: str
    version: int


class SupersededRow(NamedTuple):
    """A row of `rated` that is not charged, since another row of its identity stands."""

    account_id: str
    month: date
    line: str
    identity: str
    revision: int
    version: int


One = TypeVar("One", AcceptedRecord, IdentityRow)
Identity = tuple[str, str, str, int]  # account, kind, event id or call, revision


def event_of(one: AcceptedRecord | IdentityRow) -> Identity:
    return one.account_id, SAME_KIND.get(one.kind, one.kind), one.event_id, one.revision


def by_event(some: Iterable[One]) -> dict[Identity, list[One]]:
    groups: dict[Identity, list[One]] = defaultdict(list)
    for one in some:
        groups[event_of(one)].append(one)
    return groups


def by_call(rows: Iterable[IdentityRow]) -> dict[Identity, list[IdentityRow]]:
    groups: dict[Identity, list[IdentityRow]] = defaultdict(list)
    for row in rows:
        groups[row.account_id, row.kind, row.identity, row.revision].append(row)
    return groups


def order_of(one: AcceptedRecord | IdentityRow) -> tuple[int, date, str]:
    """The order in which records and rows of one identity stand: the least of all does."""
    return -one.version, one.month, one.line


def standing_row(rows: Sequence[IdentityRow]) -> IdentityRow:
    return min([row for row in rows if row.line not in BESIDE] or rows, key=order_of)


def stands(row: IdentityRow, standing: IdentityRow) -> bool:
    return (
        row.version == standing.version
        and row.month == standing.month
        and (row.line == standing.line or row.line in BESIDE)
    )


def superseded_rows(rows: Sequence[IdentityRow], standing: IdentityRow) -> Iterable[SupersededRow]:
    """The rows of an identity that are read as charged, though another one stands.

    Of one key the highest version alone is read as charged.
    """
    charged: dict[SupersededRow, int] = {}
    for row in rows:
        key = _key(row, 0)
        charged[key] = max(charged.get(key, 0), row.version)
    for row in rows:
        if not stands(row, standing) and row.version == charged[_key(row, 0)]:
            yield _key(row, row.version)


def _key(row: IdentityRow, version: int) -> SupersededRow:
    return SupersededRow(row.account_id, row.month, row.line, row.identity, row.revision, version)


def charged_rows(rows: Iterable[RatedRow]) -> list[RatedRow]:
    """Those of some rows that are charged: of copies one, of an identity what stands."""
    by_key: dict[SupersededRow, RatedRow] = {}
    for row in rows:
        key = _key(_identity_row(row), 0)
        if key not in by_key or row.version > by_key[key].version:
            by_key[key] = row
    all_rows = [_identity_row(row) for row in by_key.values()]
    groups = [*by_event(all_rows).values(), *by_call(all_rows).values()]
    superseded = {lost for group in groups for lost in superseded_rows(group, standing_row(group))}
    return [
        row for key, row in by_key.items() if key._replace(version=row.version) not in superseded
    ]


def _identity_row(row: RatedRow) -> IdentityRow:
    charge, terms = row.charge, row.charge.terms
    return IdentityRow(
        charge.account_id,
        terms.kind,
        charge.event_id,
        charge.revision,
        terms.month,
        terms.line,
        charge.identity,
        row.place.topic,
        row.version,
    )
