"""FreeSWITCH call records: the hundred real ones against the oracle, and lines that are none."""

import csv
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater.reject import Reject
from rater.tariff import Book
from streams.formats.freeswitch import to_event
from streams.operations.files import rate_file
from streams.rows.batch import Batch
from tests import oracle

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FILE = "freeswitch-cdr-100.csv"


def batch_of(path: Path, book: Book) -> Batch:
    return rate_file(path, "freeswitch", "switch", book, NOW, lambda done, batch: None)


def events_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The records as the oracle reads events; one whose answer can't be placed is none."""
    events = []
    for row in csv.reader(lines, skipinitialspace=True):
        caller, _, called, lasted, talked, cause, name, start = row
        seconds, talk = int(lasted), int(talked)
        if talk < 0 or talk > seconds:
            continue
        dialed = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(start))
        ended = dialed + timedelta(seconds=seconds)
        events.append(
            {
                "kind": "call", "id": name, "account_id": "switch", "direction": "outbound",
                "from": caller if len(caller) < 9 else "+" + caller, "to": "+" + called,
                "dialed_at": dialed.isoformat(), "ended_at": ended.isoformat(),
                "answered_at": (ended - timedelta(seconds=talk)).isoformat() if talk else None,
                "status": {"16": "completed", "17": "busy"}.get(cause, "failed"),
            }
        )  # fmt: skip
    return events


def test_a_hundred_real_records_are_each_rated_or_rejected_and_add_up_as_by_the_oracle(
    shared: Path, book: Book, oracle_book: oracle.Book
) -> None:
    lines = (shared / FILE).read_text().splitlines()
    batch = batch_of(shared / FILE, book)
    assert len(lines) == 100
    rejected = [row.place.offset for row in batch.rejected]
    assert sorted([row.place.offset for row in batch.rated] + rejected) == list(range(1, 101))
    assert batch.parked == []

    (reject,) = batch.rejected
    assert int(lines[reject.place.offset - 1].split(",")[4]) < 0
    assert reject.reject.reason == "bad_time"
    assert re.search(r"billsec -\d+ s is outside the call", reject.reject.message)

    expected = oracle.rate_lines(events_of(lines), oracle_book)
    assert len(expected.rows) == 99
    for rated in batch.rated:
        charge = rated.charge
        row = expected.rows[
            oracle.Identity("switch", f"{charge.terms.month:%Y-%m}", "calls", charge.identity, 0)
        ]
        amounts = (
            charge.cost.charge,
            charge.cost.tax_federal,
            charge.cost.tax_state,
            charge.cost.tax_local,
        )
        assert [Decimal(amount).scaleb(-9) for amount in amounts] == [
            row.charge, row.tax_federal, row.tax_state, row.tax_local,
        ]  # fmt: skip
        assert (charge.cost.billed_seconds, Decimal(charge.cost.billed)) == (
            row.billed_seconds,
            row.billed,
        )
    total = sum(row.charge.cost.charge for row in batch.rated)
    assert Decimal(total).scaleb(-9) == sum(row.charge for row in expected.rows.values()) > 0


def line(**more: str) -> str:
    cells = {
        "caller": "81050000", "name": "abbey1", "called": "650200000", "duration": "88",
        "billsec": "78", "cause": "16", "uuid": "u-1", "start": "1336101842",
    }  # fmt: skip
    return ", ".join((cells | more).values())


def test_a_record_is_a_call_event() -> None:
    event = to_event(line(), "switch")
    assert not isinstance(event, Reject)
    assert orjson.loads(event) == {
        "kind": "call", "id": "u-1", "account_id": "switch", "direction": "outbound",
        "from": "81050000", "to": "+650200000", "dialed_at": "2012-05-04T03:24:02+00:00",
        "ended_at": "2012-05-04T03:25:30+00:00", "status": "completed",
        "answered_at": "2012-05-04T03:24:12+00:00",
    }  # fmt: skip


STATUSES = [
    # cause, billsec | status, answered
    ("16", "78",      "completed", True),
    ("17", "78",      "busy",      True),
    ("17", "0",       "busy",      False),
    ("18", "0",       "no-answer", False),
    ("19", "0",       "no-answer", False),
    ("15", "3",       "failed",    True),
    ("102", "0",      "failed",    False),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "billsec", "status", "answered"), STATUSES)
def test_a_cause_is_a_status_and_no_seconds_after_answer_is_no_answer(
    cause: str, billsec: str, status: str, answered: bool
) -> None:
    value = to_event(line(cause=cause, billsec=billsec), "switch")
    assert not isinstance(value, Reject)
    event = orjson.loads(value)
    assert (event["status"], "answered_at" in event) == (status, answered)


REJECTS = [
    # what                               | line                                    reason
    ("a column is missing",                line().rpartition(",")[0],              "unreadable"),
    ("a column too many",                  line() + ", x",                         "unreadable"),
    ("no line at all",                     "",                                     "unreadable"),
    ("an unclosed quote",                  '"' + line(),                           "unreadable"),
    ("a duration in words",                line(duration="long"),                  "unreadable"),
    ("a duration with a fraction",         line(duration="88.5"),                  "unreadable"),
    ("an empty billsec",                   line(billsec=""),                       "unreadable"),
    ("a negative duration",                line(duration="-1", billsec="0"),       "bad_time"),
    ("a negative billsec",                 line(billsec="-8"),                     "bad_time"),
    ("more billsec than duration",         line(billsec="89"),                     "bad_time"),
    ("a start of 5,000 digits",            line(start="9" * 5_000),                "unreadable"),
    ("a start in no year",                 line(start="99999999999999"),           "bad_time"),
    ("an end in no year",                  line(start="253402300799"),             "bad_time"),
    ("a duration of 31,000 years",         line(duration="999999999999"),          "bad_time"),
    ("a duration beyond all integers",     line(duration="9" * 18),                "bad_time"),
    ("a name of 140,000 letters",          line(name="a" * 140_000),               None),
    ("a carriage return within",           line(name="a\rb"),                       None),
]  # fmt: skip


@pytest.mark.parametrize(("what", "raw", "reason"), REJECTS, ids=[what for what, *_ in REJECTS])
def test_a_line_that_is_no_record_is_a_reject_and_never_an_exception(
    what: str, raw: str, reason: str | None
) -> None:
    outcome = to_event(raw, "switch")
    if reason is not None:
        assert isinstance(outcome, Reject)
        assert outcome.reason == reason


@settings(deadline=None, database=None)
@given(
    cells=st.lists(
        st.text(st.characters(exclude_characters="\n"), max_size=6)
        | st.integers(-(10**14), 10**14).map(str),
        min_size=8,
        max_size=8,
    )
)
def test_eight_cells_of_anything_raise_nothing(cells: list[str]) -> None:
    assert isinstance(to_event(",".join(cells), "switch"), bytes | Reject)
