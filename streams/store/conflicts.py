"""What the ledger holds of identities that stand more than once: one reader a question.

A search looks for suspects first, by a hash of their names, for there seldom is one; only of these
whole rows are read, of their accounts. What was written recently (a span) is found by the log's
clock, and what was seen before of it by its hash: history costs nothing.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from rater.reject import Reason
from streams.rows.identity import SAME_KIND, AcceptedRecord, IdentityRow, SupersededRow
from streams.rows.log_position import Span
from streams.store.ledger import Ledger
from streams.store.lines import MONTHLY_LINES_SQL
from streams.store.parts import ALL_ACCOUNTS, AT, IS_OF, LOGGED, Accounts


class Where(NamedTuple):
    """Which records make their identity one to look at: those of some accounts and of some months
    or of all, or those of a part of the log, which were written recently."""

    months: Collection[date] = ()
    part: Span | Accounts = ALL_ACCOUNTS


# ------------------------------------------------------------------ who is suspected

# The other row may have any month: what came in these months is looked at in all of them.
_OF_MONTHS = "(empty({months:Array(Date)}) OR max(month IN {months:Array(Date)}))"
# Groups of all of history are more than memory should hold.
_ON_DISK = "SETTINGS max_bytes_before_external_group_by = 268435456"

_SAME = ", ".join(f"kind = '{kind}', '{same}'" for kind, same in SAME_KIND.items())
_EVENT = f"cityHash64(account_id, multiIf({_SAME}, kind), event_id, revision)"
# Two contents; or one, that was rated to two months or lines, under two books or engines.
_DIFFERS = """(min(content_hash) != max(content_hash) OR min(month) != max(month)
    OR minIf(line, line != '') != maxIf(line, line != ''))"""
_EVENTS = f"""
SELECT {_EVENT} AS event FROM accepted WHERE {IS_OF}
GROUP BY event HAVING {_DIFFERS} AND {_OF_MONTHS}
{_ON_DISK}"""
# Of what was written recently, those that were ever seen with other facts, by their hash.
_SUSPECT_EVENTS = f"""
SELECT event FROM seen
WHERE event IN (SELECT {_EVENT} FROM accepted WHERE {AT})
GROUP BY event HAVING min(facts) != max(facts)"""
_SUSPECTS = f"""SELECT account_id, event_id FROM accepted
    WHERE {AT} AND {_EVENT} IN ({_SUSPECT_EVENTS})"""
_EVENTS_RECENT = f"""
SELECT {_EVENT} AS event FROM accepted
WHERE (account_id, event_id) IN ({_SUSPECTS})
GROUP BY event HAVING {_DIFFERS}"""

# One record with rows in two months or lines. It may be accepted once and have rows of twice: an
# insert that broke in the middle leaves rows that no view has seen.
_CHARGED_ONCE = f"line NOT IN ({MONTHLY_LINES_SQL})"
_MOVED = """(min(month) != max(month)
    OR minIf(line, line != 'carrier_fees') != maxIf(line, line != 'carrier_fees'))"""
_RECORD = "cityHash64(topic, version)"
_RECORDS = f"""
SELECT {_RECORD} AS record FROM rated WHERE {_CHARGED_ONCE} AND {IS_OF}
GROUP BY record HAVING {_MOVED} AND {_OF_MONTHS}
{_ON_DISK}"""
_RECORDS_RECENT = f"""
SELECT {_RECORD} AS record FROM rated WHERE {_CHARGED_ONCE} AND {LOGGED}
GROUP BY record HAVING {_MOVED}"""

# A detection is its call's, whichever event told of it.
_DETECTED = "line = 'ai_voice_detection'"
_CALL = "cityHash64(account_id, identity, revision)"
_CALLS = f"""
SELECT {_CALL} AS call FROM rated WHERE {_DETECTED} AND {IS_OF}
GROUP BY call HAVING min(month) != max(month) AND {_OF_MONTHS}
{_ON_DISK}"""
_DETECTION = "cityHash64('detection', account_id, identity, revision)"
_SUSPECT_CALLS = f"""
SELECT event FROM seen
WHERE event IN (SELECT {_DETECTION} FROM rated WHERE {_DETECTED} AND {LOGGED})
GROUP BY event HAVING min(facts) != max(facts)"""
_CALLS_RECENT = f"""
SELECT {_CALL} AS call FROM rated
WHERE {_DETECTED} AND (account_id, identity) IN (
    SELECT account_id, identity FROM rated
    WHERE {_DETECTED} AND {LOGGED} AND {_DETECTION} IN ({_SUSPECT_CALLS}))
GROUP BY call HAVING min(month) != max(month)"""

# ------------------------------------------------------------------ what is read of them

_IS_ONE = "SELECT 1 FROM ({suspects}) LIMIT 1"
_ACCEPTED = f"""
SELECT account_id, kind, event_id, revision, topic, content_hash, version, month, line
FROM accepted
WHERE {{of}} AND {_EVENT} IN ({{suspects}})
"""
_ROW = "account_id, kind, event_id, revision, month, line, identity, topic, version"
_ROWS_OF_EVENTS = f"""
SELECT {_ROW} FROM rated
WHERE {{of}} AND {_CHARGED_ONCE} AND {_EVENT} IN ({{suspects}})
"""
_ROWS_OF_RECORDS = f"""
SELECT {_ROW} FROM rated
WHERE {{of}} AND {_CHARGED_ONCE} AND {_EVENT} IN (
    SELECT {_EVENT} FROM rated WHERE {{of}} AND {_RECORD} IN ({{suspects}}))
"""
_ROWS_OF_CALLS = f"""
SELECT {_ROW} FROM rated
WHERE {{of}} AND {_DETECTED} AND {_CALL} IN ({{suspects}})
"""
# Whose they are: the accounts of a part, or those that something was recently written of.
_OF_RECENT = f"account_id IN (SELECT account_id FROM accepted WHERE {AT})"
_COUNT_RECENT = f"SELECT count() FROM accepted WHERE {AT}"
_SUPERSEDED = """
SELECT account_id, month, line, identity, revision, version FROM losers FINAL WHERE loses
"""
_LETTERS = (
    "SELECT topic, partition, offset, record_hash FROM rejected WHERE reason = {reason:String}"
)


def count_recent(ledger: Ledger, recent: Span) -> int:
    """How many records of a part of the log were accepted. Raises one of StoreErrors."""
    ((count,),) = ledger.search(_COUNT_RECENT, recent.parameters())
    return int(count)


def read_accepted_of_events(ledger: Ledger, where: Where) -> list[AcceptedRecord]:
    """All records of events with more than one content, month, line or kind."""
    rows = _read(ledger, _ACCEPTED, (_EVENTS, _EVENTS_RECENT), where)
    return [AcceptedRecord._make(row) for row in rows]


def read_rows_of_events(ledger: Ledger, where: Where) -> list[IdentityRow]:
    """All rows of these events; copies that are not merged yet too. No recurring charges."""
    rows = _read(ledger, _ROWS_OF_EVENTS, (_EVENTS, _EVENTS_RECENT), where)
    return [IdentityRow._make(row) for row in rows]


def read_rows_of_records(ledger: Ledger, where: Where) -> list[IdentityRow]:
    """All rows of events of which one record has rows in more than one month or line."""
    rows = _read(ledger, _ROWS_OF_RECORDS, (_RECORDS, _RECORDS_RECENT), where)
    return [IdentityRow._make(row) for row in rows]


def read_rows_of_calls(ledger: Ledger, where: Where) -> list[IdentityRow]:
    """All detections of calls that have some in more than one month."""
    rows = _read(ledger, _ROWS_OF_CALLS, (_CALLS, _CALLS_RECENT), where)
    return [IdentityRow._make(row) for row in rows]


def read_superseded(ledger: Ledger) -> set[SupersededRow]:
    """The rows that are named superseded already."""
    return set(map(SupersededRow._make, ledger.search(_SUPERSEDED)))


def write_superseded(ledger: Ledger, rows: Sequence[SupersededRow]) -> None:
    """Names rows that another row of their identity supersedes. Raises one of StoreErrors."""
    now = datetime.now(UTC)
    names = (*SupersededRow._fields, "loses", "found_at")
    ledger.insert("losers", names, [[*row, 1, now] for row in rows])


def read_conflict_letters(ledger: Ledger) -> set[tuple[str, int, int, int]]:
    """Topic, partition, offset and hash of the records that are dead letters for a conflict; the
    hash is 0 in letters of before there was one."""
    rows = ledger.search(_LETTERS, {"reason": Reason.CONFLICT.value})
    return {(topic, partition, offset, hashed) for topic, partition, offset, hashed in rows}


def _read(
    ledger: Ledger, sql: str, suspects: tuple[str, str], where: Where
) -> Sequence[tuple[Any, ...]]:
    """Of suspects among all and among what is recent. To look for what none has takes as long."""
    of_all, of_recent = suspects
    parameters: dict[str, Any] = dict(where.part.parameters())
    if isinstance(where.part, Span):
        chosen, of = of_recent, _OF_RECENT
    else:
        chosen, of, parameters["months"] = of_all, IS_OF, sorted(where.months)
    if not ledger.search(_IS_ONE.replace("{suspects}", chosen), parameters):
        return []
    return ledger.search(sql.replace("{suspects}", chosen).replace("{of}", of), parameters)
