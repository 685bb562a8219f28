"""FreeSWITCH call records: made-up ones against the oracle, and lines that are none."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater.reject import Reject
from rater.tariff import Book
from streams.formats.freeswitch import read_freeswitch
from streams.formats.importer import Source
from streams.operations.files import rate_file
from tests import oracle

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DATA = Path(__file__).parent.parent / "data"
US = Source("switch", "US")

CALLS = [
    # id      account    direction   from            to              status       seconds, talked
    ("leg-1", "acme",    "outbound", "1002",         "+14155550101", "completed", 11, 9),
    ("leg-3", "acme",    "outbound", "1002",         "+12125550100", "completed", 43, 32),
    ("leg-4", "switch",  "outbound", "anonymous",    "1002",         "no-answer", 2,  None),
    ("leg-5", "acme",    "inbound",  "anonymous",    "+12125550100", "completed", 66, 61),
    ("one",   "switch",  "outbound", "+12125550100", "+13105550101", "completed", 88, 78),
    ("two",   "switch",  "outbound", "+12125550101", "+19055550102", "completed", 155, 147),
    ("three", "switch",  "outbound", "+12125550102", "+18665550103", "busy",      20, None),
    ("four",  "switch",  "outbound", "+12125550103", "911",          "no-answer", 61, None),
    ("five",  "switch",  "outbound", "+12125550104", "+18765550104", "failed",    45, None),
]  # fmt: skip


def read(raw: bytes, source: Source = US) -> list[bytes | Reject]:
    return [record.value for record in read_freeswitch(io.BytesIO(raw), source)]


def to_event(raw: str, source: Source = US) -> bytes | Reject:
    (value,) = read(raw.encode(), source)
    return value


def events_of_both() -> list[dict[str, Any]]:
    values = [
        value
        for name in ("freeswitch-default.csv", "freeswitch-8-columns.csv")
        for value in read((DATA / name).read_bytes())
    ]
    return [orjson.loads(value) for value in values if not isinstance(value, Reject)]


def test_direction_account_and_status_are_what_the_records_say() -> None:
    def seconds(event: dict[str, Any], start: str) -> int | None:
        if start not in event:
            return None
        lasted = datetime.fromisoformat(event["ended_at"]) - datetime.fromisoformat(event[start])
        return int(lasted.total_seconds())

    assert [
        (
            event["id"], event["account_id"], event["direction"], event["from"], event["to"],
            event["status"], seconds(event, "dialed_at"), seconds(event, "answered_at"),
        )
        for event in events_of_both()
    ] == CALLS  # fmt: skip


def test_the_files_are_charged_as_by_the_oracle(
    tmp_path: Path, book: Book, oracle_book: oracle.Book
) -> None:
    charged = Decimal(0)
    for name in ("freeswitch-default.csv", "freeswitch-8-columns.csv"):
        batch = rate_file(
            DATA / name, "freeswitch", "switch", book, NOW, lambda done, _: None, region="US"
        )
        assert (batch.rejected, batch.parked) == ([], [])
        charged += Decimal(sum(row.charge.cost.charge for row in batch.rated)).scaleb(-9)
    expected = oracle.rate_lines(events_of_both(), oracle_book)
    assert len(expected.rows) == len(CALLS)
    assert charged == sum(row.charge for row in expected.rows.values()) > 0


ZONES = [
    # zone               | dialed at, of 2026-02-10 22:41:00
    ("UTC",                "2026-02-10T22:41:00+00:00"),
    ("America/New_York",   "2026-02-11T03:41:00+00:00"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "dialed"), ZONES)
def test_stamps_without_a_zone_are_of_the_zone_that_is_said(zone: str, dialed: str) -> None:
    first, *_ = read((DATA / "freeswitch-default.csv").read_bytes(), US._replace(zone=zone))
    assert not isinstance(first, Reject)
    assert orjson.loads(first)["dialed_at"] == dialed


def line(**more: str) -> str:
    cells = {
        "caller": "2125550100", "name": "abbey1", "called": "3105550101", "duration": "88",
        "billsec": "78", "cause": "16", "uuid": "u-1", "start": "1336101842",
    }  # fmt: skip
    return ", ".join((cells | more).values())


def test_a_record_is_a_call_event() -> None:
    event = to_event(line())
    assert not isinstance(event, Reject)
    assert orjson.loads(event) == {
        "kind": "call", "id": "u-1", "account_id": "switch", "direction": "outbound",
        "from": "+12125550100", "to": "+13105550101", "dialed_at": "2012-05-04T03:24:02+00:00",
        "ended_at": "2012-05-04T03:25:30+00:00", "status": "completed",
        "answered_at": "2012-05-04T03:24:12+00:00",
    }  # fmt: skip


DIALED = [
    # destination       region  to, or None where it is refused
    ("9055550100",        "US",   "+19055550100"),  # Ontario, not Turkey
    ("2125550100",        "US",   "+12125550100"),  # New York, not Morocco
    ("8665550100",        "US",   "+18665550100"),  # toll-free, not China
    ("9055550100",        "",     None),
    ("+442079460000",     "",     "+442079460000"),
    ("911",               "",     "911"),
    ("sip:ann@host",      "",     "sip:ann@host"),
    ("*98",               "US",   None),
]  # fmt: skip


@pytest.mark.parametrize(("called", "region", "to"), DIALED)
def test_a_national_number_is_of_the_region_and_never_guessed(
    called: str, region: str, to: str | None
) -> None:
    value = to_event(line(caller="1002", called=called), Source("switch", region))
    if to is None:
        assert isinstance(value, Reject)
        assert value.reason == "bad_number"
        assert called not in value.message
    else:
        assert not isinstance(value, Reject)
        assert orjson.loads(value)["to"] == to


STATUSES = [
    # cause,                     billsec | status, answered
    ("16",                        "78",      "completed", True),
    ("17",                        "78",      "completed", True),  # answered, whatever ended it
    ("RECOVERY_ON_TIMER_EXPIRE",  "78",      "completed", True),
    ("15",                        "3",       "completed", True),
    ("16",                        "0",       "no-answer", False),
    ("17",                        "0",       "busy",      False),
    ("USER_BUSY",                 "0",       "busy",      False),
    ("18",                        "0",       "no-answer", False),
    ("19",                        "0",       "no-answer", False),
    ("ORIGINATOR_CANCEL",         "0",       "canceled",  False),
    ("102",                       "0",       "failed",    False),
    ("16",                        "-8",      "no-answer", False),  # it rang, from dialing on
]  # fmt: skip


@pytest.mark.parametrize(("cause", "billsec", "status", "answered"), STATUSES)
def test_an_answered_call_is_completed_and_the_cause_tells_of_the_others(
    cause: str, billsec: str, status: str, answered: bool
) -> None:
    value = to_event(line(cause=cause, billsec=billsec))
    assert not isinstance(value, Reject)
    event = orjson.loads(value)
    assert (event["status"], "answered_at" in event) == (status, answered)
    assert event["ended_at"] == "2012-05-04T03:25:30+00:00"


REJECTS = [
    # what                               | line                                    reason
    ("a column is missing",                line().rpartition(",")[0],              "unreadable"),
    ("a column too many",                  line() + ", x",                         "unreadable"),
    ("an unclosed quote",                  '"' + line(),                           "unreadable"),
    ("a duration in words",                line(duration="long"),                  "unreadable"),
    ("a duration with a fraction",         line(duration="88.5"),                  "unreadable"),
    ("an empty billsec",                   line(billsec=""),                       "unreadable"),
    ("a negative duration",                line(duration="-1", billsec="0"),       "bad_time"),
    ("a stamp that is none",               ",".join("xxxxxxx11xxxxxx"),             "unreadable"),
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
    outcome = to_event(raw)
    if reason is not None:
        assert isinstance(outcome, Reject)
        assert outcome.reason == reason


@settings(deadline=None, database=None)
@given(
    cells=st.lists(
        st.text(max_size=6) | st.integers(-(10**14), 10**14).map(str), min_size=8, max_size=15
    )
)
def test_cells_of_anything_raise_nothing(cells: list[str]) -> None:
    values = read(",".join(cells).encode("utf-8", "replace"))
    assert all(isinstance(value, bytes | Reject) for value in values)


def test_an_unclosed_quote_spoils_its_own_line_only() -> None:
    first, second = read(f'"{line()}\n{line()}'.encode())
    assert isinstance(first, Reject)
    assert isinstance(second, bytes)
