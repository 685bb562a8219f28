"""Events: what is one, what is none and why, and what one uses. Nothing decoded ever raises."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.decode import decode, decode_all, decode_line
from rater.event_columns import MAX_RECORD_BYTES, read
from rater.event_rows import content_hash, identity_of, state_of, usage_of
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.kinds.text import normal_carrier
from rater.rate import Parked, rate
from rater.reject import Reason, Reject
from rater.unknown_fields import is_word
from rater.usage import DIMENSIONS
from tests.rater.make import (
    ABSENT,
    EVENTS,
    RECEIVED,
    SAMPLE,
    all_of,
    amd,
    call,
    campaign,
    charge,
    decoded,
    decoded_or_not,
    dial,
    modest,
    number,
    recording,
    subscription,
    text,
    us,
)

# ------------------------------------------------------------------ the registry

REGISTRY = [
    # kind          | topic                     monthly
    ("call", "usage.call.v1", False),
    ("text", "usage.text.v1", False),
    ("dial", "usage.dial.v1", False),
    ("amd", "usage.amd.v1", False),
    ("recording", "usage.recording.v1", True),
    ("number", "usage.number.v1", True),
    ("subscription", "usage.subscription.v1", True),
    ("campaign", "usage.campaign.v1", True),
]


@pytest.mark.parametrize(("name", "topic", "monthly"), REGISTRY)
def test_a_kind_has_its_topic_and_is_monthly_or_rated_one_by_one(
    name: str, topic: str, monthly: bool
) -> None:
    kind = KINDS[name]
    assert (kind.name, kind.topic, kind.monthly) == (name, topic, monthly)
    event = decoded(EVENTS[name]())
    assert isinstance(event, kind.struct)
    assert (state_of(event) is not None, usage_of(event) is not None) == (monthly, not monthly)


def test_there_is_no_other_kind() -> None:
    assert sorted(KINDS) == sorted(name for name, _, _ in REGISTRY)


def test_reasons_are_on_the_wire_and_keep_their_names() -> None:
    assert {
        "empty", "too_large", "bad_json", "duplicate_key", "wrong_kind", "bad_field",
        "bad_number", "bad_time", "in_future", "unreadable", "bad_batch", "not_rated", "not_stored",
    } <= {reason.value for reason in Reason}  # fmt: skip


# ------------------------------------------------------------------ what is taken

NOON, LATER = "2026-02-10T12:00:00Z", "2026-02-10T12:05:00Z"

GOOD = [
    call(),
    call(0),
    call(86_400),  # 24 h to the instant
    call(answered_at=NOON),  # answered as it was dialed
    call(60, answered_at="2026-02-10T12:01:00Z"),  # answered as it ended
    call(dialed_at=ABSENT, status="failed"),
    call(dialed_at=None, status="failed"),
    call(at="2026-02-10T12:00:00.123456+05:30"),
    call(dialed_at="2026-02-10t12:00:00z"),
    call(media="video", device="web", recorded=True, group_id="g"),
    call(from_="anonymous", to="87121"),
    call(from_="client:ann", to="sip:bob@example.com"),
    dial(status="no-answer"),
    text(body="", segments=1),
    text(segments=65_535, media="mms", carrier="AT&T", sender="10dlc"),
    amd(answered_at=NOON),
    amd(verdict="fax", campaign_id="spring"),
    amd(verdict="machine_start"),  # any word: it decides no price
    recording(duration_s=0),
    recording(duration_s=86_400, deleted_at="2026-02-10T12:00:00Z"),
    number(number="87121"),
    number(number_type="tollfree", released_at="2026-01-11T00:00:00Z"),
    subscription(ended_at="2027-01-01T00:00:00Z"),
    call(revision=3),
]


@pytest.mark.parametrize("event", GOOD)
def test_a_good_event_is_taken(event: dict[str, Any]) -> None:
    assert isinstance(decoded_or_not(event), Event)


@pytest.mark.parametrize("name", KINDS)
def test_unknown_extra_fields_are_ignored(name: str) -> None:
    event = EVENTS[name]()
    more = {"trace": {"id": ["x", None, 1.5]}, "FROM": 7, "price": "0"}
    assert decoded(event | more) == decoded(event)


@pytest.mark.parametrize("name", KINDS)
def test_kind_may_be_left_to_the_topic(name: str) -> None:
    event = EVENTS[name]()
    raw = json.dumps({key: value for key, value in event.items() if key != "kind"}).encode()
    assert decode(KINDS[name], raw, us(RECEIVED)) == decoded(event)


# ------------------------------------------------------------------ what is refused

FIELD, NUMBER, TIME = Reason.BAD_FIELD, Reason.BAD_NUMBER, Reason.BAD_TIME
KIND, JSON, TWICE = Reason.WRONG_KIND, Reason.BAD_JSON, Reason.DUPLICATE_KEY

BAD = [
    # event                                                   | reason  the message names
    # missing, empty, of the wrong type, an unknown word
    (call(id=ABSENT),                                           FIELD,  "`id`"),
    (call(id=""),                                               FIELD,  "`$.id`"),
    (call(id=None),                                             FIELD,  "`$.id`"),
    (call(id=7),                                                FIELD,  "`$.id`"),
    (call(id="x" * 257),                                        FIELD,  "`$.id`"),
    (call(account_id=""),                                       FIELD,  "`$.account_id`"),
    (call(account_id=ABSENT),                                   FIELD,  "`account_id`"),
    (dial(campaign_id=""),                                      FIELD,  "`$.campaign_id`"),
    (dial(campaign_id=ABSENT),                                  FIELD,  "`campaign_id`"),
    (amd(call_id=""),                                           FIELD,  "`$.call_id`"),
    (recording(recording_id=""),                                FIELD,  "`$.recording_id`"),
    (subscription(subscription_id=""),                          FIELD,  "`$.subscription_id`"),
    (subscription(product=""),                                  FIELD,  "`$.product`"),
    (call(direction="sideways"),                                FIELD,  "`$.direction`"),
    (call(media="hologram"),                                    FIELD,  "`$.media`"),
    (call(status="delivered"),                                  FIELD,  "`$.status`"),
    (call(device="fax"),                                        FIELD,  "`$.device`"),
    (call(recorded="yes"),                                      FIELD,  "`$.recorded`"),
    (call(revision=-1),                                         FIELD,  "`$.revision`"),
    (call(revision="1"),                                        FIELD,  "`$.revision`"),
    (call(revision=1.5),                                        FIELD,  "`$.revision`"),
    (call(revision=True),                                       FIELD,  "`$.revision`"),
    (call(revision=2**31),                                      FIELD,  "`$.revision`"),
    (call(revision=10**30),                                     FIELD,  "`$.revision`"),
    (text(media="voice"),                                       FIELD,  "`$.media`"),
    (text(status="busy"),                                       FIELD,  "`$.status`"),
    (text(registered="true"),                                   FIELD,  "`$.registered`"),
    (text(registered=ABSENT),                                   FIELD,  "`registered`"),
    (text(sender="pigeon"),                                     FIELD,  "`$.sender`"),
    (text(segments=0),                                          FIELD,  "`$.segments`"),
    (text(segments=65_536),                                     FIELD,  "`$.segments`"),
    (text(segments=1.5),                                        FIELD,  "`$.segments`"),
    (text(body=5),                                              FIELD,  "`$.body`"),
    (amd(verdict="m" * 65),                                     FIELD,  "`$.verdict`"),
    (amd(dialed_at=ABSENT),                                     FIELD,  "`dialed_at`"),
    (recording(duration_s=-1),                                  FIELD,  "`$.duration_s`"),
    (recording(duration_s=86_401),                              FIELD,  "`$.duration_s`"),
    (recording(duration_s="50"),                                FIELD,  "`$.duration_s`"),
    (number(number_type="golden"),                              FIELD,  "`$.number_type`"),
    (call(to=14155550100),                                      FIELD,  "`$.to`"),
    (call(to=None),                                             FIELD,  "`$.to`"),
    (call(to="client:" + "x" * 250),                            FIELD,  "`$.to`"),
    # a number that is no number
    (call(to=""),                                               NUMBER, "`$.to`"),
    (call(to="14155550100"),                                    NUMBER, "`$.to`"),
    (call(to="+04155550100"),                                   NUMBER, "`$.to`"),
    (call(to="+1415555010000000"),                              NUMBER, "`$.to`"),
    (call(to="+1 415 555 0100"),                                NUMBER, "`$.to`"),
    (call(to="+1415555OlOO"),                                   NUMBER, "`$.to`"),
    (call(to="+١٤١٥٥٥٥٠١٠٠"),                                   NUMBER, "`$.to`"),
    (call(to=" +14155550100"),                                  NUMBER, "`$.to`"),
    (call(to="+14155550100\n"),                                 NUMBER, "`$.to`"),
    (call(to="12"),                                             NUMBER, "`$.to`"),
    (call(to="87121\n"),                                        NUMBER, "`$.to`"),
    (call(to="client:"),                                        NUMBER, "`$.to`"),
    (call(to="sip:"),                                           NUMBER, "`$.to`"),
    (call(from_="nobody"),                                      NUMBER, "`$.from`"),
    (call(to="+1415555010"),                                    NUMBER, "`$.to`"),
    (call(to="+44794600"),                                      NUMBER, "`$.to`"),
    (call(from_="anonymous "),                                  NUMBER, "`$.from`"),
    (dial(to="nobody"),                                         NUMBER, "`$.to`"),
    (text(from_="MyShop"),                                      NUMBER, "`$.from`"),
    (number(number="anonymous"),                                NUMBER, "`$.number`"),
    (number(number="client:ann"),                               NUMBER, "`$.number`"),
    (number(number="+14155550100\n"),                           NUMBER, "`$.number`"),
    # times that are none
    (call(ended_at="yesterday"),                                FIELD,  "`$.ended_at`"),
    (call(ended_at=ABSENT),                                     FIELD,  "`ended_at`"),
    (call(ended_at=1_770_724_800),                              FIELD,  "`$.ended_at`"),
    (call(ended_at="2026-02-10"),                               FIELD,  "`$.ended_at`"),
    (call(ended_at="2026-02-30T12:00:00Z"),                     FIELD,  "`$.ended_at`"),
    (call(ended_at="2026-02-10T25:00:00Z"),                     FIELD,  "`$.ended_at`"),
    (call(ended_at="2026-02-10T12:00:00"),                      FIELD,  "`$.ended_at`"),
    (text(sent_at="2026-02-10T12:00:00"),                       FIELD,  "`$.sent_at`"),
    # times that cannot be
    (call(ended_at="2026-02-10T11:59:59.999999Z"),              TIME,   "ended_at"),
    (call(86_400.000001),                                       TIME,   "24 h"),
    (call(answered_at="2026-02-10T11:59:59Z"),                  TIME,   "answered_at"),
    (call(answered_at="2026-02-10T12:01:00.000001Z"),           TIME,   "answered_at"),
    (call(dialed_at=ABSENT, answered_at=NOON),                  TIME,   "dialed_at"),
    (dial(ended_at="2026-02-10T11:00:00Z"),                     TIME,   "ended_at"),
    # 12:30 at +01:00 is before 12:00 at Z
    (call(ended_at="2026-02-10T12:30:00+01:00"),                TIME,   "ended_at"),
    (amd(answered_at="2026-02-10T11:59:59Z"),                   TIME,   "answered_at"),
    (amd(answered_at="2026-02-11T12:00:00.000001Z"),            TIME,   "24 h"),
    (recording(deleted_at="2026-02-10T11:59:59Z"),              TIME,   "deleted_at"),
    (number(released_at="2026-01-10T23:59:59Z"),                TIME,   "released_at"),
    (subscription(ended_at="2026-01-01T11:59:59Z"),             TIME,   "ended_at"),
    # a kind that disagrees with its topic is said below
]  # fmt: skip


@pytest.mark.parametrize(("event", "reason", "names"), BAD)
def test_a_bad_event_is_refused_with_its_reason(
    event: dict[str, Any], reason: Reason, names: str
) -> None:
    result = decoded_or_not(event)
    assert isinstance(result, Reject)
    assert (result.reason, names in result.message) == (reason, True), result.message


@pytest.mark.parametrize("party", ["+1 212 555 0147", "2125550147", "+12125550147x", "Ann Smith"])
@pytest.mark.parametrize("field", ["from_", "to"])
def test_a_bad_number_is_never_repeated_in_the_message(field: str, party: str) -> None:
    numbers: dict[str, Any] = {field: party}
    for event in (call(**numbers), dial(**numbers), text(body="my secret is 4711", **numbers)):
        result = decoded_or_not(event)
        assert isinstance(result, Reject)
        assert result.reason is Reason.BAD_NUMBER
        assert party not in result.message
        assert "4711" not in result.message
        assert "E.164" in result.message  # and what to send instead


AHEAD = [
    # event                                                   received 12:00 | taken
    (call(at="2026-02-10T12:04:00Z"),                                          True),
    (call(60.000001, at="2026-02-10T12:04:00Z"),                               False),
    (call(dialed_at=ABSENT, ended_at="2026-02-10T12:05:00.000001Z"),           False),
    (text(sent_at=LATER),                                                      True),
    (text(sent_at="2026-02-10T12:05:00.000001Z"),                              False),
    (text(sent_at="2026-02-10T07:05:00-05:00"),                                True),
    (amd(answered_at="2026-02-10T12:05:01Z"),                                  False),
    (recording(stored_at=LATER),                                               True),
    (recording(stored_at="2026-02-10T12:05:01Z"),                              False),
    (recording(deleted_at="2026-02-10T12:05:01Z"),                             False),
    (number(released_at="2026-02-10T12:05:01Z"),                               False),
    (subscription(ended_at="2026-03-01T00:00:00Z"),                            False),
    (text(sent_at="9999-12-31T23:59:59Z"),                                     False),
]  # fmt: skip


@pytest.mark.parametrize(("event", "taken"), AHEAD)
def test_an_event_is_refused_from_five_minutes_ahead_of_the_log(
    event: dict[str, Any], taken: bool
) -> None:
    result = decoded_or_not(event, received="2026-02-10T12:00:00Z")
    reason = result.reason if isinstance(result, Reject) else None
    assert reason == (None if taken else Reason.IN_FUTURE)


GOOD_RAW = json.dumps(call()).encode()
OBJECT = GOOD_RAW[1:]  # behind "{" and something else

RAW = [
    # bytes                                                   | reason
    (None,                                                      Reason.EMPTY),
    (b"",                                                       Reason.EMPTY),
    (b" ",                                                      JSON),
    (b"{",                                                      JSON),
    (b"}",                                                      JSON),
    (b"\x00",                                                   JSON),
    (b"not json",                                               JSON),
    (GOOD_RAW[:-1],                                             JSON),
    (GOOD_RAW + b"}",                                           JSON),
    (GOOD_RAW + GOOD_RAW,                                       JSON),
    (b"\xef\xbb\xbf" + GOOD_RAW,                                None),  # a mark is no data
    (b"\xef\xbb\xbf",                                           Reason.EMPTY),
    (GOOD_RAW.decode().encode("utf-16"),                        JSON),
    (b"{'id': 'c1'}",                                           JSON),
    (b'{"x":NaN,' + OBJECT,                                     JSON),
    (b'{"x":-Infinity,' + OBJECT,                               JSON),
    (b'{"revision":NaN,' + OBJECT,                              JSON),
    (b'{"x":01,' + OBJECT,                                      JSON),
    (b'{"x":1,,' + OBJECT,                                      JSON),
    (b'{"x":"\\ud800",' + OBJECT,                               JSON),  # half a surrogate pair
    (b'{"x":"\xff\xfe",' + OBJECT,                              JSON),  # no UTF-8
    (b'{"x":"\xff\xfe","y" :1,' + OBJECT,                       JSON),
    (b'{"id\xff":1,"id\xff" :1,' + OBJECT,                      JSON),
    (b'{"x":"\t",' + OBJECT,                                    JSON),  # a bare control character
    (b"[" * 5_000 + b"]" * 5_000,                               FIELD),
    (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"," + OBJECT, JSON),
    (b"null",                                                   FIELD),
    (b"[]",                                                     FIELD),
    (b"1",                                                      FIELD),
    (b'"call"',                                                 FIELD),
    (b"{}",                                                     FIELD),
    (GOOD_RAW.replace(b'"call"', b'"text"'),                    KIND),
    (GOOD_RAW.replace(b'"call"', b'"fax"'),                     KIND),
    (b" " * (MAX_RECORD_BYTES - len(GOOD_RAW)) + GOOD_RAW,      None),
    (b" " * (MAX_RECORD_BYTES - len(GOOD_RAW) + 1) + GOOD_RAW,  Reason.TOO_LARGE),
    (GOOD_RAW,                                                  None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "reason"), RAW, ids=[f"{i}-{str(raw)[:30]}" for i, (raw, _) in enumerate(RAW)]
)
def test_bytes_that_are_no_event_are_refused(raw: bytes | None, reason: Reason | None) -> None:
    result = decode(KINDS["call"], raw, us(RECEIVED))
    assert (result.reason if isinstance(result, Reject) else None) == reason, result
    assert not isinstance(result, Reject) or result.message


def test_no_depth_of_nesting_raises() -> None:
    # A suspect of a name twice is read again by another parser, whose limit is another one.
    for depth in range(1, 1_100):
        raw = b'{"y" :1,"x":' + b"[" * depth + b"]" * depth + b"," + OBJECT
        result = decode(KINDS["call"], raw, us(RECEIVED))
        assert isinstance(result, Event) or result.reason is Reason.BAD_JSON, depth


def test_no_length_of_a_number_raises() -> None:
    # Python reads no integer of more than 4,300 digits from a text.
    for digits in (4_300, 4_301, 100_000):
        for space in (b"", b" "):
            raw = b'{"x"' + space + b":" + b"1" * digits + b"," + OBJECT
            assert isinstance(decode(KINDS["call"], raw, us(RECEIVED)), Event | Reject)


# ------------------------------------------------------------------ duplicate keys

NAMED = [
    # before the rest of a good call                          | twice
    (b'"id":"c1",',                                             "id"),
    (b'"id":"other",',                                          "id"),
    (b'"id" : "c1",',                                           "id"),
    (b'"id"\n\t\r :"c1",',                                      "id"),
    (b'"\\u0069d":"c1",',                                       "id"),
    (b'"\\u0069\\u0064" : "c1",',                               "id"),
    (b'"x":{"id":1,"id":2},',                                   "id"),
    (b'"x":[{"a":1},{"b":[{"a":1,"\\u0061":2}]}],',             "a"),
    (b'"x":1,"x":1,',                                           "x"),
    (b'"":1,"":2,',                                             ""),
    (b'"a\\"b":1,"a\\u0022b":2,',                               'a"b'),
    (b'"a/b":1,"a\\/b":2,',                                     "a/b"),
    (b'"a\\\\":1,"a\\u005c":2,',                                "a\\"),
    ('"é":1,"\\u00e9":2,'.encode(),                             "é"),
    (b'"x":":","x":1,',                                         "x"),
    # false alarms
    (b'"x":"\\"id\\":1, \\"id\\":2",',                          None),
    (b'"x":"id\\":","y":"id\\":",',                             None),
    (b'"x":["id","id","id"],',                                  None),
    (b'"x":{"id":1,"from":{"id":1}},',                          None),
    (b'"x":[{"a":1},{"a":2}],',                                 None),
    (b'"ID":1,"Id":2,',                                         None),
    (b'"id ":1," id":2,',                                       None),
    (b'"x":"\\u0022\\u003a",',                                  None),
    (b'"x" : "y" , "z" : "y",',                                 None),
    (b'"a\\"id":1,"b\\"id":2,',                                 None),
]  # fmt: skip


@pytest.mark.parametrize(("before", "twice"), NAMED)
def test_a_name_that_stands_twice_at_any_depth_is_refused(before: bytes, twice: str | None) -> None:
    result = decode(KINDS["call"], b"{" + before + OBJECT, us(RECEIVED))
    if twice is None:
        assert result == decoded(call())
    else:
        assert isinstance(result, Reject)
        named = repr(twice) if is_word(twice) else "a name"
        assert (result.reason, named in result.message) == (TWICE, True), result.message


def _spellings(character: str) -> list[str]:
    """The ways JSON can write a character within a string."""
    plain = {'"': ['\\"'], "\\": ["\\\\"], "/": ["/", "\\/"]}.get(character, [character])
    return [*plain, f"\\u{ord(character):04x}", f"\\u{ord(character):04X}"]


@st.composite
def _objects(draw: st.DrawFn) -> tuple[str, bool]:
    """An object's inside as JSON, and whether a name stands twice in it."""
    names = draw(st.lists(st.text(alphabet='a"/\\:', max_size=3), min_size=1, max_size=4))
    pairs, twice = [], len(set(names)) < len(names)
    for name in names:
        spelled = "".join(draw(st.sampled_from(_spellings(character))) for character in name)
        value = draw(st.sampled_from(['"a\\":"', '":"', "1", "[]", "{}", '{"a":1}']))
        space = draw(st.sampled_from(["", " ", "\n\t"]))
        pairs.append(f'"{spelled}"{space}:{space}{value}')
    return ",".join(pairs), twice


@modest
@given(_objects())
def test_a_name_is_found_twice_however_it_is_spelled(made: tuple[str, bool]) -> None:
    inside, twice = made
    raw = b'{"x":{' + inside.encode() + b"}," + OBJECT
    result = decode(KINDS["call"], raw, us(RECEIVED))
    assert (isinstance(result, Reject) and result.reason is TWICE) == twice, (inside, result)


@st.composite
def _own_names(draw: st.DrawFn) -> tuple[str, bytes, bool]:
    """An event of a kind with its own names only, and whether one of them stands twice."""
    name = draw(st.sampled_from(sorted(EVENTS)))
    struct = KINDS[name].struct
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(struct)
                if not field.required}  # fmt: skip
    explicit = draw(st.sets(st.sampled_from(sorted(defaults))))
    pairs = list(({one: defaults[one] for one in explicit} | EVENTS[name]()).items())
    twice = draw(st.booleans())
    if twice:
        again, value = draw(st.sampled_from(pairs))
        pairs.append((again, draw(st.sampled_from([value, defaults.get(again, value)]))))
    pairs = draw(st.permutations(pairs))
    colon = draw(st.sampled_from([":", ": "]))
    inside = ",".join(f"{json.dumps(one)}{colon}{_escaped(draw, value)}" for one, value in pairs)
    return name, f"{{{inside}}}".encode(), twice


def _escaped(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON; an id perhaps with characters that stand escaped in it."""
    if value == "someone":
        value += draw(st.sampled_from(["", '"', "\\", '\\"', '"\\\\', "é", '","kind":"']))
    return json.dumps(value)


@modest
@given(st.lists(_own_names(), min_size=1, max_size=4), st.sampled_from([b"", b"{}", b"\xff", None]))
def test_records_together_are_decoded_as_each_alone(
    made: list[tuple[str, bytes, bool]], other: bytes | None
) -> None:
    """A batch of one kind, well throughout or not, with or without a record that is none."""
    kind = KINDS[made[0][0]]
    raws: list[bytes | None] = [raw for name, raw, _ in made if name == kind.name]
    for batch in (raws, [*raws, other]):
        received_us = [us(RECEIVED) + i for i in range(len(batch))]
        alone = [decode(kind, raw, at_us) for raw, at_us in zip(batch, received_us, strict=True)]
        assert all_of(decode_all(kind, batch, received_us), len(batch)) == alone


@modest
@given(_own_names())
def test_a_name_that_stands_twice_is_told(made: tuple[str, bytes, bool]) -> None:
    """Of a kind's own names, whichever of those at their default are said; by both ways to read."""
    name, raw, twice = made
    kind = KINDS[name]
    columns, _ = read(kind, [raw], np.array([us(RECEIVED)]))
    assert (columns is None) == twice
    result = decode(kind, raw, us(RECEIVED))
    assert (isinstance(result, Reject) and result.reason is TWICE) == twice


# ------------------------------------------------------------------ lines of a file

LINES = [
    # line                                      | reason
    (json.dumps(text()).encode(),                 None),
    (b'{"kind":"fax"}',                           KIND),
    (b'{"id":"c1"}',                              KIND),
    (b'{"kind":7}',                               KIND),
    (b'{"kind":null}',                            KIND),
    (b"[]",                                       KIND),
    (b"",                                         JSON),
    (b"{",                                        JSON),
    (b'{"kind":"text"}',                          FIELD),
    (b'{"kind":"text","kind":"text",' + json.dumps(text()).encode()[1:], TWICE),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), LINES)
def test_a_line_of_a_file_says_its_own_kind(line: bytes, reason: Reason | None) -> None:
    result = decode_line(line, us(RECEIVED))
    assert (result.reason if isinstance(result, Reject) else None) == reason, result


# ------------------------------------------------------------------ what an event uses

USES = [
    # event, its line, its dims that are not None
    (call(),
     "calls", "outbound voice geographic geographic"),
    (call(direction="inbound", from_="anonymous", to="+18005550100", device="web"),
     "calls", "inbound voice web anonymous tollfree"),
    (call(media="video", to="client:ann"),
     "video_calls", "outbound video geographic client"),
    (dial(device="cell", to="sip:a@b"),
     "campaign_calls", "outbound voice cell geographic sip"),
    (amd(),
     "ai_voice_detection", ""),
]  # fmt: skip


@pytest.mark.parametrize(("event", "line", "facts"), USES)
def test_an_event_uses_one_line(event: dict[str, Any], line: str, facts: str) -> None:
    usage = usage_of(decoded(event))
    assert usage is not None
    assert (usage.lines, " ".join(filter(None, usage.dims))) == ((line,), facts)
    assert len(usage.dims) == len(DIMENSIONS)


def test_a_text_uses_two_lines() -> None:
    event = text(carrier="AT&T", sender="10dlc", to="87121", registered=False, segments=3)
    usage = usage_of(decoded(event))
    assert usage is not None
    assert usage.lines == ("texts", "carrier_fees")
    assert " ".join(filter(None, usage.dims)) == "outbound sms 10dlc att false geographic shortcode"
    assert (usage.segments, usage.at_us) == (3, us(NOON))


STATES = [
    # event         | line                 thing                            billed as
    (recording(),     "recording_storage", "R",                             "R"),
    (number(),        "phone_numbers",     "+12125550100@1768089600000000", "+12125550100"),
    (subscription(),  "subscriptions",     "S",                             "S"),
    (campaign(),      "",                  "spring@1767268800000000",       "spring"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "line", "thing", "billed_as"), STATES)
def test_an_event_tells_the_state_of_a_thing(
    event: dict[str, Any], line: str, thing: str, billed_as: str
) -> None:
    state = state_of(decoded(event))
    assert state is not None
    assert (state.line, state.thing, state.billed_as) == (line, thing, billed_as)
    assert state.until_us is None


def test_a_release_tells_of_the_same_thing_whatever_the_offset_it_is_written_in() -> None:
    owned = state_of(decoded(number()))
    released = state_of(
        decoded(number(id="n2", acquired_at="2026-01-10T19:00:00-05:00", released_at=NOON))
    )
    assert owned is not None
    assert released is not None
    assert (released.thing, released.until_us) == (owned.thing, us(NOON))


# ------------------------------------------------------------------ segments, carriers, identity

COUNTS = [
    # segments  body        media | segments counted
    (None,      None,       "sms",  1),
    (None,      "",         "sms",  1),
    (None,      "a" * 161,  "sms",  2),
    (None,      "ж" * 71,   "sms",  2),
    (1,         "a" * 161,  "sms",  1),  # the provider's count wins
    (3,         None,       "sms",  3),
    (None,      "a" * 500,  "mms",  1),
    (2,         None,       "mms",  2),
]  # fmt: skip


@pytest.mark.parametrize(("segments", "body", "media", "counted"), COUNTS)
def test_the_provider_s_count_of_segments_wins(
    segments: int | None, body: str | None, media: str, counted: int
) -> None:
    event = decoded(text(segments=segments, body=body, media=media))
    usage = usage_of(event)
    assert usage is not None
    assert usage.segments == counted


CARRIERS = [
    # as sent      | as compared
    ("AT&T",         "att"),
    ("at&t",         "att"),
    ("T-Mobile",     "tmobile"),
    ("T Mobile",     "tmobile"),
    ("US Cellular",  "uscellular"),
    ("U.S. Cellular", "uscellular"),
    ("&",            None),
    ("",             None),
    (None,           None),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "compared"), CARRIERS)
def test_a_carrier_is_one_however_it_is_spelled(sent: str | None, compared: str | None) -> None:
    assert normal_carrier(sent) == compared


CONTENTS = [
    # one event                    another of the same id                        | agree
    (text(status="sent"),          text(status="delivered"),                       True),
    (text(status="sent"),          text(status="failed"),                          True),
    (text(body="a"),               text(body="b"),                                 True),
    (text(body="a"),               text(body="a" * 161),                           False),
    (text(segments=1),             text(segments=2),                               False),
    (text(),                       text(sent_at="2026-02-10T12:00:00.000001Z"),    False),
    (text(status="sent", to="+13105550101"), text(status="delivered"),             False),
    (text(),                       text() | {"extra": 1},                          True),
    (call(),                       call() | {"extra": 1},                          True),
    (call(),                       call(media="voice"),                            True),
    (call(),                       call(status="busy"),                            False),
    (call(60),                     call(61),                                       False),
    (call(),                       call(revision=1),                               False),
    (amd(verdict="human"),         amd(verdict="machine"),                         False),
    (number(),                     number(released_at="2026-02-01T00:00:00Z"),     False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "another", "agree"), CONTENTS)
def test_a_status_update_of_a_text_is_no_conflict(
    one: dict[str, Any], another: dict[str, Any], agree: bool
) -> None:
    assert (content_hash(decoded(one)) == content_hash(decoded(another))) == agree


def test_the_identity_of_a_detection_is_its_call() -> None:
    first, second = decoded(amd(id="a1")), decoded(amd(id="a2", verdict="machine"))
    assert (identity_of(first), identity_of(second)) == ("c1", "c1")
    assert (identity_of(decoded(call())), identity_of(decoded(text()))) == ("c1", "t1")


def test_a_body_is_never_on_a_charge() -> None:
    secret = "my secret is 4711"
    event = text(body=secret)
    for line in ("texts", "carrier_fees"):
        assert secret not in repr(charge(event, line=line))


# ------------------------------------------------------------------ nothing raises

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["+14155550100", "anonymous", "2026-02-10T12:00:00Z", "outbound", "sms"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def _mutate(draw: st.DrawFn, event: dict[str, Any]) -> None:
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from([*sorted(event), "extra", "answered_at", "body", "revision"]))
        match draw(st.sampled_from(["drop", "replace", "text"])):
            case "drop":
                event.pop(key, None)
            case "replace":
                event[key] = draw(JSON_VALUES)
            case "text":
                event[key] = str(event.get(key, "")) + draw(st.text(max_size=4))


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good event with a few fields dropped or replaced, or a few bytes changed."""
    name = draw(st.sampled_from(sorted(KINDS)))
    event = EVENTS[name]()
    _mutate(draw, event)
    raw = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(raw)))
        raw = raw[:cut] + draw(st.binary(max_size=3)) + raw[cut + draw(st.integers(0, 2)) :]
    return name, raw


def _is_rated_parked_or_refused(result: Event | Reject) -> None:
    if isinstance(result, Reject):
        assert isinstance(result.reason, Reason)
        assert result.message
        return
    assert isinstance(result, Event)
    rated = rate(result, SAMPLE)
    assert isinstance(rated, Parked | list)
    usage = usage_of(result)
    assert isinstance(rated, Parked) or len(rated) == (len(usage.lines) if usage else 0)


@modest
@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
def test_no_bytes_raise(name: str, raw: bytes) -> None:
    _is_rated_parked_or_refused(decode(KINDS[name], raw, us(RECEIVED)))
    _is_rated_parked_or_refused(decode_line(raw, us(RECEIVED)))


@modest
@given(st.sampled_from(sorted(KINDS)), JSON_VALUES)
def test_no_json_raises(name: str, value: Any) -> None:
    raw = json.dumps(value).encode()
    _is_rated_parked_or_refused(decode(KINDS[name], raw, us(RECEIVED)))
    _is_rated_parked_or_refused(decode_line(raw, us(RECEIVED)))


@modest
@given(_mutated())
def test_no_damaged_event_raises(made: tuple[str, bytes]) -> None:
    name, raw = made
    _is_rated_parked_or_refused(decode(KINDS[name], raw, us(RECEIVED)))
    _is_rated_parked_or_refused(decode_line(raw, us(RECEIVED)))
