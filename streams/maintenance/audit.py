"""The audit: whether every offset has its outcome, and whether the ledger agrees with itself."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from rater.months import next_month, previous_month
from streams.maintenance.conflicts import Conflict, find_conflicts, in_parts
from streams.rows.identity import SupersededRow
from streams.rows.log_position import Span
from streams.store.counterfoils import count_not_checked, find_lost
from streams.store.ledger import Ledger
from streams.store.outcomes import (
    EVER,
    NEVER,
    Life,
    count_rejected,
    count_unmerged,
    read_ends,
    read_lives,
    read_outcomes,
)
from streams.store.parked import count_parked
from streams.store.parts import Accounts, each_part


class Finding(NamedTuple):
    """What an audit found wrong: which check, where, and what it means."""

    check: str
    where: str
    message: str


class Audit(NamedTuple):
    """An audit's result: findings make it unclean; figures are for information."""

    findings: list[Finding]
    figures: dict[str, int]


CHECKS = ("gap", "committed", "outcomes", "rows", "unsettled")


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
    findings, figures, _ = _audit(ledger, (EVER, NEVER), [], topic_prefix, committed)
    parts = list(each_part(ledger))
    findings += find_lost_rows(ledger, parts)
    figures["conflicts"] = _check_conflicts(ledger, findings, parts, months)
    figures |= {
        "rows_not_checked": sum(count_not_checked(ledger, part) for part in parts),
        "parked": count_parked(ledger),
        "rejected": count_rejected(ledger),
        "copies_not_yet_merged": count_unmerged(ledger),
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
    written = (since, NEVER)
    findings, figures, recent = _audit(ledger, written, months, topic_prefix, committed)
    parts = in_parts(ledger, recent) if recent else []
    findings += find_lost_rows(ledger, parts)
    figures["conflicts"] = _check_conflicts(ledger, findings, parts)
    return Audit(findings, figures)


def audit_written(ledger: Ledger, month: date, *, topic_prefix: str = "") -> list[Finding]:
    """The receipts that were written in a month, as old ones are: their gaps, and their outcomes.

    Raises one of StoreErrors.
    """
    first, end = (
        datetime(one.year, one.month, 1, tzinfo=UTC) for one in (month, next_month(month))
    )
    about = [previous_month(month), month, next_month(month)]
    return _audit(ledger, (first, end), about, topic_prefix, None)[0]


def _audit(
    ledger: Ledger,
    written: tuple[datetime, datetime],
    outcome_months: list[date],
    topic_prefix: str,
    committed: Mapping[tuple[str, int], int] | None,
) -> tuple[list[Finding], dict[str, int], Span | None]:
    """Also the part of the log that has the outcomes, if there are any."""
    findings: list[Finding] = []
    prefix = topic_prefix + "usage."
    # Receipts before outcomes: a receipt is written after the rows it tells of.
    lives = read_lives(ledger, prefix, *written)
    newest = {(life.topic, life.partition): index for index, life in enumerate(lives)}
    ends = {newest[at]: offset for at, offset in (committed or {}).items() if at in newest}
    records = [_covered(life, findings, ends.get(index)) for index, life in enumerate(lives)]
    if committed:
        _check_committed(findings, read_ends(ledger, prefix), lives, committed)
    missing, recent = _missing(ledger, lives, records, outcome_months)
    if missing and outcome_months:
        missing, recent = _missing(ledger, lives, records, [])
    for life, expected, got in missing:
        findings.append(
            Finding(
                "outcomes",
                f"{life.topic} {life.partition}",
                f"receipts cover {expected} records, the ledger has outcomes of {got}: rate "
                "the missing ones again from Kafka",
            )
        )
    figures = {
        "records": sum(records),
        "gaps": sum(finding.check == "gap" for finding in findings),
    }
    return findings, figures, recent


def find_lost_rows(ledger: Ledger, parts: Iterable[Span | Accounts]) -> list[Finding]:
    """Rows that do not stand as they were written, a finding for each month and line.

    Raises one of StoreErrors.
    """
    lost: dict[tuple[date, str], list[int]] = {}
    for part in parts:
        for month, line, *counts in find_lost(ledger, part):
            lost[month, line] = list(map(int.__add__, lost.get((month, line), [0, 0]), counts))
    return [
        Finding(
            "rows",
            f"{month:%Y-%m} {line or 'states'}",
            f"{gone} gone, {other} of another amount: rows that were written do not stand as they "
            "were; restore them from a backup, or rate their records again from Kafka (recurring "
            "charges: `rater monthly`)",
        )
        for (month, line), (gone, other) in sorted(lost.items())
    ]


def _check_conflicts(
    ledger: Ledger,
    findings: list[Finding],
    parts: Iterable[Span | Accounts],
    months: Collection[date] = (),
) -> int:
    """How many identities stand more than once; a finding where one is charged more than once."""
    found: set[Conflict] = set()  # one has records of two parts
    superseded: set[SupersededRow] = set()
    for part in parts:
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
    findings: list[Finding],
    ends: dict[tuple[str, int], int],
    lives: Sequence[Life],
    committed: Mapping[tuple[str, int], int],
) -> None:
    """`ends` are of all lives of a partition; where there are recent ones, the last one counts."""
    ends = ends | {(life.topic, life.partition): life.end() for life in lives}
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


def _covered(life: Life, findings: list[Finding], committed: int | None) -> int:
    """How many records the receipts cover; a hole is a finding.

    They overlap where a worker was stopped between its write and its commit. What they tell of as
    skipped, markers of transactions among others, is no record and no hole. From the committed
    offset on nothing is lost: a record that the store refuses is a dead letter only after those
    behind it are rated.
    """
    covered = [(one.first_offset, one.last_offset) for one in life.receipts]
    skipped = [
        ends
        for one in life.receipts
        for ends in zip(one.skipped[::2], one.skipped[1::2], strict=True)
    ]
    known, holes = _union(covered + skipped)
    findings += [
        Finding(
            "gap",
            f"{life.topic} {life.partition}",
            f"offsets {first} to {last} have no receipt: rate them again from Kafka",
        )
        for first, last in holes
        if committed is None or first < committed
    ]
    return known - _union(skipped)[0]


def _union(ranges: Iterable[tuple[int, int]]) -> tuple[int, list[tuple[int, int]]]:
    """How many offsets are in any of the ranges, and the ranges between them."""
    count, holes, end = 0, [], -1
    for first, last in sorted(ranges):
        if first > end >= 0:
            holes.append((end, first - 1))
        count += max(0, last + 1 - max(first, end))
        end = max(end, last + 1)
    return count, holes


def _missing(
    ledger: Ledger, lives: Sequence[Life], records: Sequence[int], months: list[date]
) -> tuple[list[tuple[Life, int, int]], Span | None]:
    """Receipts against rows: where more records are covered than have a row anywhere, and how many
    have one; and the part of the log that has rows."""
    found = read_outcomes(ledger, lives, months)
    missing = [
        (life, expected, got)
        for life, expected, outcomes in zip(lives, records, found, strict=True)
        if (got := outcomes.records if outcomes else 0) < expected
    ]
    logged = [outcomes.logged for outcomes in found if outcomes]
    if not logged:
        return missing, None
    return missing, Span(min(one.first_ms for one in logged), max(one.last_ms for one in logged))
