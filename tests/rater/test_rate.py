"""Rating: what an event costs under a tariff, from end to end, and what must wait for a price."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from rater.money import format_nanos
from rater.price import Price
from rater.rate import Parked, Wait, rate
from rater.tariff import Account, Book, History, Tariff, Version
from rater.tax import Address
from tests.rater.make import (
    ABSENT,
    LONDON,
    LOS_ANGELES,
    MANHATTAN,
    NEW_YORK,
    SAMPLE,
    TOLL_FREE,
    a_price,
    amd,
    call,
    charge,
    charges,
    decoded,
    dial,
    make_book,
    number,
    price,
    recording,
    shown,
    subscription,
    text,
    us,
    zone,
)

# ------------------------------------------------------------------ calls, by the sample tariff

BILLED = [
    # seconds  answered at             status       | minutes  charge at 0.013
    (0,        None,                   "no-answer",   1,       "0.013"),
    (1,        None,                   "no-answer",   1,       "0.013"),
    (59,       None,                   "busy",        1,       "0.013"),
    (60,       None,                   "canceled",    1,       "0.013"),
    (60.9,     None,                   "failed",      1,       "0.013"),
    (61,       None,                   "no-answer",   2,       "0.026"),
    (61,       "2026-02-10T12:00:50Z", "completed",   2,       "0.026"),  # from dialing
    (120,      "2026-02-10T12:00:01Z", "completed",   2,       "0.026"),
    (121,      "2026-02-10T12:00:01Z", "completed",   3,       "0.039"),
    (86_400,   "2026-02-10T12:00:01Z", "completed",   1_440,   "18.72"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "answered_at", "status", "minutes", "charged"), BILLED)
def test_a_call_is_charged_from_dialing_whether_answered_or_not(
    seconds: float, answered_at: str | None, status: str, minutes: int, charged: str
) -> None:
    row = charge(call(seconds, answered_at=answered_at, status=status))
    assert shown(row) == (minutes, "minute", charged)
    assert (row.cost.raw_seconds, row.cost.billed_seconds) == (int(seconds), minutes * 60)
    assert row.cost.rule == "calls outbound +1*: 0.013 per minute, 60/60 s from dial"


@pytest.mark.parametrize("make", [call, dial])
@pytest.mark.parametrize("dialed_at", [None, ABSENT])
def test_what_the_platform_refused_before_dialing_is_a_row_of_nothing(
    make: Any, dialed_at: Any
) -> None:
    row = charge(make(30, dialed_at=dialed_at, status="failed"))
    assert shown(row) == (0, "minute", "0")
    assert (row.cost.raw_seconds, row.cost.billed_seconds, row.occurred_us) == (
        0,
        0,
        us("2026-02-10T12:00:30Z"),
    )
    assert row.cost.rule.endswith("; refused before dialing: $0")


def test_a_forwarded_call_is_two_legs_that_round_alone() -> None:
    book = make_book(
        price("calls", "0.01", more='match = { direction = "inbound" }')
        + price("calls", "0.02", more='match = { direction = "outbound" }')
    )
    # 61 s and 55 s are 116 s, which together would be two minutes
    inbound = charge(call(61, id="in", direction="inbound", group_id="g"), book)
    outbound = charge(call(55, id="out", device="cell", group_id="g"), book)
    assert (shown(inbound), inbound.group_id) == ((2, "minute", "0.02"), "g")
    assert (shown(outbound), outbound.group_id) == ((1, "minute", "0.02"), "g")
    assert (inbound.terms.direction, outbound.terms.direction) == ("inbound", "outbound")


LINES = [
    # event                            | lines
    (call(),                             ["calls"]),
    (call(media="video"),                ["video_calls"]),
    (dial(),                             ["campaign_calls"]),  # on the campaign line only
    (dial(status="no-answer"),           ["campaign_calls"]),
    (text(),                             ["texts", "carrier_fees"]),
    (text(media="mms"),                  ["texts", "carrier_fees"]),
    (text(status="failed"),              ["texts", "carrier_fees"]),
    (amd(),                              ["ai_voice_detection"]),
    (number(),                           []),  # by the month
    (recording(),                        []),
    (subscription(),                     []),
]  # fmt: skip


@pytest.mark.parametrize(("event", "lines"), LINES)
def test_an_event_is_charged_on_its_lines_and_no_other(
    event: dict[str, Any], lines: list[str]
) -> None:
    rows = charges(event)
    assert [row.terms.line for row in rows] == lines
    assert {(row.terms.kind, row.event_id) for row in rows} <= {(event["kind"], event["id"])}


DESTINATIONS = [
    # kind   direction    from           to                    | price of one minute
    (call,   "inbound",   NEW_YORK,      MANHATTAN,              "0.0085"),
    (call,   "inbound",   NEW_YORK,      TOLL_FREE,              "0.022"),
    (call,   "inbound",   "anonymous",   MANHATTAN,              "0.01"),
    (call,   "inbound",   "anonymous",   TOLL_FREE,              "0.024"),
    (call,   "inbound",   "client:ann",  MANHATTAN,              "0.0085"),
    (call,   "inbound",   LONDON,        "+448001111111",        "0.022"),   # freephone abroad
    (call,   "outbound",  MANHATTAN,     LOS_ANGELES,            "0.013"),
    (call,   "outbound",  MANHATTAN,     "+14165550100",         "0.014"),   # Canada
    (call,   "outbound",  MANHATTAN,     "+16045550100",         "0.014"),
    (call,   "outbound",  MANHATTAN,     "+12425550100",         "0.25"),    # Bahamas
    (call,   "outbound",  MANHATTAN,     "+18765550100",         "0.25"),    # Jamaica
    (call,   "outbound",  MANHATTAN,     "+18095550100",         "0.25"),    # Dominican Republic
    (call,   "outbound",  MANHATTAN,     "+17875550100",         "0.02"),    # Puerto Rico
    (call,   "outbound",  MANHATTAN,     LONDON,                 "0.015"),
    (call,   "outbound",  MANHATTAN,     "+447700900123",        "0.042"),   # longest: +447
    (call,   "outbound",  MANHATTAN,     "+551155501234",        "0.018"),   # longest: +5511
    (call,   "outbound",  MANHATTAN,     "+552155501234",        "0.035"),
    (call,   "outbound",  MANHATTAN,     "+88212345678",         "0.95"),    # the fallback
    (call,   "outbound",  MANHATTAN,     TOLL_FREE,              "0.005"),   # a form before +1
    (call,   "outbound",  MANHATTAN,     "+448001111111",        "0.005"),
    (call,   "outbound",  MANHATTAN,     "client:ann",           "0.004"),
    (call,   "outbound",  MANHATTAN,     "sip:ann@example.com",  "0.004"),
    (call,   "outbound",  MANHATTAN,     "sips:ann@example.com", "0.004"),
    (call,   "outbound",  MANHATTAN,     "911",                  "0"),
    (call,   "outbound",  MANHATTAN,     "988",                  "0"),
    (call,   "outbound",  MANHATTAN,     "411",                  "1.99"),
    (call,   "outbound",  MANHATTAN,     "1002",                 "0.004"),
    (call,   "inbound",   "Restricted",  MANHATTAN,              "0.01"),
    (dial,   "outbound",  MANHATTAN,     "911",                  "0"),
    (call,   "outbound",  "anonymous",   LOS_ANGELES,            "0.013"),
    (dial,   "outbound",  MANHATTAN,     LOS_ANGELES,            "0.013"),
    (dial,   "outbound",  MANHATTAN,     "+14165550100",         "0.014"),
    (dial,   "outbound",  MANHATTAN,     "+88212345678",         "0.01"),
    (dial,   "inbound",   LOS_ANGELES,   MANHATTAN,              "0.01"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "direction", "from_", "to", "charged"), DESTINATIONS)
def test_a_destination_has_its_price(
    make: Any, direction: str, from_: str, to: str, charged: str
) -> None:
    row = charge(make(60, direction=direction, from_=from_, to=to))
    assert shown(row) == (1, "minute", charged)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_video_call_has_a_line_and_a_price_of_its_own(direction: str) -> None:
    row = charge(call(61, media="video", direction=direction))
    assert (row.terms.line, row.terms.direction, shown(row)) == (
        "video_calls",
        direction,
        (2, "minute", "0.03"),
    )


# ------------------------------------------------------------------ time

PER_MINUTE = make_book(price("calls", "0.01"), zone="America/New_York")
IN_LONDON = make_book(price("calls", "0.01"), zone="Europe/London")

NIGHTS = [
    # book        dialed                       ended                        | minutes  month
    # spring: 01:59:30 and 03:00:31 by the clock are 61 s
    (PER_MINUTE, "2026-03-08T01:59:30-05:00", "2026-03-08T03:00:31-04:00",   2,        "2026-03"),
    (PER_MINUTE, "2026-03-08T06:59:30Z",      "2026-03-08T07:00:30Z",        1,        "2026-03"),
    # autumn: 01:30 and 01:30 by the clock are an hour, 01:59:30 and 01:00:31 are 61 s
    (PER_MINUTE, "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00",   60,       "2026-11"),
    (PER_MINUTE, "2026-11-01T01:59:30-04:00", "2026-11-01T01:00:31-05:00",   2,        "2026-11"),
    (IN_LONDON,  "2026-03-29T00:59:30+00:00", "2026-03-29T02:00:31+01:00",   2,        "2026-03"),
    (IN_LONDON,  "2026-10-25T01:59:30+01:00", "2026-10-25T01:00:31+00:00",   2,        "2026-10"),
    # a leap day
    (IN_LONDON,  "2028-02-28T23:59:30Z",      "2028-02-29T00:00:31Z",        2,        "2028-02"),
    (IN_LONDON,  "2028-02-29T23:59:30Z",      "2028-03-01T00:00:31Z",        2,        "2028-02"),
    (IN_LONDON,  "2026-02-28T23:59:30Z",      "2026-03-01T00:00:31Z",        2,        "2026-02"),
]  # fmt: skip


@pytest.mark.parametrize(("book", "dialed", "ended", "minutes", "month"), NIGHTS)
def test_neither_daylight_saving_nor_a_leap_day_changes_a_duration(
    book: Book, dialed: str, ended: str, minutes: int, month: str
) -> None:
    row = charge(call(dialed_at=dialed, ended_at=ended), book)
    assert (row.cost.billed, f"{row.terms.month:%Y-%m}") == (minutes, month)


MIDNIGHTS = [
    # account's zone       dialed, for 10 minutes         | month
    ("UTC",                "2026-01-31T23:59:59.999Z",      "2026-01"),
    ("UTC",                "2026-02-01T00:00:00.000Z",      "2026-02"),
    ("UTC",                "2026-02-01T00:00:00.001Z",      "2026-02"),
    ("UTC",                "2026-12-31T23:59:59.999Z",      "2026-12"),
    ("America/New_York",   "2026-02-01T04:59:59.999Z",      "2026-01"),
    ("America/New_York",   "2026-02-01T05:00:00.000Z",      "2026-02"),
    ("America/New_York",   "2026-02-01T05:00:00.001Z",      "2026-02"),
    ("America/New_York",   "2026-07-01T03:59:59.999Z",      "2026-06"),
    ("America/New_York",   "2026-07-01T04:00:00.000Z",      "2026-07"),
    ("Asia/Kolkata",       "2026-01-31T18:29:59.999Z",      "2026-01"),
    ("Asia/Kolkata",       "2026-01-31T18:30:00.000Z",      "2026-02"),
    # the zone is the account's, not the one that the event is written in
    ("UTC",                "2026-02-01T00:30:00+05:30",     "2026-01"),
    ("Asia/Kolkata",       "2026-01-31T19:00:00-00:00",     "2026-02"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "dialed", "month"), MIDNIGHTS)
def test_a_call_across_midnight_belongs_to_the_month_of_its_dialing(
    name: str, dialed: str, month: str
) -> None:
    book = make_book(price("calls", "0.01"), zone=name)
    row = charge(call(600, at=dialed), book)
    assert (f"{row.terms.month:%Y-%m}", shown(row)) == (month, (10, "minute", "0.1"))
    refused = charge(call(dialed_at=None, ended_at=dialed, status="failed"), book)
    assert f"{refused.terms.month:%Y-%m}" == month


CHANGED = '[[tariff]]\nname = "t"\nvalid_from = 2026-01-16T00:00:00Z\n' + price("calls", "0.02")
TWO_VERSIONS = make_book(price("calls", "0.01"), versions=CHANGED)
TWO_PRICES = make_book(
    price("calls", "0.01", more="valid_until = 2026-01-16T00:00:00Z")
    + price("calls", "0.02", more="valid_from = 2026-01-16T00:00:00Z")
)

CHANGES = [
    # dialed, for 10 minutes              | charge  version
    ("2026-01-15T23:59:59.999999Z",         "0.1",  "2025-01-01T00:00:00Z"),
    ("2026-01-16T00:00:00Z",                "0.2",  "2026-01-16T00:00:00Z"),
    ("2026-01-15T19:00:00-05:00",           "0.2",  "2026-01-16T00:00:00Z"),
    ("2026-01-15T23:55:00Z",                "0.1",  "2025-01-01T00:00:00Z"),  # across the change
    ("2025-01-01T00:00:00Z",                "0.1",  "2025-01-01T00:00:00Z"),
    ("2030-01-01T00:00:00Z",                "0.2",  "2026-01-16T00:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(("dialed", "charged", "version"), CHANGES)
def test_a_call_takes_the_price_at_dialing_to_the_microsecond(
    dialed: str, charged: str, version: str
) -> None:
    row = charge(call(600, at=dialed), TWO_VERSIONS)
    assert (format_nanos(row.cost.charge), row.terms.tariff_version) == (charged, version)
    assert format_nanos(charge(call(600, at=dialed), TWO_PRICES).cost.charge) == charged


# ------------------------------------------------------------------ texts

TEXTS = [
    # text                                            | billed  unit       price     carrier fee
    (text(),                                            (1,     "segment", "0.0079"), "0.004"),
    (text(segments=3),                                  (3,     "segment", "0.0237"), "0.012"),
    (text(body="a" * 161),                              (2,     "segment", "0.0158"), "0.008"),
    (text(body="ж" * 71),                               (2,     "segment", "0.0158"), "0.008"),
    (text(body="a" * 161, segments=1),                  (1,     "segment", "0.0079"), "0.004"),
    (text(direction="inbound", status="received"),      (1,     "segment", "0.0079"), "0.004"),
    (text(media="mms"),                                 (1,     "text",    "0.02"),   "0.01"),
    (text(media="mms", segments=3),                     (1,     "text",    "0.02"),   "0.01"),
    (text(media="mms", body="a" * 500),                 (1,     "text",    "0.02"),   "0.01"),
    # the sample's policy: a failed text costs nothing, its carrier fee does
    (text(status="failed"),                             (0,     "segment", "0"),      "0.004"),
    (text(status="failed", media="mms"),                (0,     "text",    "0"),      "0.01"),
    (text(status="undelivered"),                        (1,     "segment", "0.0079"), "0.004"),
    (text(status="delivered"),                          (1,     "segment", "0.0079"), "0.004"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected", "fee"), TEXTS)
def test_a_text_costs_its_price_and_a_carrier_fee_beside_it(
    event: dict[str, Any], expected: tuple[int, str, str], fee: str
) -> None:
    price_row, fee_row = charges(event)
    assert (price_row.terms.line, shown(price_row)) == ("texts", expected)
    assert (fee_row.terms.line, format_nanos(fee_row.cost.charge)) == ("carrier_fees", fee)
    assert price_row.cost.segments == fee_row.cost.segments
    assert (price_row.identity, price_row.revision) == (fee_row.identity, fee_row.revision)


POLICIES = [
    # free statuses                        status         | text      fee
    ("",                                   "failed",        "0.01",   "0.003"),
    ('free = ["failed"]',                  "failed",        "0",      "0"),
    ('free = ["failed"]',                  "undelivered",   "0.01",   "0.003"),
    ('free = ["failed", "undelivered"]',   "undelivered",   "0",      "0"),
    ('free = ["failed", "undelivered"]',   "delivered",     "0.01",   "0.003"),
]  # fmt: skip


@pytest.mark.parametrize(("free", "status", "charged", "fee"), POLICIES)
def test_a_failed_text_is_charged_by_the_tariff_s_policy(
    free: str, status: str, charged: str, fee: str
) -> None:
    prices = price("texts", "0.01", "text", free) + price("carrier_fees", "0.003", "text", free)
    rows = charges(text(status=status), make_book(prices))
    assert [format_nanos(row.cost.charge) for row in rows] == [charged, fee]


# Published by the carriers; docs/rules.md, Texts.
BEFORE, SINCE = "2026-01-15T23:59:59.999999Z", "2026-01-16T00:00:00Z"

FEES = [
    # carrier       media  registered  sender      direction   sent    | unit       fee
    ("AT&T",        "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.003"),
    ("AT&T",        "sms", True,       "10dlc",    "inbound",  SINCE,    "segment", "0.003"),
    ("T-Mobile",    "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.003"),
    ("T-Mobile",    "sms", True,       "10dlc",    "inbound",  SINCE,    "segment", "0.003"),
    ("Verizon",     "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.004"),
    ("Verizon",     "sms", True,       "10dlc",    "inbound",  SINCE,    "segment", "0"),
    ("US Cellular", "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.005"),
    ("US Cellular", "sms", True,       "10dlc",    "inbound",  SINCE,    "segment", "0"),
    ("AT&T",        "mms", True,       "10dlc",    "outbound", SINCE,    "message", "0.0075"),
    ("AT&T",        "mms", True,       "10dlc",    "inbound",  SINCE,    "message", "0.0075"),
    ("T-Mobile",    "mms", True,       "10dlc",    "outbound", SINCE,    "message", "0.01"),
    ("T-Mobile",    "mms", True,       "10dlc",    "inbound",  SINCE,    "message", "0.01"),
    ("Verizon",     "mms", True,       "10dlc",    "outbound", SINCE,    "message", "0.0065"),
    ("Verizon",     "mms", True,       "10dlc",    "inbound",  SINCE,    "message", "0"),
    ("US Cellular", "mms", True,       "10dlc",    "outbound", SINCE,    "message", "0.01"),
    ("US Cellular", "mms", True,       "10dlc",    "inbound",  SINCE,    "message", "0"),
    # unregistered
    ("T-Mobile",    "sms", False,      "10dlc",    "outbound", SINCE,    "segment", "0.008"),
    ("T-Mobile",    "mms", False,      "10dlc",    "outbound", SINCE,    "message", "0.013"),
    ("AT&T",        "sms", False,      "10dlc",    "outbound", SINCE,    "segment", "0.004"),
    # T-Mobile's toll-free fee moved in the middle of a month
    ("T-Mobile",    "sms", True,       "tollfree", "outbound", BEFORE,   "segment", "0.003"),
    ("T-Mobile",    "sms", True,       "tollfree", "outbound", SINCE,    "segment", "0.0045"),
    ("T-Mobile",    "sms", True,       "tollfree", "inbound",  BEFORE,   "segment", "0.003"),
    ("T-Mobile",    "sms", True,       "tollfree", "inbound",  SINCE,    "segment", "0.0045"),
    ("T-Mobile",    "sms", True,       "10dlc",    "outbound", BEFORE,   "segment", "0.003"),
    # a carrier is one however it is spelled
    ("att",         "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.003"),
    ("TMOBILE",     "sms", False,      "10dlc",    "outbound", SINCE,    "segment", "0.008"),
    ("us-cellular", "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.005"),
    # the fallback rows (samples)
    ("Dish",        "sms", True,       "10dlc",    "outbound", SINCE,    "segment", "0.004"),
    ("Dish",        "mms", False,      "10dlc",    "inbound",  SINCE,    "message", "0.01"),
    ("Verizon",     "sms", False,      "10dlc",    "inbound",  SINCE,    "segment", "0.004"),
    ("AT&T",        "mms", False,      "10dlc",    "outbound", SINCE,    "message", "0.01"),
    (None,          "sms", True,       None,       "outbound", SINCE,    "segment", "0.004"),
    ("",            "mms", True,       None,       "outbound", SINCE,    "message", "0.01"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("carrier", "media", "registered", "sender", "direction", "sent", "unit", "fee"), FEES
)
def test_a_carrier_s_fee_is_the_published_one(
    carrier: str | None,
    media: str,
    registered: bool,
    sender: str | None,
    direction: str,
    sent: str,
    unit: str,
    fee: str,
) -> None:
    facts = {"carrier": carrier, "media": media, "registered": registered, "sender": sender}
    event = text(direction=direction, sent_at=sent, segments=3, **facts)
    row = charge(event, line="carrier_fees")
    units = {"segment": 3, "message": 1}[unit]  # SMS by the segment, MMS by the message
    assert (row.cost.billed, row.terms.unit, format_nanos(row.terms.unit_price)) == (
        units,
        unit,
        fee,
    )
    assert row.cost.charge == row.terms.unit_price * units
    assert row.terms.registered == ("true" if registered else "false")


def test_a_status_update_of_a_text_has_the_same_rows() -> None:
    sent, delivered = charges(text(status="sent")), charges(text(status="delivered"))
    assert [row.changed(event_status="") for row in sent] == [
        row.changed(event_status="") for row in delivered
    ]


# ------------------------------------------------------------------ A.I. voice detection

DETECTIONS = [
    # verdict     answered at              | billed  charge
    ("human",     "2026-02-10T12:00:05Z",    1,      "0.01"),
    ("machine",   "2026-02-10T12:00:05Z",    1,      "0.01"),
    ("fax",       "2026-02-10T12:00:05Z",    1,      "0.01"),
    ("unknown",   "2026-02-10T12:00:05Z",    1,      "0.01"),
    ("human",     "2026-02-10T12:00:00Z",    1,      "0.01"),
    ("human",     None,                      0,      "0"),
    ("machine",   None,                      0,      "0"),
    ("unknown",   ABSENT,                    0,      "0"),
]  # fmt: skip


@pytest.mark.parametrize(("verdict", "answered_at", "billed", "charged"), DETECTIONS)
def test_a_detection_is_charged_if_the_call_was_answered_whatever_the_verdict(
    verdict: str, answered_at: Any, billed: int, charged: str
) -> None:
    row = charge(amd(verdict=verdict, answered_at=answered_at))
    assert shown(row) == (billed, "call", charged)
    assert (row.identity, row.call_id, row.event_id) == ("c1", "c1", "a1")
    assert row.cost.rule.endswith("; not answered: $0") == (billed == 0)


def test_repeated_detections_of_one_call_are_one_row() -> None:
    events = [amd(id="a1"), amd(id="a2", answered_at="2026-02-10T12:00:05Z"), amd(id="a3")]
    keys = {(row.account_id, row.terms.month, row.terms.line, row.identity, row.revision)
            for row in map(charge, events)}  # fmt: skip
    assert len(keys) == 1


# ------------------------------------------------------------------ what must wait

ONLY_CALLS = make_book(price("calls", "0.01", more="prefix = '+1'"))
NO_FEE = make_book(price("texts", "0.01", "text"))
ENDED = make_book(
    price("calls", "0.01"),
    versions='[[tariff]]\nname = "t"\nvalid_from = 2026-02-01T00:00:00Z\n'
    "valid_until = 2026-03-01T00:00:00Z\n" + price("calls", "0.02"),
)
GONE = Book("USD", {}, {"default": History((), (Account("gone", zone("UTC"), Address()),))}, None)

WAITING = [
    # event                                    book         | reason              the message names
    (call(revision=1),                         SAMPLE,        Wait.CORRECTION,    "revision 1"),
    (text(revision=7),                         SAMPLE,        Wait.CORRECTION,    "revision 7"),
    (number(revision=1),                       SAMPLE,        Wait.CORRECTION,    "revision 1"),
    (call(),                                   GONE,          Wait.NO_TARIFF,     "'gone'"),
    (call(at="2011-12-31T23:59:59.999999Z"),   SAMPLE,        Wait.NO_VERSION,    "'standard'"),
    (text(sent_at="2011-12-31T23:59:59Z"),     SAMPLE,        Wait.NO_VERSION,    "'standard'"),
    (call(at="2026-03-01T00:00:00Z"),          ENDED,         Wait.NO_VERSION,    "'t'"),
    (call(at="2026-02-28T23:59:59.999999Z"),   ENDED,         None,               ""),
    (call(to=LONDON),                          ONLY_CALLS,    Wait.NO_PRICE,      "+4420"),
    (call(to="client:ann"),                    ONLY_CALLS,    Wait.NO_PRICE,      "calls outbound"),
    (call(media="video"),                      ONLY_CALLS,    Wait.NO_PRICE,      "video_calls"),
    (dial(),                                   ONLY_CALLS,    Wait.NO_PRICE,      "campaign_calls"),
    (amd(),                                    ONLY_CALLS,    Wait.NO_PRICE,      "ai_voice"),
    (text(),                                   ONLY_CALLS,    Wait.NO_PRICE,      "texts"),
    # the text has a price and its carrier fee has none: no half of it is rated
    (text(),                                   NO_FEE,        Wait.NO_PRICE,      "carrier_fees"),
    (call(dialed_at=None, to=LONDON),          ONLY_CALLS,    Wait.NO_PRICE,      "calls outbound"),
    (call(),                                   ONLY_CALLS,    None,               ""),
]  # fmt: skip


@pytest.mark.parametrize(("event", "book", "reason", "names"), WAITING)
def test_a_price_that_is_missing_is_not_zero(
    event: dict[str, Any], book: Book, reason: Wait | None, names: str
) -> None:
    result = rate(decoded(event), book)
    if reason is None:
        assert isinstance(result, list)
        assert all(row.cost.charge > 0 for row in result)
    else:
        assert isinstance(result, Parked)
        assert (result.reason, names in result.message) == (reason, True), result.message


def test_waits_are_on_the_wire_and_keep_their_names() -> None:
    assert [wait.value for wait in Wait] == ["correction", "no_tariff", "no_version", "no_price"]


def test_a_message_holds_a_prefix_and_never_a_whole_number() -> None:
    for event in (
        call(to=LONDON),
        call(to="sip:ann@example.com"),
        call(from_=LOS_ANGELES, to="911"),
    ):
        result = rate(decoded(event), ONLY_CALLS)
        assert isinstance(result, Parked)
        assert event["to"] not in result.message
        assert event["from"] not in result.message


def test_it_is_rated_when_the_price_arrives() -> None:
    event = decoded(call(61, to=LONDON))
    assert isinstance(rate(event, ONLY_CALLS), Parked)
    later = make_book(price("calls", "0.01", more="prefix = '+44'"))
    (row,) = charges(call(61, to=LONDON), later)
    assert shown(row) == (2, "minute", "0.02")


# ------------------------------------------------------------------ what a row keeps


def test_a_row_keeps_all_that_a_dispute_needs() -> None:
    event = dial(
        61.5, answered_at="2026-02-10T12:00:05Z", group_id="g", device="cell", account_id="acme"
    )
    row = charge(event)
    assert (row.cost.raw_seconds, row.cost.billed_seconds, row.cost.billed, row.terms.unit) == (
        61,
        120,
        2,
        "minute",
    )
    assert (row.occurred_us, row.answered_us, row.ended_us) == (
        us("2026-02-10T12:00:00Z"),
        us("2026-02-10T12:00:05Z"),
        us("2026-02-10T12:01:01.5Z"),
    )
    assert (row.from_, row.to, row.group_id, row.campaign_id) == (
        MANHATTAN,
        LOS_ANGELES,
        "g",
        "spring",
    )
    assert (row.terms.unit_price, row.terms.per, row.terms.connection_fee, row.cost.charge) == (
        13_000_000,
        1,
        0,
        26_000_000,
    )
    assert (row.terms.tariff, row.terms.tariff_version) == ("standard", "2012-01-01T00:00:00Z")
    assert row.cost.rule == "campaign_calls outbound +1*: 0.013 per minute, 60/60 s from dial"
    assert (row.terms.currency, row.terms.status, row.terms.event_status, row.terms.device) == (
        "USD",
        "rated",
        "completed",
        "cell",
    )


def test_a_tariff_of_another_shape_needs_no_other_code() -> None:
    shapes: list[tuple[Price, str]] = [
        (a_price(rate="0.006", unit="second", per=60, first=30, following=6), "0.0066"),
        (a_price(rate="0.006", unit="second", per=60, first=6, following=6), "0.0066"),
        (a_price(rate="0.006", unit="second", per=60, first=1, following=1), "0.0061"),
        (a_price(rate="0.006", start="answer"), "0.006"),
    ]
    event = decoded(call(61, answered_at="2026-02-10T12:00:05Z"))
    for shape, expected in shapes:
        tariff = Tariff("t", [Version("v", 0, us("2030-01-01T00:00:00Z"), [shape])])
        always = History((), (Account("t", zone("UTC"), Address()),))
        book = Book("USD", {"t": tariff}, {"default": always}, None)
        result = rate(event, book)
        assert isinstance(result, list)
        assert format_nanos(result[0].cost.charge) == expected


def test_from_answer_a_call_that_nobody_took_is_free_whatever_others_of_its_shape_cost() -> None:
    book = make_book(price("calls", "0.006", more='start = "answer"'))
    for _ in range(2):
        taken, missed = charge(call(answered_at="2026-02-10T12:00:05Z"), book), charge(call(), book)
        assert (format_nanos(taken.cost.charge), missed.cost.charge) == ("0.006", 0)
        assert missed.cost.rule.endswith("; not answered: $0")


# ------------------------------------------------------------------ days, and accounts that change

DAY = "2026-10-01"
TAXED_BY_DAY = (
    f"federal,US,,,USF,calls|video_calls,0.1,1,2025-01-01,{DAY}\n"
    f"federal,US,,,USF,calls|video_calls,0.2,1,{DAY},\n"
)
DAY_BEGINS = [
    # account's zone        the day begins
    ("UTC",                 "2026-10-01T00:00:00Z"),
    ("America/New_York",    "2026-10-01T04:00:00Z"),
    ("Asia/Tokyo",          "2026-09-30T15:00:00Z"),
    ("Pacific/Kiritimati",  "2026-09-30T10:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize("media", ["voice", "video"])
@pytest.mark.parametrize(("name", "midnight"), DAY_BEGINS)
def test_a_day_begins_at_midnight_in_the_accounts_zone(
    name: str, midnight: str, media: str
) -> None:
    prices = price("calls", "0.01", more=f"valid_until = {DAY}")
    prices += price("calls", "0.02", more=f"valid_from = {DAY}") + price("video_calls", "0.01")
    version = f'[[tariff]]\nname = "t"\nvalid_from = {DAY}\n' + price("video_calls", "0.02")
    book = make_book(
        prices, zone=name, taxes=TAXED_BY_DAY, versions=version if media == "video" else ""
    )
    begins = datetime.fromisoformat(midnight)
    charged = []
    for around in (-1, 0):
        at = (begins + timedelta(microseconds=around)).isoformat()
        row = charge(call(at=at, media=media), book)
        charged.append((format_nanos(row.cost.charge), format_nanos(row.cost.tax_federal)))
    assert charged == [("0.01", "0.001"), ("0.02", "0.004")]


def test_a_call_of_30_september_20_00_in_new_york_has_septembers_factor() -> None:
    """In the sample it is 0.36 until the day of 1 October: by UTC that call was in October."""
    for local, factor in (("2026-09-30T20:00", "0.36 "), ("2026-10-01T00:00", "0.371 ")):
        at = f"{local}:00-04:00"
        rule = charge(call(account_id="acme", at=at), SAMPLE).cost.tax_rule
        assert f"USF (SAMPLE) {factor}" in rule


CHANGING = make_book(
    price("calls", "0.01"),
    versions='[[tariff]]\nname = "u"\nvalid_from = 2025-01-01T00:00:00Z\n' + price("calls", "0.05"),
    accounts='[[accounts.acme]]\nzone = "America/New_York"\n'
    '[[accounts.acme]]\nvalid_from = 2026-11-10\ntariff = "u"\n'
    '[[accounts.acme]]\nvalid_from = 2026-12-01T04:00:00Z\nzone = "UTC"\n',
)
ACCOUNT_TIMES = [
    # dialed                      | tariff charge  zone                month
    ("2026-11-01T03:59:59Z",        "t",   "0.01", "America/New_York", "2026-10"),
    ("2026-11-10T04:59:59.999999Z", "t",   "0.01", "America/New_York", "2026-11"),
    ("2026-11-10T05:00:00Z",        "u",   "0.05", "America/New_York", "2026-11"),
    # the zone of the instant tells the month: New York's until 04:00, an hour before its midnight
    ("2026-12-01T03:59:59Z",        "u",   "0.05", "America/New_York", "2026-11"),
    ("2026-12-01T04:00:00Z",        "u",   "0.05", "UTC",              "2026-12"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "tariff", "charged", "name", "month"), ACCOUNT_TIMES)
def test_the_events_time_picks_the_accounts_plan_and_zone(
    at: str, tariff: str, charged: str, name: str, month: str
) -> None:
    row = charge(call(account_id="acme", at=at), CHANGING)
    assert (row.terms.tariff, format_nanos(row.cost.charge)) == (tariff, charged)
    assert (row.terms.zone, f"{row.terms.month:%Y-%m}") == (name, month)
