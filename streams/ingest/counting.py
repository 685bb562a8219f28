"""What a batch adds to the metrics, once it is in the store."""

from rater.money import NANOS
from streams.base import metrics
from streams.rows.batch import Batch


def count_batch(batch: Batch, *, written_s: float, insert_s: float) -> None:
    """Counts a batch once it is in the store; `written_s` is now in Unix seconds."""
    metrics.BATCHES.inc()
    metrics.INSERT_DURATION.observe(insert_s)
    records = 0
    for receipt in batch.receipts:
        metrics.CONSUMED.labels(receipt.topic).inc(receipt.records)
        records += receipt.records
    metrics.BATCH_ROWS.observe(records)
    for kind, count in batch.events.items():
        metrics.RATED.labels(kind).inc(count)
    for kind, unknown in batch.unknown.items():
        metrics.UNKNOWN_FIELDS.labels(kind).inc(unknown.events)
    for rejected in batch.rejected:
        metrics.REJECTED.labels(rejected.reject.reason.value).inc()
    for parked in batch.parked:
        metrics.PARKED.labels(parked.parked.reason.value).inc()
    metrics.TAX_UNKNOWN.inc(batch.tax_unknown)
    for line, nanos in batch.charged.items():
        metrics.CHARGED.labels(line).inc(nanos / NANOS)
    for logged_ms in batch.logged_ms:
        metrics.AGE.observe(written_s - logged_ms / 1000)
