"""What an audit found, as metrics."""

from streams.base import metrics
from streams.maintenance.audit import CHECKS, Audit

# Known series start at 0, so that a rate sees the first of each.
for _check in CHECKS:
    metrics.AUDIT_FINDINGS.labels(_check)


def show_audit(audit: Audit, *, at_s: float) -> None:
    """An audit's findings, by check; `at_s` is its instant in Unix seconds."""
    for check in CHECKS:
        metrics.AUDIT_FINDINGS.labels(check).set(sum(one.check == check for one in audit.findings))
    metrics.AUDITED_AT.set(at_s)
