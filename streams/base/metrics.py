"""Our metrics' registry: one prefix, base units, `_total` on counters, never an account as a label.

What a batch adds is counted in `streams/ingest/counting.py`, what an audit found is shown by
`streams/maintenance/audit_metrics.py`.
"""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from rater import __version__
from rater.kinds import KINDS
from rater.rate import Wait
from rater.reject import Reason

CONSUMED = Counter("rater_events_consumed", "Records read and given an outcome.", ["topic"])
RATED = Counter("rater_events_rated", "Events rated, or kept for a monthly line.", ["kind"])
REJECTED = Counter("rater_events_rejected", "Records that are no event (dead letters).", ["reason"])
PARKED = Counter("rater_events_parked", "Events that wait for a price.", ["reason"])
CHARGED = Counter("rater_charged_usd", "Charges rated; for monitoring, not billing.", ["line"])
TAX_UNKNOWN = Counter("rater_tax_unknown", "Rated rows whose tax no table could tell.")
BATCHES = Counter("rater_batches", "Batches written to the store.")
STORE_ERRORS = Counter("rater_store_errors", "Failed writes to the store; each is tried again.")

AGE = Histogram(
    "rater_event_age_seconds",
    "From the broker's timestamp of a batch's oldest record to its rows written.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
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
    "rater_consumer_lag_seconds", "Since the last progress of a worker that is behind; else 0."
)
LAST_COMMIT = Gauge("rater_last_commit_timestamp_seconds", "When a batch was last acknowledged.")
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
TARIFF_INFO = Gauge("rater_tariff_info", "The loaded tariffs and their versions.", ["version"])
BUILD_INFO = Gauge("rater_build_info", "The engine's version.", ["version"])
BUILD_INFO.labels(__version__).set(1)

# Known series start at 0, so that a rate sees the first of each.
for _kind in KINDS:
    RATED.labels(_kind)
for _reason in Reason:
    REJECTED.labels(_reason.value)
for _wait in Wait:
    PARKED.labels(_wait.value)

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
