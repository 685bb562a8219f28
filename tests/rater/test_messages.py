"""What is said of an event that is refused or waits: what is allowed, never what it was.

Messages go to dead letters, lists and screens; the event's own values are in its record alone.
"""

import orjson
import pytest

from rater.decode import decode, decode_line
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book
from tests.rater.make import EVENTS, RECEIVED, us

PERSON, PHONE = "John Q. Public", "6175839876"
# What somebody may have written into a field: words, numbers, instants, and none of these.
WRITTEN: list[object] = [
    PERSON, f"+1{PHONE}", f"{PERSON} +1{PHONE}", PERSON * 200, f"`$.{PHONE}` {PERSON}", int(PHONE),
    -int(PHONE), float(PHONE) + 0.5, [PERSON], {PERSON: PHONE}, f"2031-07-08T09:10:11.{PHONE[:6]}Z",
    f"1999-07-08T09:10:11.{PHONE[:6]}Z", f"2026-13-08T09:10:11.{PHONE[:6]}Z", "\udc80" + PERSON,
]  # fmt: skip
MARKS = (PERSON, PHONE, PHONE[:6], "2031", "1999", "09:10:11")


def said_of(kind: Kind, raw: bytes, book: Book) -> list[str]:
    """All that is said of a record, on a topic and in a file."""
    said = []
    for outcome in (decode(kind, raw, us(RECEIVED)), decode_line(raw, us(RECEIVED))):
        if not isinstance(outcome, Reject):
            outcome = rate(outcome, book)  # type: ignore[assignment]
        if isinstance(outcome, Reject | Parked):
            said.append(outcome.message)
    return said


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_no_message_repeats_what_an_event_says(kind: Kind, book: Book) -> None:
    well, told = EVENTS[kind.name](), set()
    for name in sorted(kind.names):
        for value in WRITTEN:
            try:
                raw = orjson.dumps(well | {name: value})
            except orjson.JSONEncodeError:
                raw = orjson.dumps(well)[:-1] + f',"{name}2":"{PERSON}'.encode() + b'\xff"}'
            told |= set(said_of(kind, raw, book))
    for message in told:
        assert not any(mark in message for mark in MARKS), message
        assert len(message) <= 300, message
    assert len(told) > 5


@pytest.mark.parametrize("name", [PERSON, f"+1{PHONE}", f"n{PHONE}"])
def test_a_name_that_stands_twice_is_said_where_it_is_a_name(name: str, book: Book) -> None:
    twice = orjson.dumps(EVENTS["call"]())[:-1] + f',"{name}":1,"{name}":2}}'.encode()
    assert all(name not in message for message in said_of(KINDS["call"], twice, book))
    twice = orjson.dumps(EVENTS["call"]())[:-1] + b',"status":1,"status":2}'
    assert said_of(KINDS["call"], twice, book)


WORDS = [
    # kind     field           what is allowed is said
    ("call",   "direction",    "inbound, outbound"),
    ("call",   "status",       "busy, canceled, completed, failed, no-answer"),
    ("text",   "media",        "mms, sms"),
    ("text",   "sender",       "10dlc, shortcode, tollfree"),
    ("amd",    "verdict",      "human"),
    ("number", "number_type",  "local"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "field", "allowed"), WORDS)
def test_the_words_that_are_allowed_are_said(
    kind: str, field: str, allowed: str, book: Book
) -> None:
    raw = orjson.dumps(EVENTS[kind]() | {field: PERSON})
    for message in said_of(KINDS[kind], raw, book):
        words = message.partition("one of ")[2].partition(" - at")[0].split(", ")
        assert set(allowed.split(", ")) <= set(words), message
        assert f"$.{field}" in message


def test_a_kind_that_is_none_is_told_which_there_are() -> None:
    for kind in (PERSON, int(PHONE), None):
        said = decode_line(orjson.dumps({"kind": kind}), us(RECEIVED))
        assert isinstance(said, Reject)
        assert all(name in said.message for name in KINDS)
        assert not any(mark in said.message for mark in MARKS)
