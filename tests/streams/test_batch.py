"""Records in, rows out: one outcome for each record, whatever its bytes are."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater.decode import decode
from rater.kinds import KINDS
from rater.reject import Reject
from rater.tariff import Book
from rater.tariff_file import load_book
from schemas import SAMPLE_TARIFF
from streams.rows.batch import Batch, RatedRow, add_event, add_records
from streams.rows.kept import KEPT_BYTES
from streams.rows.log_position import Place
from tests.conftest import LOGGED_MS, SAMPLES, Log, Logged, amd, call, number, text

BOOK = load_book(SAMPLE_TARIFF)
BEFORE_ANY_TARIFF = "2009-03-01T00:00:00Z"
TIMES = sorted({name for kind in KINDS.values() for name in kind.instants})


def outcomes(batch: Batch) -> list[int]:
    """The offset of each outcome; the rows of one event are one outcome."""
    rated = {row.place.offset for row in batch.rated}
    others = [
        row.place.offset for rows in (batch.states, batch.parked, batch.rejected) for row in rows
    ]
    return sorted([*rated, *others])


def batch_of(values: Sequence[bytes | None], kind: str, book: Book = BOOK) -> Batch:
    batch = Batch()
    records = [Logged(n, LOGGED_MS + n, b"acme", value) for n, value in enumerate(values)]
    add_records(batch, KINDS[kind], KINDS[kind].topic, 3, records, book)
    return batch


def test_a_good_a_parked_and_a_bad_record_have_one_outcome_each() -> None:
    good, parked = call(), call(id="early", dialed_at=None, answered_at=None)
    parked["ended_at"] = BEFORE_ANY_TARIFF
    batch = batch_of([orjson.dumps(good), orjson.dumps(parked), b"{", None], "call")
    assert [row.place.offset for row in batch.rated] == [0]
    assert [row.place.offset for row in batch.parked] == [1]
    assert [row.place.offset for row in batch.rejected] == [2, 3]
    (receipt,) = batch.receipts
    assert receipt == (
        *("usage.call.v1", 3, 0, 3, LOGGED_MS, LOGGED_MS + 3),
        *(4, 1, 1, 0, 1, 2, 26_000_000),
        (),
    )


def test_a_text_is_one_event_and_two_rows() -> None:
    (receipt,) = batch_of([orjson.dumps(text())], "text").receipts
    assert (receipt.events, receipt.rows, receipt.charge) == (1, 2, 10_900_000)


def test_a_monthly_kind_keeps_its_state_and_charges_nothing_yet() -> None:
    batch = batch_of([orjson.dumps(number())], "number")
    (receipt,) = batch.receipts
    assert (receipt.events, receipt.rows, receipt.states) == (0, 0, 1)
    assert batch.states[0].telling.state.billed_as == "+12125550100"
    assert batch.events == {"number": 1}


# ------------------------------------------------------------------ any record at all

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
junk = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@st.composite
def values(draw: st.DrawFn, kind: str) -> bytes | None:
    """A record's value: an event, an event with something wrong, or no event at all."""
    event = SAMPLES[kind](id=f"id-{draw(st.integers(0, 9))}")
    sort = draw(st.sampled_from(["good", "early", "revised", "junk field", "missing", "bytes"]))
    if sort == "early":
        event |= {name: BEFORE_ANY_TARIFF for name in TIMES if name in event}
    elif sort == "revised":
        event["revision"] = draw(st.integers(1, 3))
    elif sort == "junk field":
        event[draw(st.sampled_from(sorted(event)))] = draw(junk)
    elif sort == "missing":
        del event[draw(st.sampled_from(sorted(event)))]
    elif sort == "bytes":
        return draw(st.none() | st.binary() | junk.map(_dumps))
    return _dumps(event)


def _dumps(value: Any) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(value, str_keys=True))


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=30, deadline=None, database=None)
@given(data=st.data())
def test_every_record_has_exactly_one_outcome_and_the_receipt_adds_up(
    kind: str, data: st.DataObject
) -> None:
    raw = data.draw(st.lists(values(kind), min_size=1, max_size=12))
    batch = batch_of(raw, kind)
    assert outcomes(batch) == list(range(len(raw)))
    (receipt,) = batch.receipts
    assert (receipt.first_offset, receipt.last_offset) == (0, len(raw) - 1)
    assert receipt.records == len(raw)
    assert receipt.records == (receipt.events + receipt.states + receipt.parked + receipt.rejected)
    assert receipt.events + receipt.states == sum(batch.events.values())
    assert receipt.events == len({row.place.offset for row in batch.rated})
    assert receipt.rows == len(batch.rated)
    assert receipt.states == len(batch.states)
    assert receipt.parked == len(batch.parked)
    assert receipt.rejected == len(batch.rejected)
    assert receipt.charge == sum(row.charge.cost.charge for row in batch.rated)


def test_two_stretches_in_one_batch_have_a_receipt_each() -> None:
    batch = batch_of([orjson.dumps(call()), b"{"], "call")
    records = [Logged(7, LOGGED_MS, None, orjson.dumps(text()))]
    add_records(batch, KINDS["text"], "usage.text.v1", 1, records, BOOK)
    assert [(r.topic, r.records, r.events, r.rows, r.rejected) for r in batch.receipts] == [
        ("usage.call.v1", 2, 1, 1, 1),
        ("usage.text.v1", 1, 1, 2, 0),
    ]
    assert [r.charge for r in batch.receipts] == [26_000_000, 10_900_000]


def _with(more: str) -> bytes:
    return orjson.dumps(call()).removesuffix(b"}") + b"," + more.encode("utf-8", "surrogateescape")


# Each looks like a name said twice, so that it is read a second time, more closely.
NASTY = [
    # what                                 | the end of the record
    ("a whole number of 5,000 digits",       '"group_id":"\\u0041","x":' + "1" * 5_000 + "}"),
    ("bytes that are no UTF-8",              '"group_id":"\\u0041","x":"\udcff"}'),
    ("400 lists in each other",              '"group_id":"\\u0041","x":' + "[" * 400 + "]" * 400
                                             + "}"),
    ("50,000 lists in each other",           '"group_id":"\\u0041","x":' + "[" * 50_000),
    ("half a surrogate pair",                '"group_id":"\\ud800"}'),
    ("a number with an endless exponent",    '"group_id":"\\u0041","x":1e99999}'),
    ("a NUL in a text",                      '"group_id":"\\u0000"}'),
    ("NaN",                                  '"group_id":"\\u0041","x":NaN}'),
]  # fmt: skip


@pytest.mark.parametrize(("what", "end"), NASTY, ids=[what for what, _ in NASTY])
def test_a_nasty_record_gets_its_outcome_and_never_stops_the_worker(what: str, end: str) -> None:
    batch = batch_of([_with(end), orjson.dumps(call(id="next"))], "call")
    assert outcomes(batch) == [0, 1]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_the_first_instant_of_the_calendar_is_an_outcome_too(kind: str, at: str) -> None:
    event = SAMPLES[kind]()
    event |= {name: at for name in TIMES if name in event}
    assert outcomes(batch_of([orjson.dumps(event)], kind)) == [0]


# ------------------------------------------------------------------ what is kept of a record


@settings(max_examples=100, deadline=None, database=None)
@given(
    body=st.text(min_size=1),
    media=st.sampled_from(["sms", "mms"]),
    told=st.none() | st.integers(1, 9),
    at=st.sampled_from(["2026-08-10T12:00:00Z", BEFORE_ANY_TARIFF]),
    revision=st.integers(0, 1),
)
def test_a_texts_body_is_kept_nowhere(
    body: str, media: str, told: int | None, at: str, revision: int
) -> None:
    secret = "zq-secret-zq " + body
    event = text(body=secret, media=media, segments=told, sent_at=at, revision=revision)
    batch = batch_of([orjson.dumps(event)], "text")
    assert len(batch.rated) + len(batch.parked) > 0
    kept = [row.event.decode() + row.parked.message for row in batch.parked]
    assert "zq-secret-zq" not in repr(batch.rated) + repr(batch.states) + "".join(kept)


@pytest.mark.parametrize("segments", [1, 2, 40, 300])
def test_a_parked_text_is_charged_like_one_that_was_rated_at_once(
    book_without_texts: Book, segments: int
) -> None:
    body = "x" * (153 * segments if segments > 1 else 10)
    record = orjson.dumps(text(segments=None, body=body))
    (parked,) = batch_of([record], "text", book_without_texts).parked
    later = Batch()
    event = decode(KINDS["text"], parked.event, parked.place.logged_ms * 1000)
    assert not isinstance(event, Reject), event
    add_event(later, event, parked.place, BOOK)
    at_once = batch_of([record], "text")
    assert [row.charge for row in later.rated] == [row.charge for row in at_once.rated]
    assert [row.version for row in later.rated] == [row.version for row in at_once.rated]


def test_a_parked_text_and_its_re_send_are_no_conflict(book_without_texts: Book) -> None:
    record = orjson.dumps(text(segments=None, body="hello"))
    (parked,) = batch_of([record], "text", book_without_texts).parked
    later = Batch()
    event = decode(KINDS["text"], parked.event, parked.place.logged_ms * 1000)
    assert not isinstance(event, Reject)
    add_event(later, event, parked.place, BOOK)
    re_sent = batch_of([record], "text")
    assert {row.content_hash for row in later.rated} == {row.content_hash for row in re_sent.rated}


@pytest.fixture(scope="module")
def book_without_texts(tmp_path_factory: pytest.TempPathFactory) -> Book:
    path = tmp_path_factory.mktemp("book") / "book.toml"
    path.write_text(
        'currency = "USD"\n[accounts.default]\ntariff = "standard"\n'
        '[[tariff]]\nname = "standard"\nvalid_from = 2025-01-01T00:00:00Z\n'
        '[[tariff.price]]\nline = "ai_voice_detection"\nunit = "call"\nrate = 0.01\n'
    )
    return load_book(path)


def test_a_rejected_record_keeps_its_first_bytes_its_hash_and_its_place() -> None:
    raw = b"\xff" + b"y" * (KEPT_BYTES + 10)
    batch = Batch()
    records = [Logged(41, LOGGED_MS, b"k\xfe", raw, [("traceparent", b"00-1")])]
    add_records(batch, KINDS["text"], "eu.usage.text.v1", 5, records, BOOK)
    (row,) = batch.rejected
    assert row.place == Place("eu.usage.text.v1", 5, 41, LOGGED_MS)
    assert row.raw() == raw[:KEPT_BYTES]
    assert row.raw_hash() == hashlib.blake2b(raw, digest_size=16).hexdigest()
    assert row.value == raw
    assert (row.key, row.headers) == (b"k\xfe", [("traceparent", b"00-1")])
    assert row.reject.reason == "bad_json"


def test_a_record_without_a_value_is_a_reject_with_the_hash_of_nothing() -> None:
    (row,) = batch_of([None], "call").rejected
    assert (row.reject.reason, row.raw()) == ("empty", b"")
    assert row.raw_hash() == hashlib.blake2b(b"", digest_size=16).hexdigest()


# ------------------------------------------------------------------ places and versions

positions = st.builds(
    Place,
    st.just("usage.call.v1"),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**42),
)


@given(place=positions)
def test_a_place_and_its_position_are_one(place: Place) -> None:
    assert Place.at(place.topic, place.position()) == place


@given(one=positions, other=positions)
def test_positions_are_ordered_by_time_then_partition_then_offset(one: Place, other: Place) -> None:
    def order(place: Place) -> tuple[int, int, int]:
        return place.logged_ms, place.partition, place.offset

    assert (one.position() < other.position()) == (order(one) < order(other))


@given(one=positions, other=positions)
def test_an_earlier_place_has_the_higher_version_whatever_was_written_first(
    one: Place, other: Place
) -> None:
    a, b = (version_at(place, amd(answered_at=None)) for place in (one, other))
    assert (a > b) == (one.position() < other.position())
    assert all(0 <= version < 2**128 for version in (a, b))


@given(answered=positions, unanswered=positions)
def test_an_answered_detection_stands_over_one_that_was_not(
    answered: Place, unanswered: Place
) -> None:
    assert version_at(answered, amd()) > version_at(unanswered, amd(answered_at=None))


def version_at(place: Place, event: dict[str, Any]) -> int:
    batch = Batch()
    add_event(batch, KINDS["amd"].decode(orjson.dumps(event)), place, BOOK)
    row: RatedRow
    (row,) = batch.rated
    return row.version


def test_versions_fall_along_the_log() -> None:
    log = Log([call(id=f"call-{n}") for n in range(5)])
    versions = [row.version for row in log.batch(BOOK).rated]
    assert all(earlier > later for earlier, later in pairwise(versions))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (text(status="sent"), text(status="delivered"), True),
        (text(status="sent"), text(status="sent", to="+13125550100"), False),
        (call(), call(), True),
        (call(), call(status="busy"), False),
        (call(), call(unknown_field=1), True),
    ],
)
def test_a_content_hash_differs_where_two_events_of_one_id_are_in_conflict(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    a, b = (batch_of([orjson.dumps(event)], event["kind"]).rated[0] for event in (one, other))
    assert (a.content_hash == b.content_hash) is same
