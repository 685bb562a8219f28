"""Conflicts: an identity that stands more than once. One of its records stands; the rows of the
others are superseded, and left out of every reading of money.

An identity is an event by its id, whichever of the kinds that tell of one thing it is told as; or a
detection's call. It stands more than once where its records have two contents (those that lose are
dead letters), or where they, or one record read twice, were rated to two months or lines: under two
books, of which one had another zone for the account.

What stands, in this order:
1. The record of the highest version: the first in the log, but of a call's detections one that was
   answered.
2. Of that record's rows, those of the least month, then of the least line. Which of two books was
   the right one no row can tell, and which row was written first no row keeps; the least is the
   same in every order of writing and resolving. A text's carrier fee stands where its text does.

This is a total order of an identity's rows, so a row that another one stands before is superseded
for ever: it may be named so at once, again, or by several workers, and the end is the same.

Found from sets of records and rows that no replay can disturb, never by a look-up on the hot
path. A worker looks for the identities of which it has written a record recently: a conflict has a
record that came last.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import NamedTuple, TypeVar

from rater.reject import Reason, Reject
from streams.rows.batch import Batch, RejectedRow
from streams.rows.log_position import Place, Span, place_of_version
from streams.store.conflicts import (
    BESIDE,
    SAME_KIND,
    AcceptedRecord,
    IdentityRow,
    SupersededRow,
    Where,
    count_recent,
    read_accepted_of_events,
    read_conflict_letters,
    read_rows_of_calls,
    read_rows_of_events,
    read_rows_of_records,
    read_superseded,
)
from streams.store.ledger import Ledger

# Of what is recent, ids and hashes are in memory: so many take 1 GB.
RECENT_TOGETHER = 10_000_000

One = TypeVar("One", AcceptedRecord, IdentityRow)
Identity = tuple[str, str, str, int]  # account, kind, event id or call, revision


class LostRecord(NamedTuple):
    """A record of other content than the one that stands: a dead letter."""

    kind: str
    place: Place


class Conflict(NamedTuple):
    """An identity that stands more than once, by the event that stands; `lost` is empty where all
    of its records have one content."""

    account_id: str
    kind: str
    event_id: str
    stands: Place
    lost: tuple[LostRecord, ...] = ()


class Found(NamedTuple):
    """The conflicts of a search, and their rows that are charged and should not be."""

    conflicts: list[Conflict]
    superseded: list[SupersededRow]


def find_conflicts(
    ledger: Ledger, months: Collection[date] = (), recent: Span | None = None
) -> Found:
    """The conflicts with a record of one of these months or of a part of the log, or all; and which
    of their rows are not yet named superseded.

    Raises one of StoreErrors.
    """
    where = Where(months, recent)
    accepted = _by_event(read_accepted_of_events(ledger, where))
    rows = set(read_rows_of_records(ledger, where))
    if accepted:
        rows.update(read_rows_of_events(ledger, where))
    groups = [*_by_event(rows).values(), *_by_call(read_rows_of_calls(ledger, where)).values()]
    conflicts = {_event(group[0]): _of_records(group) for group in accepted.values()}
    superseded: set[SupersededRow] = set()
    for group in groups:
        standing = _standing(group)
        if any(not _stands(row, standing) for row in group):
            conflicts.setdefault(_event(standing), _of_rows(standing))
        superseded.update(_superseded(group, standing))
    if superseded:
        superseded -= read_superseded(ledger)
    return Found(
        sorted(conflicts.values(), key=lambda one: (one.stands.position(), one[:3])),
        sorted(superseded),
    )


def resolve_conflicts(ledger: Ledger, recent: Span | None = None) -> list[Conflict]:
    """Dead-letters the records that lose and takes superseded rows out of every reading; returns
    the conflicts.

    All of them, or those with a record of a part of the log. Idempotent, so any worker may do it.
    Raises one of StoreErrors when the store does not answer.
    """
    resolved: dict[Conflict, None] = {}  # one has records of two parts
    for part in in_parts(ledger, recent):
        conflicts, superseded = find_conflicts(ledger, recent=part)
        if superseded:
            ledger.write_superseded(superseded)
        letters = [_letter(conflict, lost) for conflict in conflicts for lost in conflict.lost]
        new = _not_yet(ledger, letters)
        if new:
            ledger.write(Batch(rejected=new))
        resolved |= dict.fromkeys(conflicts)
    return list(resolved)


def in_parts(ledger: Ledger, recent: Span | None) -> Sequence[Span | None]:
    """A part of the log in parts of some RECENT_TOGETHER records; None stays one."""
    if recent is None:
        return [None]
    return recent.cut(-(-count_recent(ledger, recent) // RECENT_TOGETHER))


def resolve_written(ledger: Ledger) -> None:
    """Resolves what the ledger wrote since this was asked last, as a worker does by the clock."""
    for span in ledger.take_written():
        resolve_conflicts(ledger, span)


# ------------------------------------------------------------------ which one stands


def _event(one: AcceptedRecord | IdentityRow) -> Identity:
    return one.account_id, SAME_KIND.get(one.kind, one.kind), one.event_id, one.revision


def _by_event(some: Iterable[One]) -> dict[Identity, list[One]]:
    groups: dict[Identity, list[One]] = defaultdict(list)
    for one in some:
        groups[_event(one)].append(one)
    return groups


def _by_call(rows: Iterable[IdentityRow]) -> dict[Identity, list[IdentityRow]]:
    groups: dict[Identity, list[IdentityRow]] = defaultdict(list)
    for row in rows:
        groups[row.account_id, row.kind, row.identity, row.revision].append(row)
    return groups


def _first(one: AcceptedRecord | IdentityRow) -> tuple[int, date, str]:
    """The order in which records and rows of one identity stand: the least of all does."""
    return -one.version, one.month, one.line


def _standing(rows: Sequence[IdentityRow]) -> IdentityRow:
    return min([row for row in rows if row.line not in BESIDE] or rows, key=_first)


def _stands(row: IdentityRow, standing: IdentityRow) -> bool:
    return (
        row.version == standing.version
        and row.month == standing.month
        and (row.line == standing.line or row.line in BESIDE)
    )


def _superseded(rows: Sequence[IdentityRow], standing: IdentityRow) -> Iterable[SupersededRow]:
    """The rows of an identity that are read as charged, though another one stands.

    Of one key the highest version alone is read as charged.
    """
    charged: dict[SupersededRow, int] = {}
    for row in rows:
        key = _key(row, 0)
        charged[key] = max(charged.get(key, 0), row.version)
    for row in rows:
        if not _stands(row, standing) and row.version == charged[_key(row, 0)]:
            yield _key(row, row.version)


def _key(row: IdentityRow, version: int) -> SupersededRow:
    return SupersededRow(row.account_id, row.month, row.line, row.identity, row.revision, version)


def _of_records(records: Sequence[AcceptedRecord]) -> Conflict:
    first = min(records, key=_first)
    lost = {
        LostRecord(one.kind, place_of_version(one.topic, one.version))
        for one in records
        if one.content_hash != first.content_hash
    }
    stands = place_of_version(first.topic, first.version)
    ordered = tuple(sorted(lost, key=lambda one: one.place))
    return Conflict(first.account_id, first.kind, first.event_id, stands, ordered)


def _of_rows(row: IdentityRow) -> Conflict:
    stands = place_of_version(row.topic, row.version)
    return Conflict(row.account_id, row.kind, row.event_id, stands)


# ------------------------------------------------------------------ dead letters


def _letter(conflict: Conflict, lost: LostRecord) -> RejectedRow:
    message = (
        f"event {conflict.event_id!r} came with other content before, at "
        f"{conflict.stands.topic} {conflict.stands.partition} {conflict.stands.offset}: that one "
        "stands; send a correction with a higher revision"
    )
    key = conflict.account_id.encode()
    return RejectedRow(lost.place, lost.kind, Reject(Reason.CONFLICT, message), key, b"", ())


def _not_yet(ledger: Ledger, letters: list[RejectedRow]) -> list[RejectedRow]:
    if not letters:
        return []
    written = read_conflict_letters(ledger)
    return [row for row in letters if tuple(row.place[:3]) not in written]
