"""Asterisk call records: a leg a line, by its uniqueid and its sequence."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from rater.reject import Reject
from rater.tariff import Book
from streams.formats.asterisk import read_asterisk
from streams.formats.importer import Source
from streams.operations.files import rate_file

NOW = datetime(2026, 12, 1, tzinfo=UTC)
FILE = Path(__file__).parent.parent / "data" / "asterisk-10-columns.csv"
US = Source("switch", "US")

LEGS = [
    # id, from, to, status, dialed, answered, ended
    ("1793872800.6-3",  "+12125550100", "211", "no-answer", "10:00:00", None, "10:01:00"),
    ("1793872800.6-6",  "+12125550100", "211", "no-answer", "10:00:00", None, "10:00:30"),
    ("1793872800.6-7",  "+12125550100", "212", "completed", "10:01:00", "10:01:00", "10:01:00"),
    # 60 s by the switch, though its stamps, cut to seconds, are 61 s apart
    ("1793876400.79-74", "+12125550102", "+13105550101", "completed", "11:00:00", "11:00:00",
     "11:01:00"),
    ("1793880000.98-82", "anonymous", "+442079460000", "completed", "12:00:00", "12:00:06",
     "12:00:36"),
]  # fmt: skip


def read(raw: bytes, source: Source = US) -> list[bytes | Reject]:
    return [record.value for record in read_asterisk(io.BytesIO(raw), source)]


def test_each_leg_is_a_call_by_the_switch_s_own_duration() -> None:
    def clock(event: dict[str, Any], name: str) -> str | None:
        return event[name][11:19] if name in event else None

    events = [orjson.loads(one) for one in read(FILE.read_bytes()) if not isinstance(one, Reject)]
    assert [
        (
            event["id"], event["from"], event["to"], event["status"], clock(event, "dialed_at"),
            clock(event, "answered_at"), clock(event, "ended_at"),
        )
        for event in events
    ] == LEGS  # fmt: skip
    assert {event["group_id"] for event in events[:3]} == {"1793872800.6"}
    assert {event["account_id"] for event in events} == {"switch"}


def test_each_leg_of_one_call_is_charged_once(book: Book) -> None:
    batch = rate_file(FILE, "asterisk", "switch", book, NOW, lambda done, _: None, region="US")
    assert [row.charge.event_id for row in batch.rated] == [leg[0] for leg in LEGS]
    assert [row.charge.cost.raw_seconds for row in batch.rated] == [60, 30, 0, 60, 36]
    assert [row.charge.cost.billed for row in batch.rated] == [1, 1, 1, 1, 1]
    assert [row.reject.reason for row in batch.rejected] == ["bad_number"]  # to "queue"


def line(**more: str) -> bytes:
    cells = {
        "src": "2125550100", "dst": "3105550101", "start": "2026-11-05 10:00:00", "answer": "",
        "end": "2026-11-05 10:01:00", "duration": "60", "billsec": "0", "disposition": "BUSY",
        "uniqueid": "u", "sequence": "1",
    }  # fmt: skip
    return ",".join((cells | more).values()).encode()


STATUSES = [
    ("ANSWERED",   "completed"),
    ("NO ANSWER",  "no-answer"),
    ("Busy",       "busy"),
    ("FAILED",     "failed"),
    ("CONGESTION", "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("disposition", "status"), STATUSES)
def test_the_disposition_is_the_status(disposition: str, status: str) -> None:
    (value,) = read(line(disposition=disposition))
    assert not isinstance(value, Reject)
    assert orjson.loads(value)["status"] == status


REJECTS = [
    # what                           line                                      reason
    ("a column is missing",          line().rpartition(b",")[0],               "unreadable"),
    ("a disposition of its own",     line(disposition="DOCUMENTATION"),        "unreadable"),
    ("no sequence",                  line(sequence=""),                        "unreadable"),
    ("no uniqueid",                  line(uniqueid=""),                        "unreadable"),
    ("a duration in words",          line(duration="long"),                    "unreadable"),
    ("a negative duration",          line(duration="-1", billsec="-1"),        "bad_time"),
    ("more billsec than duration",   line(billsec="61"),                       "bad_time"),
    ("a start that is none",         line(start="yesterday"),                  "unreadable"),
    ("a name for a number",          line(dst="ann"),                          "bad_number"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "raw", "reason"), REJECTS, ids=[what for what, *_ in REJECTS])
def test_a_line_that_is_no_leg_is_a_reject(what: str, raw: bytes, reason: str) -> None:
    (value,) = read(raw)
    assert isinstance(value, Reject), what
    assert value.reason == reason


def test_a_national_number_needs_its_region() -> None:
    (value,) = read(line(), Source("switch"))
    assert isinstance(value, Reject)
    assert "--region" in value.message
