"""Conflicts: an identity that stands more than once. One of its records stands; the rows of the
others are superseded, and left out of every reading of money.

It stands more than once where its records have two contents (those that lose are dead letters), or
where they, or one record read twice, were rated to two months or lines: under two books, of which
one had another zone for the account. `streams.rows.identity` says what stands.

Found from sets of records and rows that no replay can disturb, never by a look-up on the hot
path. A worker looks for the identities of which it has written a record recently: a conflict has a
record that came last.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import NamedTuple

from rater.reject import Reason, Reject
from streams.rows.batch import Batch, RejectedRow
from streams.rows.identity import (
    AcceptedRecord,
    IdentityRow,
    SupersededRow,
    by_call,
    by_event,
    event_of,
    order_of,
    standing_row,
    stands,
    superseded_rows,
)
from streams.rows.log_position import Place, Span, place_of_version
from streams.store.conflicts import (
    Where,
    count_recent,
    read_accepted_of_events,
    read_conflict_letters,
    read_rows_of_calls,
    read_rows_of_events,
    read_rows_of_records,
    read_superseded,
    write_superseded,
)
from streams.store.ledger import Ledger
from streams.store.parts import ALL_ACCOUNTS, Accounts, each_part

# Of what is recent, ids and hashes are in memory: so many take 1 GB.
RECENT_TOGETHER = 10_000_000


class LostRecord(NamedTuple):
    """A record of other content than the one that stands: a dead letter."""

    kind: str
    place: Place
    content_hash: int


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
    ledger: Ledger, months: Collection[date] = (), part: Span | Accounts = ALL_ACCOUNTS
) -> Found:
    """The conflicts of some accounts with a record of one of these months, or of any; or those with
    a record of a part of the log; and which of their rows are not yet named superseded.

    Raises one of StoreErrors.
    """
    where = Where(months, part)
    accepted = by_event(read_accepted_of_events(ledger, where))
    rows = set(read_rows_of_records(ledger, where))
    if accepted:
        rows.update(read_rows_of_events(ledger, where))
    groups = [*by_event(rows).values(), *by_call(read_rows_of_calls(ledger, where)).values()]
    conflicts = {event_of(group[0]): _of_records(group) for group in accepted.values()}
    superseded: set[SupersededRow] = set()
    for group in groups:
        standing = standing_row(group)
        if any(not stands(row, standing) for row in group):
            conflicts.setdefault(event_of(standing), _of_rows(standing))
        superseded.update(superseded_rows(group, standing))
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
    for part in each_part(ledger) if recent is None else in_parts(ledger, recent):
        resolved |= dict.fromkeys(resolve_part(ledger, part))
    return list(resolved)


def resolve_part(ledger: Ledger, part: Span | Accounts) -> list[Conflict]:
    """The same of one part. Raises one of StoreErrors."""
    conflicts, superseded = find_conflicts(ledger, part=part)
    if superseded:
        write_superseded(ledger, superseded)
    letters = [_letter(conflict, lost) for conflict in conflicts for lost in conflict.lost]
    new = _not_yet(ledger, letters)
    if new:
        ledger.write(Batch(rejected=new))
    return conflicts


def in_parts(ledger: Ledger, recent: Span) -> list[Span]:
    """A part of the log in parts of some RECENT_TOGETHER records."""
    return recent.cut(-(-count_recent(ledger, recent) // RECENT_TOGETHER))


def resolve_written(ledger: Ledger) -> None:
    """Resolves what the ledger wrote since this was asked last, as a worker does by the clock."""
    for span in ledger.take_written():
        resolve_conflicts(ledger, span)


# ------------------------------------------------------------------ the conflict of an identity


def _of_records(records: Sequence[AcceptedRecord]) -> Conflict:
    first = min(records, key=order_of)
    lost = {
        LostRecord(one.kind, place_of_version(one.topic, one.version), one.content_hash)
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
    reject = Reject(Reason.CONFLICT, message)
    name = f"{conflict.account_id}\0{conflict.event_id}\0{lost.content_hash}".encode()
    return RejectedRow(lost.place, lost.kind, reject, key, b"", (), name)


def _not_yet(ledger: Ledger, letters: list[RejectedRow]) -> list[RejectedRow]:
    if not letters:
        return []
    written = read_conflict_letters(ledger)
    return [
        row
        for row in letters
        if written.isdisjoint((*row.place[:3], known) for known in (row.record_hash(), 0))
    ]
