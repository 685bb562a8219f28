"""The audit: whether every offset has its outcome, and whether the ledger agrees with itself."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from streams.conflicts import find_conflicts
from streams.ledger import Ledger
from streams.parked import count_parked

_RECEIPTS = """
SELECT topic, partition, first_offset, last_offset FROM receipts FINAL
WHERE startsWith(topic, {prefix:String})
ORDER BY topic, partition, first_offset
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


def audit_ledger(
    ledger: Ledger,
    months: list[date],
    *,
    topic_prefix: str = "",
    committed: Mapping[tuple[str, int], int] | None = None,
) -> Audit:
    """Audits receipts, outcomes and conflicts; and, where given, the group's committed offsets.

    A committed offset without a receipt is a record that was lost. Raises one of StoreErrors.
    """
    findings: list[Finding] = []
    prefix = {"prefix": topic_prefix + "usage."}
    covered, per_partition = _covered(ledger.query(_RECEIPTS, prefix), findings)
    for (topic, partition), offset in sorted((committed or {}).items()):
        end = covered.get((topic, partition), 0)
        if offset > end:
            findings.append(
                Finding(
                    "committed",
                    f"{topic} {partition}",
                    f"committed up to {offset}, receipts end at {end}: {offset - end} records "
                    "were acknowledged without an outcome; rate them again from Kafka",
                )
            )
    _check_outcomes(ledger, findings, prefix, per_partition)
    conflicts = find_conflicts(ledger, months)
    ((unmerged,),) = ledger.query(_UNMERGED)
    figures = {
        "records": sum(per_partition.values()),
        "parked": count_parked(ledger),
        "rejected": ledger.query("SELECT count() FROM rejected FINAL")[0][0],
        "conflicts": len(conflicts),
        "copies_not_yet_merged": unmerged,
        "gaps": sum(finding.check == "gap" for finding in findings),
    }
    return Audit(findings, figures)


def _covered(
    receipts: list[tuple[str, int, int, int]], findings: list[Finding]
) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
    """Up to where each partition's receipts go, and the records they cover; a hole is a finding.

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
    return ends, records


# Every place in the log that has an outcome, from the tables that hold them: a version's lower 127
# bits are the place's position turned round (`streams.pipeline.Place.position`).
_OUTCOMES = """
SELECT topic, partition, uniqExact(offset) FROM (
    SELECT topic,
           toInt32(bitAnd(bitShiftRight(position, 64), 65535)) AS partition,
           toInt64(bitAnd(position, toUInt128('18446744073709551615'))) AS offset
    FROM (
        SELECT topic, toUInt128('170141183460469231731687303715884105727')
            - bitAnd(record.2, toUInt128('170141183460469231731687303715884105727')) AS position
        FROM identities ARRAY JOIN records AS record WHERE startsWith(topic, {prefix:String})
    )
    UNION ALL
    SELECT topic, partition, offset FROM parked WHERE startsWith(topic, {prefix:String})
    UNION ALL
    SELECT topic, partition, offset FROM rejected WHERE startsWith(topic, {prefix:String})
)
GROUP BY topic, partition
"""


def _check_outcomes(
    ledger: Ledger,
    findings: list[Finding],
    prefix: dict[str, str],
    records: dict[tuple[str, int], int],
) -> None:
    """Receipts against rows: each record that a receipt covers has its row in one of the tables."""
    found = {(row[0], row[1]): row[2] for row in ledger.query(_OUTCOMES, prefix)}
    for (topic, partition), expected in sorted(records.items()):
        got = found.get((topic, partition), 0)
        if got < expected:
            findings.append(
                Finding(
                    "outcomes",
                    f"{topic} {partition}",
                    f"receipts cover {expected} records, the ledger has outcomes of {got}: rate "
                    "the missing ones again from Kafka",
                )
            )
