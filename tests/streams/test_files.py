"""Files of events: each line that is not empty has its outcome, its place and its number."""

from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rater.reject import Reject
from rater.tariff import Book
from streams.formats.registry import IMPORTERS
from streams.operations.files import months_touched, rate_file, read_lines
from streams.rows.batch import Batch
from streams.rows.log_position import Place
from tests.conftest import Event, Log, call, number, recording, text

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_MS = 1_793_534_400_000


def write(path: Path, *lines: Event | bytes, end: bytes = b"\n") -> Path:
    path.write_bytes(
        b"".join((x if isinstance(x, bytes) else orjson.dumps(x)) + end for x in lines)
    )
    return path


def rated(path: Path, book: Book) -> Batch:
    return rate_file(path, "json", "default", book, NOW, lambda done, batch: None)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"  \n"])
def test_each_line_has_its_outcome_at_its_number_and_empty_lines_have_none(
    tmp_path: Path, book: Book, end: bytes
) -> None:
    early = call(id="early", dialed_at="2010-01-01T00:00:00Z", answered_at=None)
    early["ended_at"] = "2010-01-01T00:01:00Z"
    path = write(
        tmp_path / "mix.jsonl",
        call(), b"", text(), b"   ", b"{", early, number(), b'{"kind":"fax"}', b"[]",
        end=end,
    )  # fmt: skip
    batch = rated(path, book)
    assert {row.place for row in batch.rated} == {
        Place(f"file:{path}", 0, 1, NOW_MS),
        Place(f"file:{path}", 0, 3, NOW_MS),
    }
    assert [row.place.offset for row in batch.parked] == [6]
    assert [row.place.offset for row in batch.states] == [7]
    assert [(row.place.offset, row.reject.reason) for row in batch.rejected] == [
        (5, "bad_json"),
        (8, "wrong_kind"),
        (9, "wrong_kind"),
    ]
    assert [row.value for row in batch.rejected] == [b"{", b'{"kind":"fax"}', b"[]"]


def test_a_file_without_a_last_line_break_loses_nothing(tmp_path: Path, book: Book) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(orjson.dumps(call()) + b"\n" + orjson.dumps(call(id="call-2")))
    assert len(rated(path, book).rated) == 2


def test_an_empty_file_is_an_empty_batch(tmp_path: Path, book: Book) -> None:
    assert rated(write(tmp_path / "empty.jsonl"), book) == Batch()


def test_progress_is_told_in_bytes_that_grow_to_the_files_size(tmp_path: Path, book: Book) -> None:
    path = write(tmp_path / "events.jsonl", *(call(id=f"call-{n}") for n in range(5)))
    told: list[int] = []
    rate_file(path, "json", "default", book, NOW, lambda done, batch: told.append(done))
    assert told == sorted(told)
    assert (len(told), told[-1]) == (5, path.stat().st_size)


def test_what_happens_more_than_five_minutes_after_now_is_a_reject(
    tmp_path: Path, book: Book
) -> None:
    path = write(
        tmp_path / "future.jsonl",
        text(sent_at="2026-11-01T12:05:00Z"),
        text(sent_at="2026-11-01T12:05:00.000001Z"),
    )
    batch = rated(path, book)
    assert [row.place.offset for row in batch.rated] == [1, 1]
    assert [(row.place.offset, row.reject.reason) for row in batch.rejected] == [(2, "in_future")]


@settings(
    max_examples=80,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(raw=st.binary(max_size=300), format_=st.sampled_from(sorted(IMPORTERS)))
def test_whatever_is_in_a_file_each_line_is_an_event_or_a_reject(
    tmp_path: Path, raw: bytes, format_: str
) -> None:
    path = tmp_path / "any"
    path.write_bytes(raw)
    lines = [(number, line) for number, line, *_ in read_lines(path, format_, "acme", NOW)]
    assert lines == [
        (number, line.strip()) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()
    ]


def test_only_good_lines_have_a_value_to_send(tmp_path: Path) -> None:
    path = write(tmp_path / "events.jsonl", call(), b"{")
    (_, _, value, event), (_, _, _, reject) = read_lines(path, "json", "acme", NOW)
    assert orjson.loads(value) == call()
    assert not isinstance(event, Reject)
    assert isinstance(reject, Reject)


MONTHS = [
    # events                                                  | months whose lines may change
    ([call()],                                                  ["08"]),
    ([number(acquired_at="2026-08-31T12:00:00Z")],              ["08", "09", "10", "11"]),
    ([number(acquired_at="2026-09-01T03:59:59Z",
             released_at="2026-09-02T00:00:00Z")],              ["08", "09"]),
    ([recording(),
      recording(id="r2", deleted_at="2026-08-11T00:00:00Z")],   ["08", "09", "10", "11"]),
    ([recording(revision=1)],                                   []),
]  # fmt: skip


@pytest.mark.parametrize(("events", "months"), MONTHS)
def test_the_months_to_be_made_are_the_ones_in_which_things_stood(
    book: Book, events: list[Event], months: list[str]
) -> None:
    touched = months_touched(Log(events).batch(book), book, NOW)
    assert [f"{month:%Y-%m}" for month in touched] == [f"2026-{month}" for month in months]


def test_the_months_to_be_made_have_a_bound(book: Book) -> None:
    batch = Log([number(acquired_at="1970-01-01T00:00:00Z")]).batch(book)
    touched = months_touched(batch, book, NOW)
    assert (len(touched), touched[-1]) == (120, date(2026, 11, 1))


def test_a_thing_since_the_first_instant_of_the_calendar_raises_nothing(book: Book) -> None:
    batch = Log([number(acquired_at="0001-01-01T00:00:00Z")]).batch(book)
    assert len(months_touched(batch, book, NOW)) <= 120
