"""The audit: whether every offset has its outcome, and whether the ledger agrees with itself."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from streams.conflicts import find_conflicts
from streams.ledger import Ledger

_RECEIPTS = """
SELECT topic, partition, first_offset, last_offset FROM receipts FINAL
WHERE startsWith(topic, {prefix:String})
ORDER BY topic, partition, first_offset
"""
_SUMS = """
SELECT sum(records), sum(events), sum(states), sum(parked), sum(rejected) FROM receipts FINAL
WHERE startsWith(topic, {prefix:String})
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


def audit(
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
    covered = _covered(ledger.query(_RECEIPTS, prefix), findings)
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
    ((records, events, states, parked, rejected),) = ledger.query(_SUMS, prefix)
    if records != events + states + parked + rejected:
        findings.append(
            Finding(
                "outcomes",
                "receipts",
                f"{records} records have {events + states + parked + rejected} outcomes",
            )
        )
    _check_rows(ledger, findings, prefix)
    conflicts = find_conflicts(ledger, months, topic_prefix=topic_prefix)
    ((unmerged,),) = ledger.query(_UNMERGED)
    figures = {
        "records": records,
        "events": events,
        "states": states,
        "parked": parked,
        "rejected": rejected,
        "conflicts": len(conflicts),
        "copies_not_yet_merged": unmerged,
        "gaps": sum(finding.check == "gap" for finding in findings),
    }
    return Audit(findings, figures)


def _covered(
    receipts: list[tuple[str, int, int, int]], findings: list[Finding]
) -> dict[tuple[str, int], int]:
    """The offset up to which each partition's receipts go; a hole between two is a finding.

    Control records of transactions leave holes without a record; ours are sent without any.
    """
    covered: dict[tuple[str, int], int] = {}
    for topic, partition, first, last in receipts:
        end = covered.get((topic, partition))
        if end is not None and first > end:
            findings.append(
                Finding(
                    "gap",
                    f"{topic} {partition}",
                    f"offsets {end} to {first - 1} have no receipt: rate them again from Kafka",
                )
            )
        covered[topic, partition] = max(end or 0, last + 1)
    return covered


_RATED_OF_RECEIPTS = """
SELECT splitByChar('.', topic)[-2] AS kind, sum(events), sum(parked), sum(rejected)
FROM receipts FINAL WHERE startsWith(topic, {prefix:String}) GROUP BY kind ORDER BY kind
"""
_RATED_OF_ROWS = """
SELECT kind, sum(length(known)) FROM (
    SELECT kind, groupUniqArrayArray(records) AS known FROM identities
    GROUP BY account_id, kind, event_id, revision)
GROUP BY kind
"""
_PLACES = """
SELECT kind, count() FROM {table} FINAL WHERE startsWith(topic, {prefix:String}) GROUP BY kind
"""


def _check_rows(ledger: Ledger, findings: list[Finding], prefix: dict[str, str]) -> None:
    """Receipts against rows: what a receipt counts must be there. More than it counts may be."""
    rated = dict(ledger.query(_RATED_OF_ROWS))
    parked = dict(ledger.query(_PLACES.replace("{table}", "parked"), prefix))
    rejected = dict(ledger.query(_PLACES.replace("{table}", "rejected"), prefix))
    for kind, *counted in ledger.query(_RATED_OF_RECEIPTS, prefix):
        for name, expected, found in zip(
            ("rated", "parked", "rejected"), counted, (rated, parked, rejected), strict=True
        ):
            if found.get(kind, 0) < expected:
                findings.append(
                    Finding(
                        "rows",
                        kind,
                        f"receipts count {expected} {name} {kind} records, the ledger has "
                        f"{found.get(kind, 0)}: rate the missing ones again from Kafka",
                    )
                )
