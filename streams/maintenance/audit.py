"""The audit: whether every offset has its outcome, and whether the ledger agrees with itself."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from streams.maintenance.conflicts import Conflict, find_conflicts, in_parts
from streams.maintenance.parked import count_parked
from streams.rows.log_position import Span
from streams.store.conflicts import SupersededRow
from streams.store.ledger import Ledger

# Where an audit of each partition begins: with the receipt before the first one that was written
# since, or with what overlaps it.
_STARTS = """
WITH recent AS (
    SELECT topic, partition, min(first_offset) AS low FROM receipts
    WHERE startsWith(topic, {prefix:String}) AND written_at >= {since:DateTime64(3, 'UTC')}
    GROUP BY topic, partition),
before AS (
    SELECT topic, partition, maxIf(first_offset, first_offset < low) AS reached
    FROM receipts INNER JOIN recent USING (topic, partition) GROUP BY topic, partition),
starts AS (
    SELECT topic, partition, min(first_offset) AS start
    FROM receipts INNER JOIN before USING (topic, partition) WHERE last_offset >= reached
    GROUP BY topic, partition)
"""
_RECEIPTS = f"""
{_STARTS}
SELECT DISTINCT topic, partition, first_offset, last_offset
FROM receipts INNER JOIN before USING (topic, partition) WHERE last_offset >= reached
ORDER BY topic, partition, first_offset
"""
_ENDS = """
SELECT topic, partition, max(last_offset) + 1 FROM receipts
WHERE startsWith(topic, {prefix:String}) GROUP BY topic, partition
"""
_UNMERGED = "SELECT count() - uniqExact(account_id, month, line, identity, revision) FROM rated"


class Finding(NamedTuple):
    """What an audit found wrong: which check, where, and what it means."""

    check: str
    where: str
    message: str


class Audit(NamedTuple):
    """An audit's result: findings make it unclean; figures are for information."""

    findings: list[Finding]
    figures: dict[str, int]


CHECKS = ("gap", "committed", "outcomes", "unsettled")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def audit_ledger(
    ledger: Ledger,
    months: list[date],
    *,
    topic_prefix: str = "",
    committed: Mapping[tuple[str, int], int] | None = None,
) -> Audit:
    """Audits all receipts and outcomes, the conflicts of some months or of all, the copies not yet
    merged; and, where given, the group's committed offsets.

    A committed offset without a receipt is a record that was lost. Raises one of StoreErrors.
    """
    findings, figures, _ = _audit(ledger, _EVER, [], topic_prefix, committed)
    figures["conflicts"] = _check_conflicts(ledger, findings, months)
    ((unmerged,),) = ledger.search(_UNMERGED)
    figures |= {
        "parked": count_parked(ledger),
        "rejected": ledger.search("SELECT count() FROM rejected FINAL")[0][0],
        "copies_not_yet_merged": unmerged,
    }
    return Audit(findings, figures)


def audit_lately(
    ledger: Ledger,
    months: list[date],
    since: datetime,
    *,
    topic_prefix: str = "",
    committed: Mapping[tuple[str, int], int] | None = None,
) -> Audit:
    """The same checks on what was written since: cheap enough to be made all the time.

    Outcomes are looked for in these months, the open ones; in all of them only where some are
    missing there. Raises one of StoreErrors.
    """
    findings, figures, recent = _audit(ledger, since, months, topic_prefix, committed)
    figures["conflicts"] = _check_conflicts(ledger, findings, (), recent) if recent else 0
    return Audit(findings, figures)


def _audit(
    ledger: Ledger,
    since: datetime,
    outcome_months: list[date],
    topic_prefix: str,
    committed: Mapping[tuple[str, int], int] | None,
) -> tuple[list[Finding], dict[str, int], Span | None]:
    """Also the part of the log that has the outcomes, if there are any."""
    findings: list[Finding] = []
    # Receipts before outcomes: a receipt is written after the rows it tells of.
    what = {"prefix": topic_prefix + "usage.", "since": since}
    records = _covered(ledger.search(_RECEIPTS, what), findings)
    _check_committed(ledger, findings, what, committed or {})
    missing, recent = _missing(ledger, what, records, outcome_months)
    if missing and outcome_months:
        missing, recent = _missing(ledger, what, records, [])
    for (topic, partition), (expected, got) in missing.items():
        findings.append(
            Finding(
                "outcomes",
                f"{topic} {partition}",
                f"receipts cover {expected} records, the ledger has outcomes of {got}: rate "
                "the missing ones again from Kafka",
            )
        )
    figures = {
        "records": sum(records.values()),
        "gaps": sum(finding.check == "gap" for finding in findings),
    }
    return findings, figures, recent


def _check_conflicts(
    ledger: Ledger, findings: list[Finding], months: Collection[date], recent: Span | None = None
) -> int:
    """How many identities stand more than once; a finding where one is charged more than once."""
    found: set[Conflict] = set()  # one has records of two parts
    superseded: set[SupersededRow] = set()
    for part in in_parts(ledger, recent):
        conflicts, rows = find_conflicts(ledger, months, part)
        found.update(conflicts)
        superseded.update(rows)
    if superseded:
        row = min(superseded)
        findings.append(
            Finding(
                "unsettled",
                f"{row.account_id} {row.month:%Y-%m} {row.line} {row.identity}",
                f"{len(superseded)} rows are charged beside another row of their identity that "
                "stands, this one first: a running worker takes them out within a minute",
            )
        )
    return len(found)


def _check_committed(
    ledger: Ledger,
    findings: list[Finding],
    what: dict[str, object],
    committed: Mapping[tuple[str, int], int],
) -> None:
    ends = {(row[0], row[1]): row[2] for row in ledger.search(_ENDS, what)}
    for (topic, partition), offset in sorted(committed.items()):
        end = ends.get((topic, partition), 0)
        if offset > end:
            findings.append(
                Finding(
                    "committed",
                    f"{topic} {partition}",
                    f"committed up to {offset}, receipts end at {end}: {offset - end} records "
                    "were acknowledged without an outcome; rate them again from Kafka",
                )
            )


def _covered(
    receipts: list[tuple[str, int, int, int]], findings: list[Finding]
) -> dict[tuple[str, int], int]:
    """How many records each partition's receipts cover; a hole is a finding.

    Stretches overlap where a worker was stopped between its write and its commit. Control records
    of transactions would look like holes; our topics have none.
    """
    ends: dict[tuple[str, int], int] = {}
    records: dict[tuple[str, int], int] = {}
    for topic, partition, first, last in receipts:
        place = (topic, partition)
        end = ends.get(place, first)
        if first > end:
            findings.append(
                Finding(
                    "gap",
                    f"{topic} {partition}",
                    f"offsets {end} to {first - 1} have no receipt: rate them again from Kafka",
                )
            )
        records[place] = records.get(place, 0) + max(0, last + 1 - max(first, end))
        ends[place] = max(end, last + 1)
    return records


# Every place in the log that has an outcome, from the tables that hold them: a version's lower 127
# bits are the place's position turned round (`streams.rows.batch.Place.position`).
_OUTCOMES = f"""
{_STARTS}
SELECT topic, partition, groupBitmap(toUInt64(offset)), min(logged_ms), max(logged_ms) FROM (
    SELECT topic,
           toInt32(bitAnd(bitShiftRight(position, 64), 65535)) AS partition,
           toInt64(bitAnd(position, toUInt128('18446744073709551615'))) AS offset,
           toInt64(bitShiftRight(position, 80)) AS logged_ms
    FROM (
        SELECT topic, toUInt128('170141183460469231731687303715884105727')
            - bitAnd(version, toUInt128('170141183460469231731687303715884105727')) AS position
        FROM accepted
        WHERE startsWith(topic, {{prefix:String}})
          AND (empty({{months:Array(Date)}}) OR month IN {{months:Array(Date)}})
    )
    UNION ALL
    SELECT topic, partition, offset, toUnixTimestamp64Milli(logged_at)
    FROM parked WHERE startsWith(topic, {{prefix:String}})
    UNION ALL
    SELECT topic, partition, offset, toUnixTimestamp64Milli(logged_at)
    FROM rejected WHERE startsWith(topic, {{prefix:String}})
) AS outcomes INNER JOIN starts USING (topic, partition)
WHERE offset >= start
GROUP BY topic, partition
"""


def _missing(
    ledger: Ledger,
    what: dict[str, object],
    records: dict[tuple[str, int], int],
    months: list[date],
) -> tuple[dict[tuple[str, int], tuple[int, int]], Span | None]:
    """Receipts against rows: where more records are covered than have a row anywhere; and the part
    of the log that has rows."""
    rows = ledger.search(_OUTCOMES, what | {"months": months})
    found = {(row[0], row[1]): row[2] for row in rows}
    missing = {
        place: (expected, found.get(place, 0))
        for place, expected in sorted(records.items())
        if found.get(place, 0) < expected
    }
    return missing, Span(min(row[3] for row in rows), max(row[4] for row in rows)) if rows else None
