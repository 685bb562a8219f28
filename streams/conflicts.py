"""Conflicts: one event id, two contents. The first in the log stands, the others are dead letters.

Found from a set of records that no replay can disturb, never by a look-up on the hot path. Within a
month and line the ledger's own key keeps the first; where the other content has another month or
line, its row is named a loser and left out of every reading of money. So are the rows of a call's
other detections that have another month.
"""

from collections.abc import Collection
from datetime import date
from typing import Any, NamedTuple

from rater.reject import Reason, Reject
from streams.ledger import Ledger
from streams.pipeline import Batch, RejectedRow
from streams.place import Place, place_of_version

# The other content may have any month: what came in these months is looked at in all of them. Few
# events are in conflict, if any: they are looked for by a hash of their names first, at a ninth
# of the cost (4 million records: 0.6 s in place of 5.2).
_OF_MONTHS = """
FROM accepted
WHERE cityHash64(account_id, kind, event_id, revision) IN (
    SELECT cityHash64(account_id, kind, event_id, revision) AS names FROM accepted
    GROUP BY names
    HAVING min(content_hash) != max(content_hash)
       AND (empty({months:Array(Date)}) OR max(month IN {months:Array(Date)})))
GROUP BY account_id, kind, event_id, revision
HAVING min(content_hash) != max(content_hash)
"""
_CONFLICTS = f"""
SELECT account_id, kind, event_id, max(version), groupUniqArray((topic, content_hash, version))
{_OF_MONTHS}
"""
_ROWS = f"""
SELECT account_id, kind, event_id, revision, month, line, identity, version
FROM rated
WHERE line NOT IN ('phone_numbers', 'recording_storage', 'subscriptions')
  AND (account_id, kind, event_id, revision) IN (
    SELECT account_id, kind, event_id, revision {_OF_MONTHS})
"""
# A detection is its call's: events of one call that disagree on its month are no conflict, and are
# charged once all the same.
_CALLS = """
SELECT account_id, kind, identity, revision, month, line, identity, version
FROM rated
WHERE line = 'ai_voice_detection' AND (account_id, identity, revision) IN (
    SELECT account_id, identity, revision FROM rated
    WHERE line = 'ai_voice_detection' AND (
        empty({months:Array(Date)}) OR (account_id, identity) IN (
            SELECT account_id, identity FROM rated
            WHERE line = 'ai_voice_detection' AND month IN {months:Array(Date)}))
    GROUP BY account_id, identity, revision HAVING min(month) != max(month))
"""
_KNOWN = """
SELECT account_id, month, line, identity, revision, version, loses FROM losers FINAL
"""


class Conflict(NamedTuple):
    """An event id with more than one content; `lost` are the places of those that do not stand."""

    account_id: str
    kind: str
    event_id: str
    stands: Place
    lost: tuple[Place, ...]


class Loser(NamedTuple):
    """A row of `rated`, and whether it loses against its conflict's winner."""

    account_id: str
    month: date
    line: str
    identity: str
    revision: int
    version: int
    loses: bool


def find_conflicts(ledger: Ledger, months: Collection[date]) -> list[Conflict]:
    """The conflicts with a record of one of these months, or all. Raises one of StoreErrors."""
    conflicts = []
    for account_id, kind, event_id, stands, records in ledger.query(
        _CONFLICTS, {"months": sorted(months)}
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


def settle_conflicts(ledger: Ledger, months: Collection[date]) -> list[Conflict]:
    """Dead-letters the losers and takes their rows out of every reading; returns the conflicts.

    Idempotent, so any worker may do it. Raises one of StoreErrors when the store does not answer.
    """
    conflicts = find_conflicts(ledger, months)
    changed = find_unsettled(ledger, months, conflicts)
    if changed:
        ledger.write_losers(changed)
    letters = [_letter(conflict, place) for conflict in conflicts for place in conflict.lost]
    new = _not_yet(ledger, letters)
    if new:
        ledger.write(Batch(rejected=new))
    return conflicts


def find_unsettled(
    ledger: Ledger, months: Collection[date], conflicts: list[Conflict]
) -> list[Loser]:
    """Charged rows that lose and are not named so yet; and named ones that do not lose any more."""
    known = {tuple(row[:6]): bool(row[6]) for row in ledger.query(_KNOWN)}
    of_months = {"months": sorted(months)}
    loses: dict[tuple[Any, ...], bool] = {}
    for rows in (
        (ledger.query(_ROWS, of_months) if conflicts or known else []),
        (ledger.query(_CALLS, of_months)),
    ):
        stands: dict[tuple[Any, ...], int] = {}
        charged: dict[tuple[Any, ...], int] = {}  # what FINAL leaves of each key
        for *once, month, line, identity, version in rows:
            key = (once[0], month, line, identity, once[-1])
            stands[tuple(once)] = max(stands.get(tuple(once), 0), version)
            charged[key] = max(charged.get(key, 0), version)
        for *once, month, line, identity, version in rows:
            key = (once[0], month, line, identity, once[-1])
            if version == charged[key]:
                lost = version != stands[tuple(once)]
                loses[*key, version] = lost or loses.get((*key, version), False)
    return [
        Loser._make((*key, lost)) for key, lost in loses.items() if lost != known.get(key, False)
    ]


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
        ledger.query(
            "SELECT topic, partition, offset FROM rejected WHERE reason = {reason:String}",
            {"reason": Reason.CONFLICT.value},
        )
    )
    return [row for row in letters if tuple(row.place[:3]) not in written]
