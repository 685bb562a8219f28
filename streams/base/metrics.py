"""Our metrics' registry: one prefix, base units, `_total` on counters, never an account as a label.

What a batch adds is counted in `streams/ingest/counting.py`, what an audit found is shown by
`streams/maintenance/audit_metrics.py`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rater import __version__
from rater.kinds import KINDS
from rater.rate import Wait
from rater.reject import Reason


class Ages(Collector):
    """A histogram that many events are put into at once; `prometheus_client` has one for one."""

    def __init__(self, name: str, help_text: str, *, bounds: Sequence[float]) -> None:
        self._name, self._help = name, help_text
        self._bounds = np.asarray(bounds)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum_s = 0.0
        REGISTRY.register(self)

    def observe(self, ages_s: npt.NDArray[np.float64]) -> None:
        """Puts ages in seconds in; one below zero, by a clock that is ahead, counts as none."""
        ages_s = ages_s.clip(0)
        places = np.searchsorted(self._bounds, ages_s)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum_s += float(ages_s.sum())

    def collect(self) -> Iterable[Metric]:
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, self._counts.cumsum().tolist(), strict=True))
        return [HistogramMetricFamily(self._name, self._help, buckets, self._sum_s)]


CONSUMED = Counter("rater_events_consumed", "Records read and given an outcome.", ["topic"])
RATED = Counter("rater_events_rated", "Events rated, or kept for a monthly line.", ["kind"])
REJECTED = Counter("rater_events_rejected", "Records that are no event (dead letters).", ["reason"])
UNKNOWN_FIELDS = Counter(
    "rater_events_unknown_fields", "Events with fields that their kind does not have.", ["kind"]
)
PARKED = Counter("rater_events_parked", "Events that wait for a price.", ["reason"])
CHARGED = Counter("rater_charged_usd", "Charges rated; for monitoring, not billing.", ["line"])
TAX_UNKNOWN = Counter("rater_tax_unknown", "Rated rows whose tax no table could tell.")
BATCHES = Counter("rater_batches", "Batches written to the store.")
STORE_ERRORS = Counter("rater_store_errors", "Failed writes to the store; each is tried again.")

AGE = Ages(
    "rater_event_age_seconds",
    "From an event's timestamp by the broker to its row written; each event counts.",
    bounds=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600),
)
BATCH_ROWS = Histogram(
    "rater_batch_rows",
    "Records in a written batch.",
    buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000),
)
INSERT_DURATION = Histogram("rater_insert_duration_seconds", "Of a batch's write to the store.")

LAG_MESSAGES = Gauge(
    "rater_consumer_lag_messages", "Records not yet committed.", ["topic", "partition"]
)
LAG_SECONDS = Gauge(
    "rater_consumer_lag_seconds", "Age of the oldest record that is not committed; else 0."
)
BROKER_ANSWERED = Gauge(
    "rater_broker_last_answer_timestamp_seconds", "When the broker last said how much there is."
)
LAST_COMMIT = Gauge(
    "rater_last_commit_timestamp_seconds", "When the broker last said yes to a commit."
)
COMMIT_ERRORS = Counter("rater_commit_errors", "Commits that the broker did not say yes to.")
COMMIT_DURATION = Histogram(
    "rater_commit_duration_seconds", "Of a commit, until the broker said yes."
)
REBALANCES = Counter("rater_rebalances", "That the group gave this worker its partitions.")
ASSIGNED = Gauge("rater_assigned_partitions", "Partitions of this worker, of all topics.")
PARKED_NOW = Gauge("rater_parked_events", "Events that wait for a price now.")
CONFLICTS = Gauge(
    "rater_conflicts",
    "Event ids with more than one content: all at the worker's start, then those it wrote.",
)
UNPRICED_THINGS = Gauge(
    "rater_unpriced_things", "Numbers, recordings, subscriptions of open months without a price."
)
AUDIT_FINDINGS = Gauge(
    "rater_audit_findings", "What the audit of lately written rows found wrong.", ["check"]
)
AUDITED_AT = Gauge("rater_audit_timestamp_seconds", "When the ledger was last audited.")
HOUSEKEEPER = Gauge(
    "rater_housekeeper", "Whether this worker does the maintenance jobs of its group."
)
MAINTENANCE_SUCCESS = Gauge(
    "rater_maintenance_last_success_timestamp_seconds",
    "When a maintenance job last ended well.",
    ["job"],
)
MAINTENANCE_DURATION = Gauge(
    "rater_maintenance_duration_seconds",
    "Of a maintenance job's last run that ended well.",
    ["job"],
)
MAINTENANCE_ERRORS = Counter(
    "rater_maintenance_errors", "Runs of a maintenance job that the store failed.", ["job"]
)
STORE_UP = Gauge("rater_store_up", "1 while the store answers this process and has room, else 0.")
TARIFF_INFO = Gauge("rater_tariff_info", "The loaded tariffs and their versions.", ["version"])
BUILD_INFO = Gauge("rater_build_info", "The engine's version.", ["version"])
BUILD_INFO.labels(__version__).set(1)

# Known series start at 0, so that a rate sees the first of each.
for _kind in KINDS:
    RATED.labels(_kind)
    UNKNOWN_FIELDS.labels(_kind)
for _reason in Reason:
    REJECTED.labels(_reason.value)
for _wait in Wait:
    PARKED.labels(_wait.value)

# What no process has that is no worker.
WORKERS: tuple[Collector, ...] = (
    CONSUMED, UNKNOWN_FIELDS, RATED, REJECTED, PARKED, CHARGED, TAX_UNKNOWN, BATCHES,
    STORE_ERRORS, AGE, BATCH_ROWS, INSERT_DURATION, LAG_MESSAGES, LAG_SECONDS, BROKER_ANSWERED,
    LAST_COMMIT, COMMIT_ERRORS, COMMIT_DURATION, REBALANCES, ASSIGNED, PARKED_NOW, CONFLICTS,
    UNPRICED_THINGS, AUDIT_FINDINGS, AUDITED_AT, HOUSEKEEPER, MAINTENANCE_SUCCESS,
    MAINTENANCE_DURATION, MAINTENANCE_ERRORS,
)  # fmt: skip

# Every series name that a dashboard or an alert may use.
NAMES = frozenset(
    sample_name
    for metric in REGISTRY.collect()
    if metric.name.startswith("rater_")
    for sample_name in (
        (f"{metric.name}_total",)
        if metric.type == "counter"
        else tuple(f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
        if metric.type == "histogram"
        else (metric.name,)
    )
)


def leave_out_worker() -> None:
    """Takes what only a worker does out of what this process exports: a gauge that nobody sets is
    0, and an instant of 0 is fifty years ago."""
    for one in WORKERS:
        REGISTRY.unregister(one)
