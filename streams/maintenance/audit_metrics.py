"""What audits found, as metrics: of what was recently written, and of each walk."""

from collections.abc import Sequence

from streams.base import metrics
from streams.maintenance.audit import CHECKS, Finding

# Known series start at 0, so that a rate sees the first of each.
for _check in CHECKS:
    metrics.AUDIT_FINDINGS.labels(_check)


class ShownFindings:
    """The findings of each source, as it told them last: the gauges have the sum."""

    def __init__(self) -> None:
        self._of: dict[str, list[Finding]] = {}

    def show(self, source: str, findings: Sequence[Finding]) -> None:
        self._of[source] = list(findings)
        for check in CHECKS:
            count = sum(one.check == check for some in self._of.values() for one in some)
            metrics.AUDIT_FINDINGS.labels(check).set(count)

    def clear(self) -> None:
        """Shows none: another process tells of them."""
        self._of.clear()
        self.show("", ())
