"""Conflicts: one event id, two contents. The first in the log stands, the others are dead letters.

Found from a set of records that no replay can disturb, never by a look-up on the hot path. Within a
month and line the ledger's own key keeps the first; where the other content has another month or
line, its row is named a loser and left out of every reading of money. So are the rows of a call's
other detections that have another month.

A worker looks for the events of which it has written a record lately: a conflict has a record that
came last. What is looked for are suspects, by a hash of their names: of history one column is read,
and nothing of it is kept in memory.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from rater.reject import Reason, Reject
from streams.rows.batch import Batch, RejectedRow
from streams.rows.log_position import PREFERRED, Place, Span, place_of_version
from streams.store.ledger import Ledger
from streams.store.lines import MONTHLY_LINES_SQL

_LATELY = """(version BETWEEN {low:UInt128} AND {high:UInt128}
    OR version BETWEEN {low_preferred:UInt128} AND {high_preferred:UInt128})"""
_LATE = f"SELECT count() FROM accepted WHERE {_LATELY}"
# Of what came lately, ids and hashes are in memory: so many take 1 GB.
LATE_TOGETHER = 10_000_000
# The other content may have any month: what came in these months is looked at in all of them.
_OF_MONTHS = "(empty({months:Array(Date)}) OR max(month IN {months:Array(Date)}))"
# Groups of all of history are more than memory should hold.
_ON_DISK = "SETTINGS max_bytes_before_external_group_by = 268435456"

_EVENT = "cityHash64(account_id, kind, event_id, revision)"
EVENTS = f"""
SELECT {_EVENT} AS event FROM accepted
GROUP BY event HAVING min(content_hash) != max(content_hash) AND {_OF_MONTHS}
{_ON_DISK}"""
EVENTS_LATELY = f"""
SELECT {_EVENT} AS event FROM accepted
WHERE cityHash64(event_id) IN (SELECT cityHash64(event_id) FROM accepted WHERE {_LATELY})
GROUP BY event HAVING min(content_hash) != max(content_hash)"""
# A detection is its call's: events of one call that disagree on its month are no conflict, and are
# charged once all the same.
_DETECTED = "line = 'ai_voice_detection'"
_CALL = "cityHash64(account_id, identity)"
CALLS = f"""
SELECT {_CALL} AS call FROM rated WHERE {_DETECTED}
GROUP BY call HAVING min(month) != max(month) AND {_OF_MONTHS}
{_ON_DISK}"""
CALLS_LATELY = f"""
SELECT {_CALL} AS call FROM rated
WHERE {_DETECTED}
  AND cityHash64(identity) IN (
    SELECT cityHash64(identity) FROM rated WHERE {_DETECTED} AND {_LATELY})
GROUP BY call HAVING min(month) != max(month)"""

# Of suspects, of which there seldom is one. To look for what none of them has takes as long.
_IS_ONE = "SELECT 1 FROM ({suspects}) LIMIT 1"
_CONFLICTS = f"""
SELECT account_id, kind, event_id, max(version), groupUniqArray((topic, content_hash, version))
FROM accepted
WHERE {_EVENT} IN ({{suspects}})
GROUP BY account_id, kind, event_id, revision
HAVING min(content_hash) != max(content_hash)
"""
_ROWS = f"""
SELECT account_id, kind, event_id, revision, month, line, identity, version
FROM rated
WHERE line NOT IN ({MONTHLY_LINES_SQL})
  AND {_EVENT} IN ({{suspects}})
"""
_CALLS = f"""
SELECT account_id, kind, identity, revision, month, line, identity, version
FROM rated
WHERE {_DETECTED} AND {_CALL} IN ({{suspects}})
"""
_KNOWN = """
SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses
"""


class Conflict(NamedTuple):
    """An event id with more than one content; `lost` are the places of those that do not stand."""

    account_id: str
    kind: str
    event_id: str
    stands: Place
    lost: tuple[Place, ...]


class Loser(NamedTuple):
    """A row of `rated` that loses against its conflict's winner. It does for ever: whoever comes
    later stands before the winner or does not."""

    account_id: str
    month: date
    line: str
    identity: str
    revision: int
    version: int


def find_conflicts(
    ledger: Ledger, months: Collection[date] = (), lately: Span | None = None
) -> list[Conflict]:
    """The conflicts with a record of one of these months or of a part of the log, or all.

    Raises one of StoreErrors.
    """
    conflicts = []
    look = _look(months, lately)
    for account_id, kind, event_id, stands, records in _search(
        ledger, _CONFLICTS, look.events, look.parameters
    ):
        content_at = {
            place_of_version(topic, version): (content, version)
            for topic, content, version in records
        }
        stood, (winner, _) = next(item for item in content_at.items() if item[1][1] == stands)
        lost = tuple(
            sorted(place for place, (content, _) in content_at.items() if content != winner)
        )
        conflicts.append(Conflict(account_id, kind, event_id, stood, lost))
    return sorted(conflicts, key=lambda one: (one.stands.position(), one[:3]))


def settle_conflicts(ledger: Ledger, lately: Span | None = None) -> list[Conflict]:
    """Dead-letters the losers and takes their rows out of every reading; returns the conflicts.

    All of them, or those with a record of a part of the log. Idempotent, so any worker may do it.
    Raises one of StoreErrors when the store does not answer.
    """
    settled: dict[Conflict, None] = {}  # one has records of two parts
    for part in in_parts(ledger, lately):
        conflicts = find_conflicts(ledger, lately=part)
        losers = find_unsettled(ledger, conflicts, lately=part)
        if losers:
            ledger.write_losers(losers)
        letters = [_letter(conflict, place) for conflict in conflicts for place in conflict.lost]
        new = _not_yet(ledger, letters)
        if new:
            ledger.write(Batch(rejected=new))
        settled |= dict.fromkeys(conflicts)
    return list(settled)


def in_parts(ledger: Ledger, lately: Span | None) -> Sequence[Span | None]:
    """A part of the log in parts of its own, each of some LATE_TOGETHER records; None stays one."""
    if lately is None:
        return [None]
    ((count,),) = ledger.search(_LATE, late(lately))
    return lately.cut(-(-count // LATE_TOGETHER))


def settle_written(ledger: Ledger) -> None:
    """Settles what the ledger wrote since this was asked last, as a worker does by the clock."""
    for span in ledger.take_written():
        settle_conflicts(ledger, span)


def find_unsettled(
    ledger: Ledger,
    conflicts: Collection[Conflict],
    months: Collection[date] = (),
    lately: Span | None = None,
) -> list[Loser]:
    """Charged rows that lose and are not named so yet.

    Of the conflicts that were found, and of calls as `find_conflicts` looks for events.
    """
    look = _look(months, lately)
    of_events = _ROWS.replace("{suspects}", look.events)
    losers: set[Loser] = set()
    for rows in (
        (ledger.search(of_events, look.parameters) if conflicts else []),
        _search(ledger, _CALLS, look.calls, look.parameters),
    ):
        stands: dict[tuple[Any, ...], int] = {}
        charged: dict[tuple[Any, ...], int] = {}  # what FINAL leaves of each key
        for *once, month, line, identity, version in rows:
            key = (once[0], month, line, identity, once[-1])
            stands[tuple(once)] = max(stands.get(tuple(once), 0), version)
            charged[key] = max(charged.get(key, 0), version)
        for *once, month, line, identity, version in rows:
            key = (once[0], month, line, identity, once[-1])
            if version == charged[key] != stands[tuple(once)]:
                losers.add(Loser(*key, version))
    if losers:
        losers.difference_update(map(Loser._make, ledger.search(_KNOWN)))
    return sorted(losers)


class _Look(NamedTuple):
    """The suspects among events and among calls, as queries with parameters."""

    events: str
    calls: str
    parameters: Mapping[str, Any]


def _look(months: Collection[date], lately: Span | None) -> _Look:
    if lately is None:
        return _Look(EVENTS, CALLS, {"months": sorted(months)})
    return _Look(EVENTS_LATELY, CALLS_LATELY, late(lately))


def _search(
    ledger: Ledger, sql: str, suspects: str, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    if not ledger.search(_IS_ONE.replace("{suspects}", suspects), parameters):
        return []
    return ledger.search(sql.replace("{suspects}", suspects), parameters)


def late(span: Span) -> Mapping[str, Any]:
    """A part of the log as queries take it."""
    low, high = span.versions()
    return {
        "low": low,
        "high": high,
        "low_preferred": low + PREFERRED,
        "high_preferred": high + PREFERRED,
    }


def _letter(conflict: Conflict, place: Place) -> RejectedRow:
    message = (
        f"event {conflict.event_id!r} came with other content before, at "
        f"{conflict.stands.topic} {conflict.stands.partition} {conflict.stands.offset}: that one "
        "stands; send a correction with a higher revision"
    )
    key = conflict.account_id.encode()
    return RejectedRow(place, conflict.kind, Reject(Reason.CONFLICT, message), key, b"", ())


def _not_yet(ledger: Ledger, letters: list[RejectedRow]) -> list[RejectedRow]:
    if not letters:
        return []
    written = set(
        ledger.search(
            "SELECT topic, partition, offset FROM rejected WHERE reason = {reason:String}",
            {"reason": Reason.CONFLICT.value},
        )
    )
    return [row for row in letters if tuple(row.place[:3]) not in written]
