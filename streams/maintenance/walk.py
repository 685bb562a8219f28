"""Walks through the whole ledger, a part at a turn, over and over: what no news tells of is found.

Conflicts are resolved on the way, and what was lost is told: of accounts, part by part, rows
against their counterfoils; of the log, month by month of writing, receipts against outcomes. How
far a walk has come is in the ledger, so one who is stopped, or another, goes on there.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

from rater.months import next_month
from streams.maintenance.audit import Finding, audit_written, find_lost_rows
from streams.maintenance.conflicts import resolve_part
from streams.store.ledger import Ledger
from streams.store.outcomes import read_first_written
from streams.store.parts import PART_RECORDS, next_accounts
from streams.store.walks import Walk, read_walk, write_walk

# From the beginning of one round to that of the next.
ROUND_EVERY = timedelta(days=1)


class Step(NamedTuple):
    """One part's findings, and what the next part begins after; empty where this was the last."""

    findings: list[Finding]
    reached: str


def step_accounts(ledger: Ledger, after: str, _: datetime, records: int = PART_RECORDS) -> Step:
    """Of some accounts: resolves their conflicts, and compares rows with counterfoils.

    Raises one of StoreErrors.
    """
    part = next_accounts(ledger, after, records)
    resolve_part(ledger, part)
    return Step(find_lost_rows(ledger, [part]), part.last)


def step_receipts(ledger: Ledger, after: str, now: datetime, topic_prefix: str = "") -> Step:
    """Of what was written in a month: receipts against outcomes. Raises one of StoreErrors."""
    if after:
        month = next_month(date.fromisoformat(after))
    else:
        first = read_first_written(ledger)
        if first is None:
            return Step([], "")
        month = first.date().replace(day=1)
    findings = audit_written(ledger, month, topic_prefix=topic_prefix)
    return Step(findings, month.isoformat() if next_month(month) <= now.date() else "")


class WalkJob:
    """A walk's turn: one part. What is found is told once the part has been looked at twice: rows
    may be half written at the first look."""

    def __init__(
        self, name: str, ledger: Ledger, step: Callable[[Ledger, str, datetime], Step]
    ) -> None:
        self.name = name
        self.job = f"walk_{name}"
        self._ledger = ledger
        self._step = step
        self._suspected: str | None = None  # the part that had findings at its first look
        self._found: dict[str, tuple[datetime, list[Finding]]] = {}  # by part, and of which round

    def findings(self) -> list[Finding]:
        """Of this round, and of the one before where it has not come so far."""
        return [finding for _, findings in self._found.values() for finding in findings]

    def turn(self, now: datetime) -> list[Finding]:
        """Looks at the next part; says what is new. Raises one of StoreErrors, and stays there."""
        walk = read_walk(self._ledger, self.name)
        if not walk.position:
            if now - walk.began_at < ROUND_EVERY:
                return []
            walk = Walk("", now.replace(microsecond=0))
        after = walk.position
        findings, reached = self._step(self._ledger, after, now)
        if findings and self._suspected != after:
            self._suspected = after
            return []
        self._suspected = None
        self._found.pop(after, None)
        if findings:
            self._found[after] = (walk.began_at, findings)
        if not reached:
            self._found = {k: v for k, v in self._found.items() if v[0] == walk.began_at}
        write_walk(self._ledger, self.name, Walk(reached, walk.began_at), now)
        return findings
