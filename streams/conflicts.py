"""Conflicts: one event id, two contents. The first in the log stands, the others are dead letters.

Found from an aggregate that no replay can disturb, never by a look-up on the hot path. Within a
month and line the ledger's own key keeps the first; where the other content has another month or
line, its row is named a loser and left out of every reading of money. So is a call's detection
that lies in another month than the one that stands: a call is charged for one.
"""

from datetime import date
from typing import NamedTuple

from rater.reject import Reason, Reject
from streams.ledger import Ledger
from streams.pipeline import Batch, Place, RejectedRow, place_of_version

_CONFLICTS = """
SELECT account_id, kind, event_id, max(stands),
       groupArrayArray(arrayMap(record -> (topic, record.1, record.2), records))
FROM identities WHERE empty({months:Array(Date)}) OR month IN {months:Array(Date)}
GROUP BY account_id, kind, event_id, revision
HAVING min(min_hash) != max(max_hash)
"""
_ROWS = """
SELECT account_id, kind, event_id, revision, month, line, identity, version
FROM rated
WHERE line NOT IN ('phone_numbers', 'recording_storage', 'subscriptions')
  AND (account_id, kind, event_id, revision) IN (
    SELECT account_id, kind, event_id, revision FROM identities
    WHERE empty({months:Array(Date)}) OR month IN {months:Array(Date)}
    GROUP BY account_id, kind, event_id, revision HAVING min(min_hash) != max(max_hash))
"""
_CALLS = """
SELECT account_id, kind, event_id, revision, month, line, identity, version
FROM rated
WHERE line = 'ai_voice_detection' AND (account_id, identity, revision) IN (
    SELECT account_id, identity, revision FROM rated
    WHERE line = 'ai_voice_detection'
      AND (empty({months:Array(Date)}) OR month IN {months:Array(Date)})
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
    lost: list[Place]


def find_conflicts(ledger: Ledger, months: list[date], *, topic_prefix: str = "") -> list[Conflict]:
    """The conflicts among events of some months, or of all. Raises one of StoreErrors."""
    conflicts = []
    for account_id, kind, event_id, stands, records in ledger.query(_CONFLICTS, {"months": months}):
        content_at = {
            place_of_version(topic, version): (content, version)
            for topic, content, version in records
        }
        stood, (winner, _) = next(item for item in content_at.items() if item[1][1] == stands)
        lost = sorted(place for place, (content, _) in content_at.items() if content != winner)
        conflicts.append(Conflict(account_id, kind, event_id, stood, lost))
    return sorted(conflicts, key=lambda conflict: conflict.stands.position())


def settle_conflicts(ledger: Ledger, months: list[date]) -> list[Conflict]:
    """Dead-letters the losers and takes their rows out of every reading; returns the conflicts.

    Idempotent, so any worker may do it. Raises one of StoreErrors when the store does not answer.
    """
    conflicts = find_conflicts(ledger, months)
    known = {tuple(row[:6]): bool(row[6]) for row in ledger.query(_KNOWN)}
    rows = set(ledger.query(_CALLS, {"months": months}))
    if conflicts or known:
        rows.update(ledger.query(_ROWS, {"months": months}))
    # By event and by what is charged once; the two are the same but for the detections of a call.
    events: dict[tuple[object, ...], int] = {}
    charged: dict[tuple[object, ...], int] = {}
    for account_id, kind, event_id, revision, _, _, identity, version in rows:
        event, once = (account_id, kind, event_id, revision), (account_id, kind, identity, revision)
        events[event] = max(events.get(event, 0), version)
        charged[once] = max(charged.get(once, 0), version)
    changed = []
    for account_id, kind, event_id, revision, month, line, identity, version in rows:
        loses = version != max(
            events[account_id, kind, event_id, revision],
            charged[account_id, kind, identity, revision],
        )
        key = (account_id, month, line, identity, revision, version)
        if loses != known.get(key, False):
            changed.append((*key, loses))
    if changed:
        ledger.write_losers(changed)
    letters = [_letter(conflict, place) for conflict in conflicts for place in conflict.lost]
    new = _not_yet(ledger, letters)
    if new:
        ledger.write(Batch(rejected=new))
    return conflicts


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
