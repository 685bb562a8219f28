"""Conflicts in other months and lines: who loses is left out of every reading of money."""

from typing import Any

import pytest

from rater.tariff import Book
from streams.conflicts import settle_conflicts
from streams.ledger import Ledger
from tests import oracle
from tests.conftest import Log, amd, assert_rows, call, rows_by_oracle, rows_of

MONTHS = ("2026-08", "2026-09")
AUGUST = {"dialed_at": "2026-08-10T12:00:00Z", "answered_at": None}
SEPTEMBER = {"dialed_at": "2026-09-20T12:00:00Z", "answered_at": None}
ANSWERED = {"dialed_at": "2026-09-20T12:00:00Z", "answered_at": "2026-09-20T12:00:09Z"}

TALES: list[tuple[str, list[dict[str, Any]]]] = [
    ("a call sent again as of another month", [
        call(dialed_at=None, answered_at=None),
        call(dialed_at=None, answered_at=None, ended_at="2026-09-20T12:00:00Z"),
    ]),
    ("a call sent again as a video call", [call(), call(media="video")]),
    ("two detections of one call in two months: the first", [
        amd(id="d0", **AUGUST), amd(id="d1", **SEPTEMBER),
    ]),
    ("two detections of one call in two months: the answered one", [
        amd(id="d0", **AUGUST), amd(id="d1", **ANSWERED),
    ]),
    ("a detection in conflict, and another of the same call that was answered", [
        amd(id="d0", **AUGUST), amd(id="d0", **SEPTEMBER), amd(id="d1"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(("tale", "events"), TALES, ids=[tale for tale, _ in TALES])
def test_one_is_charged_in_either_order_of_writing(
    ledger: Ledger,
    book: Book,
    oracle_book: oracle.Book,
    tale: str,
    events: list[dict[str, Any]],
    merged: bool,
) -> None:
    log = Log(events)
    expected = rows_by_oracle(oracle.rate_lines(events, oracle_book), ["acme"], MONTHS)
    for order in (range(len(events)), reversed(range(len(events)))):
        for place in order:
            ledger.write(log.batch(book, [[place]]))
            if merged:
                ledger._writer.command("OPTIMIZE TABLE rated FINAL")
            settle_conflicts(ledger, [])
        assert_rows(rows_of(ledger), expected)
        for table in ("rated", "identities", "losers"):
            ledger._writer.command(f"TRUNCATE TABLE {table}")
