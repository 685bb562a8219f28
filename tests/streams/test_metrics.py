"""Our metrics: their names, their labels, and what a batch adds to them."""

import shutil
import subprocess

import numpy as np
import pytest
from prometheus_client import REGISTRY, generate_latest

from rater.kinds import KINDS
from rater.rate import Wait
from rater.reject import Reason
from rater.tariff import Book
from streams.base import metrics
from streams.ingest import counting
from streams.rows.batch import add_records
from tests.conftest import LOGGED_MS, Log, Logged, amd, call, number, recording, text

CONVENTION = [
    # name, its labels (docs/conventions.md, Metrics)
    ("rater_events_consumed_total", {"topic"}),
    ("rater_events_rated_total", {"kind"}),
    ("rater_events_rejected_total", {"reason"}),
    ("rater_events_parked_total", {"reason"}),
    ("rater_charged_usd_total", {"line"}),
    ("rater_event_age_seconds_count", set()),
    ("rater_batch_rows_count", set()),
    ("rater_insert_duration_seconds_count", set()),
    ("rater_consumer_lag_messages", {"topic", "partition"}),
    ("rater_consumer_lag_seconds", set()),
    ("rater_last_commit_timestamp_seconds", set()),
    ("rater_tariff_info", {"version"}),
    ("rater_build_info", {"version"}),
]


@pytest.mark.parametrize(("name", "labels"), CONVENTION, ids=[name for name, _ in CONVENTION])
def test_each_metric_has_the_name_and_the_labels_of_the_convention(
    book: Book, name: str, labels: set[str]
) -> None:
    fill(book)
    samples = [
        sample for family in REGISTRY.collect() for sample in family.samples if sample.name == name
    ]
    assert samples
    assert all(set(sample.labels) == labels for sample in samples)
    assert name in metrics.NAMES


def test_every_metric_of_ours_is_listed_and_none_has_an_account_as_a_label(book: Book) -> None:
    fill(book)
    for family in REGISTRY.collect():
        if not family.name.startswith("rater_"):
            continue
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                assert sample.name in metrics.NAMES
            assert not {"account", "account_id"} & set(sample.labels)
            assert "acme" not in sample.labels.values()


def fill(book: Book) -> None:
    metrics.LAG_MESSAGES.labels("usage.call.v1", "0").set(0)
    metrics.TARIFF_INFO.labels(book.label()).set(1)
    batch = Log([call(), text(), amd(), number(), recording(), call(revision=1)]).batch(book)
    counting.count_batch(batch, written_s=LOGGED_MS / 1000 + 1, insert_s=0.01)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


COUNTS = [
    # name, labels, what the batch below adds
    ("rater_events_consumed_total",         {"topic": "usage.call.v1"},  5.0),
    ("rater_events_consumed_total",         {"topic": "usage.text.v1"},  1.0),
    ("rater_events_rated_total",            {"kind": "call"},            2.0),
    ("rater_events_rated_total",            {"kind": "text"},            1.0),
    ("rater_events_rated_total",            {"kind": "number"},          1.0),
    ("rater_events_rejected_total",         {"reason": "bad_json"},      1.0),
    ("rater_events_rejected_total",         {"reason": "empty"},         1.0),
    ("rater_events_parked_total",           {"reason": "correction"},    1.0),
    ("rater_charged_usd_total",             {"line": "calls"},           0.052),
    ("rater_charged_usd_total",             {"line": "texts"},           0.0079),
    ("rater_charged_usd_total",             {"line": "carrier_fees"},    0.003),
    ("rater_batches_total",                 {},                          1.0),
    ("rater_batch_rows_sum",                {},                          7.0),
    ("rater_insert_duration_seconds_sum",   {},                          0.25),
    ("rater_event_age_seconds_sum",         {},                          17.49),
    ("rater_event_age_seconds_count",       {},                          7.0),
    ("rater_event_age_seconds_bucket",      {"le": "1.0"},               0.0),
    ("rater_event_age_seconds_bucket",      {"le": "5.0"},               7.0),
]  # fmt: skip


def test_a_written_batch_is_counted_by_outcome(book: Book) -> None:
    batch = Log([call(), call(id="call-2"), call(id="call-3", revision=1), text(), number()]).batch(
        book
    )
    bad = [Logged(8, LOGGED_MS, None, b"{"), Logged(9, LOGGED_MS, None, None)]
    add_records(batch, KINDS["call"], "usage.call.v1", 0, bad, book)
    before = [value(name, **labels) for name, labels, _ in COUNTS]
    counting.count_batch(batch, written_s=LOGGED_MS / 1000 + 2.5, insert_s=0.25)
    added = [value(name, **labels) - b for (name, labels, _), b in zip(COUNTS, before, strict=True)]
    assert added == pytest.approx([count for *_, count in COUNTS])


def test_an_age_has_its_bucket_up_to_an_hour_and_each_event_counts() -> None:
    """An outage of eleven minutes was told as fifty-six: it lay between 5 minutes and an hour."""
    names = ("600.0", "1200.0", "3600.0", "+Inf")
    before = [value("rater_event_age_seconds_bucket", le=name) for name in names]
    metrics.AGE.observe(np.array([660.0] * 99 + [5_000.0, -3.0]))
    after = [value("rater_event_age_seconds_bucket", le=name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 100, 100, 101]


def test_every_kind_and_reason_is_there_before_its_first_event() -> None:
    for kind in KINDS:
        assert REGISTRY.get_sample_value("rater_events_rated_total", {"kind": kind}) is not None
    for name, reasons in (("rejected", Reason), ("parked", Wait)):
        for reason in reasons:
            labels = {"reason": reason.value}
            assert REGISTRY.get_sample_value(f"rater_events_{name}_total", labels) is not None


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (Debian package prometheus)",
)
def test_promtool_has_nothing_to_say_about_our_metrics(book: Book) -> None:
    fill(book)
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(REGISTRY),
        capture_output=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
