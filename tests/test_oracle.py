"""The oracle against sums made by hand from the rules. Nothing of the product runs here."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import (
    Book,
    Identity,
    Ledger,
    Row,
    form_of,
    half_even,
    load_book,
    plain,
    rate_lines,
    segments_of_body,
    state_of,
)

SAMPLE = load_book(Path(__file__).parent.parent / "schemas" / "tariff" / "sample.toml")
NEW_YORK, MANHATTAN, LOS_ANGELES = "+16465550111", "+12125550100", "+13105550100"
HOUSTON, DALLAS, TOLL_FREE, LONDON = "+17135550100", "+12145550100", "+18005550100", "+442079460000"

MakeBook = Callable[..., Book]


@pytest.fixture
def make_book(tmp_path: Path) -> MakeBook:
    """A book of one tariff with the prices given, written and read as files."""

    def make(prices: str, *, accounts: str = "", versions: str = "", taxes: str = "") -> Book:
        head = (
            "level,country,state,locality,authority,lines,rate,taxed_share,valid_from,valid_until"
        )
        (tmp_path / "tax.csv").write_text(head + "\n" + taxes)
        (tmp_path / "book.toml").write_text(
            'currency = "USD"\ntax_table = "tax.csv"\n'
            '[accounts.default]\ntariff = "t"\n'
            'service_address = { country = "US", state = "NY", locality = "New York City" }\n'
            f"{accounts}\n"
            '[[tariff]]\nname = "t"\nvalid_from = 2025-01-01T00:00:00Z\n'
            f"{prices}\n{versions}"
        )
        return load_book(tmp_path / "book.toml")

    return make


def price(line: str, rate: str, unit: str = "minute", more: str = "") -> str:
    return f'[[tariff.price]]\nline = "{line}"\nunit = "{unit}"\nrate = {rate}\n{more}\n'


def call(
    seconds: float = 60,
    *,
    at: str = "2026-02-10T12:00:00Z",
    origin: str = MANHATTAN,
    **more: Any,
) -> dict[str, Any]:
    """A call of so many seconds from its dialing."""
    ended = (datetime.fromisoformat(at) + timedelta(seconds=seconds)).isoformat()
    return {
        "kind": "call", "id": "c1", "account_id": "acme", "direction": "outbound",
        "from": origin, "to": LOS_ANGELES, "dialed_at": at, "ended_at": ended,
        "status": "completed", **more,
    }  # fmt: skip


def text(*, origin: str = MANHATTAN, **more: Any) -> dict[str, Any]:
    return {
        "kind": "text", "id": "t1", "account_id": "acme", "direction": "outbound", "media": "sms",
        "from": origin, "to": LOS_ANGELES, "sent_at": "2026-02-10T12:00:00Z", "status": "sent",
        "registered": True, **more,
    }  # fmt: skip


def amd(**more: Any) -> dict[str, Any]:
    return {
        "kind": "amd", "id": "a1", "account_id": "acme", "call_id": "c1",
        "dialed_at": "2026-02-10T12:00:00Z", "verdict": "human", **more,
    }  # fmt: skip


def number(**more: Any) -> dict[str, Any]:
    return {
        "kind": "number", "id": "n1", "account_id": "acme", "number": MANHATTAN,
        "number_type": "local", "acquired_at": "2026-01-11T00:00:00Z", **more,
    }  # fmt: skip


def recording(**more: Any) -> dict[str, Any]:
    return {
        "kind": "recording", "id": "r1", "account_id": "acme", "recording_id": "R",
        "stored_at": "2026-02-10T12:00:00Z", "duration_s": 50, **more,
    }  # fmt: skip


def subscription(**more: Any) -> dict[str, Any]:
    return {
        "kind": "subscription", "id": "s1", "account_id": "acme", "subscription_id": "S",
        "product": "power-dialer", "started_at": "2026-01-01T12:00:00Z", **more,
    }  # fmt: skip


def only(ledger: Ledger, line: str) -> Row:
    (row,) = (row for row in ledger.rows.values() if row.line == line)
    return row


def shown(ledger: Ledger, month: str, line: str, direction: str | None = None) -> dict[str, Any]:
    (found,) = (
        entry
        for entry in ledger.statement("acme", month)["lines"]
        if entry["line"] == line and entry.get("direction") == direction
    )
    assert isinstance(found, dict)
    return found


# ------------------------------------------------------------------ money

ROUNDING = [
    # exact                    places | rounded
    (Fraction(1, 3),                9, "0.333333333"),
    (Fraction(2, 3),                9, "0.666666667"),
    (Fraction("0.0000000005"),      9, "0"),
    (Fraction("0.0000000015"),      9, "0.000000002"),
    (Fraction("0.00000000050001"),  9, "0.000000001"),
    (Fraction("0.125"),             2, "0.12"),
    (Fraction("0.135"),             2, "0.14"),
    (Fraction("-0.125"),            2, "-0.12"),
    (Fraction(1200),                9, "1200"),
]  # fmt: skip


@pytest.mark.parametrize(("exact", "places", "rounded"), ROUNDING)
def test_a_division_is_rounded_once_half_even(exact: Fraction, places: int, rounded: str) -> None:
    assert plain(half_even(exact, places)) == rounded


# ------------------------------------------------------------------ billable time

SHAPES = [
    # seconds | rate       unit      the rest of the price                 | billed  charge
    (0,         "0.0085", "minute", "",                                         60, "0.0085"),
    (59.999,    "0.0085", "minute", "",                                         60, "0.0085"),
    (60,        "0.0085", "minute", "",                                         60, "0.0085"),
    (60.9,      "0.0085", "minute", "",                                         60, "0.0085"),
    (60.9,      "0.0085", "minute", 'fraction = "up"',                         120, "0.017"),
    (60,        "0.0085", "minute", 'fraction = "up"',                          60, "0.0085"),
    (61,        "0.0085", "minute", "",                                        120, "0.017"),
    (120,       "0.0085", "minute", "",                                        120, "0.017"),
    (121,       "0.0085", "minute", "",                                        180, "0.0255"),
    (61,        "0.0085", "second", "per = 60",                                120, "0.017"),
    (32,        "0.006",  "second", "per = 60\nfirst = 30\nfollowing = 6",      36, "0.0036"),
    (10,        "0.0001", "second", "first = 30\nfollowing = 6",                30, "0.003"),
    (31,        "0.0001", "second", "first = 30\nfollowing = 6",                36, "0.0036"),
    (7,         "0.0001", "second", "first = 6\nfollowing = 6",                 12, "0.0012"),
    (7,         "0.0001", "second", "first = 1\nfollowing = 1",                  7, "0.0007"),
    (0,         "0.0001", "second", "first = 1\nfollowing = 1",                  1, "0.0001"),
    (5,         "0.0001", "second", "first = 1\nfollowing = 1\nminimum = 90",   90, "0.009"),
    (7,         "0.01",   "minute", "first = 1\nfollowing = 1",                  7, "0.001166667"),
    (61,        "0.01",   "minute", "connection_fee = 0.05",                   120, "0.07"),
    (61,        "9",      "minute", "per = 1000",                              120, "0.018"),
    (60,        "0.0000000005", "minute", "",                                   60, "0"),
    (60,        "0.0000000015", "minute", "",                                   60, "0.000000002"),
    (86400,     "0.01",   "minute", "",                                      86400, "14.4"),
    # answered 5 s after dialing: 60 s from the answer
    (65,        "0.01",   "minute", 'start = "answer"',                         60, "0.01"),
    (66,        "0.01",   "minute", 'start = "answer"',                        120, "0.02"),
    (66, "0.0001", "second", 'start = "answer"\nfirst = 1\nfollowing = 1',      61, "0.0061"),
    # a status that costs nothing, and one that is not named
    (61, "0.01",   "minute", 'connection_fee = 0.05\nfree = ["completed"]',      0, "0"),
    (61,        "0.01",   "minute", 'free = ["busy"]',                         120, "0.02"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "rate", "unit", "more", "billed", "charge"), SHAPES)
def test_a_call_costs_fee_and_increments(
    make_book: MakeBook, seconds: float, rate: str, unit: str, more: str, billed: int, charge: str
) -> None:
    book = make_book(price("calls", rate, unit, more))
    row = only(rate_lines([call(seconds, answered_at="2026-02-10T12:00:05Z")], book), "calls")
    units = Fraction(billed, 60 if unit == "minute" else 1)
    expected = (billed, unit, half_even(units), charge)
    assert (row.billed_seconds, row.unit, row.billed, plain(row.charge)) == expected


def test_a_dial_that_nobody_answers_is_billed_from_dial_and_free_from_answer(
    make_book: MakeBook,
) -> None:
    rang = call(20, status="no-answer")
    from_dial = make_book(price("calls", "0.01", more="connection_fee = 0.05"))
    assert only(rate_lines([rang], from_dial), "calls").charge == Decimal("0.06")
    more = 'connection_fee = 0.05\nstart = "answer"'
    row = only(rate_lines([rang], make_book(price("calls", "0.01", more=more))), "calls")
    assert (plain(row.billed), row.billed_seconds, plain(row.charge)) == ("0", 0, "0")


def test_what_was_refused_before_dialing_is_a_row_of_nothing_in_the_month_it_ended() -> None:
    refused = call(at="2026-01-31T23:00:00Z", seconds=7200, status="failed", dialed_at=None)
    ledger = rate_lines([refused], SAMPLE)
    identity = Identity("acme", "2026-01", "calls", "c1", 0)  # 20:00 on the 31st in New York
    assert list(ledger.rows) == [identity]
    row = ledger.rows[identity]
    assert (row.unit, row.billed_seconds) == ("minute", 0)
    assert [plain(value) for value in (row.billed, row.charge, row.tax)] == ["0", "0", "0"]


def test_daylight_saving_changes_no_duration() -> None:
    # 01:59:30 to 03:00:31 on New York's clocks; 61 seconds
    spring = call(dialed_at="2026-03-08T01:59:30-05:00", ended_at="2026-03-08T03:00:31-04:00")
    assert only(rate_lines([spring], SAMPLE), "calls").billed == 2


# ------------------------------------------------------------------ which price

FORMS = [
    ("+12125550100",   "geographic"),
    ("+447700900123",  "geographic"),
    ("+18005550100",   "tollfree"),
    ("+18225550100",   "geographic"),  # +1 822 is reserved, not toll-free
    ("+448001111111",  "tollfree"),
    ("911",            "shortcode"),
    ("87121",          "shortcode"),
    ("12345678",       "shortcode"),
    ("123456789",      None),
    ("12",             None),
    ("client:alice",   "client"),
    ("sip:a@example.com", "sip"),
    ("anonymous",      "anonymous"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "form"), FORMS)
def test_a_number_has_a_form(given: str, form: str | None) -> None:
    assert form_of(given) == form


DESTINATIONS = [
    # kind   direction    from          to                  | price of one minute
    ("call", "inbound",  NEW_YORK,     MANHATTAN,             "0.0085"),
    ("call", "inbound",  NEW_YORK,     TOLL_FREE,             "0.022"),
    ("call", "inbound",  "anonymous",  MANHATTAN,             "0.01"),
    ("call", "inbound",  "anonymous",  TOLL_FREE,             "0.024"),
    ("call", "outbound", MANHATTAN,    LOS_ANGELES,           "0.013"),
    ("call", "outbound", MANHATTAN,    "+14165550100",        "0.014"),  # Canada
    ("call", "outbound", MANHATTAN,    "+12425550100",        "0.25"),   # Bahamas
    ("call", "outbound", MANHATTAN,    LONDON,                "0.015"),
    ("call", "outbound", MANHATTAN,    "+447700900123",       "0.042"),
    ("call", "outbound", MANHATTAN,    "+88212345678",        "0.95"),   # no prefix names it
    ("call", "outbound", MANHATTAN,    TOLL_FREE,             "0.005"),  # a form before +1
    ("call", "outbound", MANHATTAN,    "+448001111111",       "0.005"),
    ("call", "outbound", MANHATTAN,    "client:alice",        "0.004"),
    ("call", "outbound", MANHATTAN,    "sip:a@example.com",   "0.004"),
    ("call", "outbound", MANHATTAN,    "933",                 "0"),      # 933 is no prefix +93
    ("call", "outbound", MANHATTAN,    "911",                 "0"),
    ("call", "outbound", MANHATTAN,    "411",                 "1.99"),
    ("call", "outbound", MANHATTAN,    "1002",                "0.004"),  # an extension
    ("call", "outbound", MANHATTAN,    "+19005550100",        "1.99"),
    ("dial", "outbound", MANHATTAN,    LOS_ANGELES,           "0.013"),
    ("dial", "outbound", MANHATTAN,    TOLL_FREE,             "0.005"),
    ("dial", "outbound", MANHATTAN,    "1002",                "0.004"),
    ("dial", "outbound", MANHATTAN,    "+88212345678",        "0.01"),
    ("dial", "inbound",  NEW_YORK,     MANHATTAN,             "0.01"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "direction", "origin", "to", "charge"), DESTINATIONS)
def test_form_then_longest_prefix_picks_the_rate(
    kind: str, direction: str, origin: str, to: str, charge: str
) -> None:
    event = call(kind=kind, direction=direction, to=to, origin=origin)
    (row,) = rate_lines([event], SAMPLE).rows.values()
    assert row.line == {"call": "calls", "dial": "campaign_calls"}[kind]
    assert plain(row.charge) == charge


def test_a_video_call_has_its_own_line() -> None:
    row = only(rate_lines([call(61, media="video")], SAMPLE), "video_calls")
    assert (plain(row.billed), plain(row.charge)) == ("2", "0.03")


def test_more_keys_matched_go_before_fewer_and_the_first_before_the_second(
    make_book: MakeBook,
) -> None:
    prices = [
        price("calls", "0.01"),
        price("calls", "0.02", more='match = { device = "cell" }'),
        price("calls", "0.03", more='match = { direction = "outbound" }'),
        price("calls", "0.04", more='match = { direction = "outbound", device = "cell" }'),
        price("calls", "0.05", more='prefix = "+1213"'),
    ]
    book = make_book("".join(prices))
    rates = [
        # event                                            | charge
        (call(direction="inbound"),                          "0.01"),
        (call(direction="inbound", device="cell"),           "0.02"),
        (call(direction="outbound", device="web"),           "0.03"),
        (call(direction="outbound", device="cell"),          "0.04"),
        (call(device="cell", to="+12135550100"),             "0.05"),
    ]  # fmt: skip
    for event, charge in rates:
        assert plain(only(rate_lines([event], book), "calls").charge) == charge, event
    twice = make_book(price("calls", "0.01") + price("calls", "0.02"))
    assert plain(only(rate_lines([call()], twice), "calls").charge) == "0.01"


def test_a_csv_line_is_a_price_with_a_fee_of_its_own(make_book: MakeBook, tmp_path: Path) -> None:
    rows = 'prefix,rate,connection_fee,description\n+1,0.01,,US\n+44,0.02,0.5,"UK, all"\n'
    (tmp_path / "p.csv").write_text(rows)
    book = make_book(price("calls", "1", more='prefixes = "p.csv"\nconnection_fee = 0.1'))
    assert only(rate_lines([call()], book), "calls").charge == Decimal("0.11")
    assert only(rate_lines([call(to=LONDON)], book), "calls").charge == Decimal("0.52")
    assert rate_lines([call(to="+33123456789")], book).parked[0].reason == "no price"


VERSION_TIMES = [
    # dialed at                        | charge
    ("2024-12-31T23:59:59Z",             None),
    ("2025-01-01T00:00:00Z",             "0.01"),
    ("2025-05-31T23:59:59.999999Z",      "0.01"),
    ("2025-06-01T00:00:00Z",             "0.02"),
    ("2025-05-31T20:00:00-04:00",        "0.02"),
    ("2025-06-30T23:59:59Z",             "0.02"),
    ("2025-07-01T00:00:00Z",             None),
]  # fmt: skip


@pytest.mark.parametrize(("at", "charge"), VERSION_TIMES)
def test_the_events_own_time_picks_the_version(
    make_book: MakeBook, at: str, charge: str | None
) -> None:
    later = (
        '[[tariff]]\nname = "t"\nvalid_from = 2025-06-01T00:00:00Z\n'
        "valid_until = 2025-07-01T00:00:00Z\n"
    )
    book = make_book(price("calls", "0.01"), versions=later + price("calls", "0.02"))
    ledger = rate_lines([call(at=at)], book)
    assert [plain(row.charge) for row in ledger.rows.values()] == ([charge] if charge else [])
    assert len(ledger.parked) == (charge is None)


def test_a_call_across_a_price_change_takes_the_price_at_dialing(make_book: MakeBook) -> None:
    later = '[[tariff]]\nname = "t"\nvalid_from = 2025-06-01T00:00:00Z\n' + price("calls", "0.02")
    book = make_book(price("calls", "0.01", more='start = "answer"'), versions=later)
    across = call(70, at="2025-05-31T23:59:55Z", answered_at="2025-06-01T00:00:01Z")
    assert only(rate_lines([across], book), "calls").charge == Decimal("0.02")  # 64 s, 2 minutes


def test_a_missing_price_parks_the_whole_event(make_book: MakeBook) -> None:
    ledger = rate_lines([text(), text()], make_book(price("texts", "0.01", "text")))
    assert ledger.rows == {}
    assert ledger.parked == [("text", "acme", "t1", 0, "no price")]


def test_an_account_overrides_the_defaults_key_by_key(make_book: MakeBook) -> None:
    book = make_book(price("calls", "0.01"), accounts='[accounts.acme]\nzone = "Asia/Tokyo"')
    assert book.account("acme", datetime(2026, 2, 1, tzinfo=UTC)).zone == "Asia/Tokyo"
    assert book.account("acme", datetime(2026, 2, 1, tzinfo=UTC)).tariff == "t"
    assert book.account("acme", datetime(2026, 2, 1, tzinfo=UTC)).service_address["state"] == "NY"
    assert book.account("other", datetime(2026, 2, 1, tzinfo=UTC)).zone == "UTC"


MONTH_EDGES = [
    # account    dialed at                   | month
    ("acme",    "2026-02-01T04:59:59.999Z",    "2026-01"),
    ("acme",    "2026-02-01T05:00:00Z",        "2026-02"),
    ("acme",    "2026-07-01T03:59:59Z",        "2026-06"),
    ("acme",    "2026-07-01T04:00:00Z",        "2026-07"),
    ("other",   "2026-01-31T23:59:59Z",        "2026-01"),
    ("other",   "2026-02-01T00:00:00Z",        "2026-02"),
    ("other",   "2025-12-31T19:00:00-05:00",   "2026-01"),
]  # fmt: skip


@pytest.mark.parametrize(("account", "at", "month"), MONTH_EDGES)
def test_a_call_belongs_to_the_month_of_its_dialing_in_the_accounts_zone(
    account: str, at: str, month: str
) -> None:
    ledger = rate_lines([call(3600, at=at, account_id=account)], SAMPLE)
    assert [identity.month for identity in ledger.rows] == [month]


# ------------------------------------------------------------------ texts

SEGMENTS = [
    # body                      | segments
    ("",                          1),
    ("a" * 160,                   1),
    ("a" * 161,                   2),
    ("a" * 306,                   2),
    ("a" * 307,                   3),
    ("€" * 80,                    1),
    ("€" * 81,                    2),
    ("[" * 76 + "a",              1),
    ("a" * 152 + "€" + "a" * 152, 3),  # 152, then € never split with 151, then 1
    ("\f" * 80,                   1),
    ("\f" * 81,                   2),
    ("`" + "a" * 69,              1),  # the grave accent alone is outside GSM-7
    ("`" + "a" * 70,              2),
    ("é" * 160,                   1),
    ("Ç" * 160,                   1),
    ("ç" * 70,                    1),
    ("ç" * 71,                    2),
    ("я" * 134,                   2),
    ("я" * 135,                   3),
    ("😀" * 35,                   1),  # a pair of code units each
    ("😀" * 36,                   2),
    ("😀" * 66,                   2),  # 33 pairs in 67, the last unit stays empty
    ("😀" * 67,                   3),
]  # fmt: skip


@pytest.mark.parametrize(("body", "segments"), SEGMENTS)
def test_a_body_makes_segments(body: str, segments: int) -> None:
    assert segments_of_body(body) == segments


LONG = "a" * 161
TMOBILE_TOLL_FREE = {"carrier": "T-Mobile", "sender": "tollfree"}
TEXTS = [
    # the text                                                     | text     fee      fee's unit
    ({},                                                            "0.0079", "0.004",  "segment"),
    ({"carrier": "AT&T"},                                           "0.0079", "0.003",  "segment"),
    ({"carrier": "att", "body": LONG},                              "0.0158", "0.006",  "segment"),
    ({"carrier": "att", "body": LONG, "segments": 3},               "0.0237", "0.009",  "segment"),
    ({"carrier": "Verizon"},                                        "0.0079", "0.004",  "segment"),
    ({"carrier": "Verizon", "direction": "inbound"},                "0.0079", "0",      "segment"),
    ({"carrier": "tmobile", "registered": False},                   "0.0079", "0.008",  "segment"),
    ({"carrier": "Sprint", "registered": False},                    "0.0079", "0.004",  "segment"),
    ({"media": "mms", "body": LONG},                                "0.02",   "0.01",   "message"),
    ({"media": "mms", "carrier": "AT&T", "segments": 4},            "0.02",   "0.0075", "message"),
    ({"media": "mms", "carrier": "T-MOBILE", "registered": False},  "0.02",   "0.013",  "message"),
    ({"status": "failed"},                                          "0",      "0.004",  "segment"),
    ({"status": "undelivered"},                                     "0.0079", "0.004",  "segment"),
    ({**TMOBILE_TOLL_FREE, "sent_at": "2026-01-15T23:59:59.999Z"},  "0.0079", "0.003",  "segment"),
    ({**TMOBILE_TOLL_FREE, "sent_at": "2026-01-16T00:00:00Z"},      "0.0079", "0.0045", "segment"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "text_charge", "fee", "fee_unit"), TEXTS)
def test_a_text_gives_its_price_and_its_carrier_fee(
    more: dict[str, Any], text_charge: str, fee: str, fee_unit: str
) -> None:
    ledger = rate_lines([text(**more)], SAMPLE)
    assert len(ledger.rows) == 2
    assert plain(only(ledger, "texts").charge) == text_charge
    assert plain(only(ledger, "carrier_fees").charge) == fee
    assert only(ledger, "carrier_fees").unit == fee_unit


# ------------------------------------------------------------------ the log

ANSWERED = "2026-02-10T12:00:09Z"
LOGS: list[tuple[str, list[dict[str, Any]], list[tuple[str, str]]]] = [
    ("a re-send changes nothing", [call(), call()], [("calls", "0.013")]),
    ("a conflict: the first stands", [call(61), call(600)], [("calls", "0.026")]),
    ("ids are an account's own", [call(), call(account_id="b")], [("calls", "0.013")] * 2),
    ("ids are a kind's own", [call(), call(kind="dial")],
     [("calls", "0.013"), ("campaign_calls", "0.013")]),
    ("a status update is no new charge", [text(status="sent"), text(status="delivered")],
     [("texts", "0.0079"), ("carrier_fees", "0.004")]),
    ("sent, then failed is free", [text(status="sent"), text(status="failed")],
     [("texts", "0"), ("carrier_fees", "0.004")]),
    ("failed, then delivered is charged", [text(status="failed"), text(status="delivered")],
     [("texts", "0.0079"), ("carrier_fees", "0.004")]),
    ("delivered, then failed is charged", [text(status="delivered"), text(status="failed")],
     [("texts", "0.0079"), ("carrier_fees", "0.004")]),
    ("a correction waits", [call(61, revision=1), call()], [("calls", "0.013")]),
    ("AMD of an answered call", [amd(answered_at=ANSWERED)], [("ai_voice_detection", "0.01")]),
    ("AMD of an unanswered call", [amd(verdict="unknown")], [("ai_voice_detection", "0")]),
    ("AMD told twice", [amd(answered_at=ANSWERED), amd(id="a2", answered_at=ANSWERED)],
     [("ai_voice_detection", "0.01")]),
    ("AMD, answered counts", [amd(), amd(id="a2", answered_at=ANSWERED), amd(id="a3")],
     [("ai_voice_detection", "0.01")]),
    ("AMD before its dial", [amd(answered_at=ANSWERED), call(kind="dial", id="c1")],
     [("ai_voice_detection", "0.01"), ("campaign_calls", "0.013")]),
    ("forwarding is two legs",
     [call(31, id="in", direction="inbound", to=MANHATTAN, group_id="g", origin=NEW_YORK),
      call(29, id="out", group_id="g")], [("calls", "0.0085"), ("calls", "0.013")]),
]  # fmt: skip


@pytest.mark.parametrize(("why", "events", "rows"), LOGS, ids=[why for why, _, _ in LOGS])
def test_the_log_is_read_once(
    why: str, events: list[dict[str, Any]], rows: list[tuple[str, str]]
) -> None:
    made = rate_lines(events, SAMPLE).rows.values()
    assert [(row.line, plain(row.charge)) for row in made] == rows
    again = rate_lines(events + events, SAMPLE)
    assert list(again.rows.values()) == list(made), "replay changes nothing"


def test_a_correction_is_parked_once_and_amd_is_known_by_its_call() -> None:
    ledger = rate_lines([call(revision=2), call(revision=2), amd(id="x", call_id="c9")], SAMPLE)
    assert ledger.parked == [("call", "acme", "c1", 2, "correction")]
    assert list(ledger.rows) == [("acme", "2026-02", "ai_voice_detection", "c9", 0)]


# ------------------------------------------------------------------ taxes

STATES = [
    ("+12015550100", "NJ"), ("+12016315550", "NJ"), ("+12125550100", "NY"), ("+12035550100", "CT"),
    ("+13125550100", "IL"), ("+12065550100", "WA"), ("+12025550100", "DC"), (HOUSTON, "TX"),
    (TOLL_FREE, None), ("+14165550100", None), ("+17875550100", None), (LONDON, None),
    ("anonymous", None), ("client:alice", None), ("2125550100", None),
]  # fmt: skip


@pytest.mark.parametrize(("given", "state"), STATES)
def test_an_area_code_lies_in_a_state(given: str, state: str | None) -> None:
    assert state_of(given) == state


# One minute of outbound video at 0.015, for an account in New York City, in February 2026.
# federal 0.649 * 0.36 * 0.015 = 0.0035046; NY 0.000375; NYC and MTA 0.0003525 + 0.00009
TWO_OF_THREE = [
    # from         to            | federal      state         local
    (MANHATTAN,   NEW_YORK,       "0.0035046", "0.000375",   "0.0004425"),
    (MANHATTAN,   LOS_ANGELES,    "0.0035046", "0.000375",   "0.0004425"),
    (LOS_ANGELES, MANHATTAN,      "0.0035046", "0.000375",   "0.0004425"),
    (TOLL_FREE,   MANHATTAN,      "0.0035046", "0.000375",   "0.0004425"),
    (HOUSTON,     DALLAS,         "0.0035046", "0.0009375",  "0"),  # Texas, and not at home
    (HOUSTON,     LOS_ANGELES,    "0.0035046", "0",          "0"),  # three states
    (TOLL_FREE,   LONDON,         "0.0035046", "0",          "0"),
    ("anonymous", LOS_ANGELES,    "0.0035046", "0",          "0"),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "to", "federal", "state", "local"), TWO_OF_THREE)
def test_two_of_three_decide_the_state(
    origin: str, to: str, federal: str, state: str, local: str
) -> None:
    event = call(media="video", to=to, origin=origin)
    row = only(rate_lines([event], SAMPLE), "video_calls")
    assert [plain(t) for t in (row.tax_federal, row.tax_state, row.tax_local)] == [
        federal, state, local,
    ]  # fmt: skip


FEDERAL = [
    # an inbound minute at 0.0085, dialed at   | 0.0085 * 0.649 * rate, to 9 places; by New York
    ("2026-01-01T04:59:59Z",                     "0.001996973"),
    ("2026-01-01T05:00:00Z",                     "0.00198594"),
    ("2026-10-01T03:59:59Z",                     "0.00198594"),
    ("2026-10-01T04:00:00Z",                     "0.002046622"),  # a tie: 0.0020466215
]  # fmt: skip


@pytest.mark.parametrize(("at", "federal"), FEDERAL)
def test_tax_rates_have_dates(at: str, federal: str) -> None:
    event = call(at=at, direction="inbound", to=MANHATTAN, origin=NEW_YORK)
    assert plain(only(rate_lines([event], SAMPLE), "calls").tax_federal) == federal


def test_each_authority_is_rounded_alone_and_other_lines_are_taxed_at_home(
    make_book: MakeBook,
) -> None:
    taxes = (
        "local,US,NY,New York City,One,texts|calls,0.1,1,2025-01-01,\n"
        "local,US,NY,New York City,Two,texts|calls,0.1,1,2025-01-01,\n"
        "local,US,NY,Albany,Three,texts|calls,0.1,1,2025-01-01,\n"
        "state,US,NY,,NY,texts,0.5,1,2025-01-01,\n"
        "federal,CA,,,GST,texts,0.05,1,2025-01-01,\n"
    )
    prices = price("texts", "0.000000006", "text") + price("carrier_fees", "0.01", "text")
    home = 'service_address = { country = "CA", state = "NY" }'
    book = make_book(prices, taxes=taxes, accounts=f"[accounts.toronto]\n{home}")
    row = only(rate_lines([text(to=LONDON, origin=HOUSTON)], book), "texts")
    # 0.0000000006 is 0.000000001, twice; rounded after the sum it would be 0.000000001
    assert plain(row.tax_local) == "0.000000002"
    assert (plain(row.tax_state), plain(row.tax_federal)) == ("0.000000003", "0")
    abroad = rate_lines([text(account_id="toronto")], book)
    assert only(abroad, "texts").tax == 0  # 0.05 * 0.000000006 is 0.0000000003
    assert only(abroad, "carrier_fees").tax == 0


# ------------------------------------------------------------------ monthly things

JAN, FEB, MAR = "2026-01", "2026-02", "2026-03"
RELEASED = "2026-02-15T00:00:00Z"
MONTHLY: list[tuple[str, list[dict[str, Any]], dict[str, str]]] = [
    # why, the log, charge of each month for January, February and March
    ("owned on", [number()], {JAN: "1", FEB: "1", MAR: "1"}),
    ("released", [number(), number(id="n2", released_at=RELEASED)], {JAN: "1", FEB: "1", MAR: "0"}),
    ("an end, then the earlier state again",
     [number(id="n2", released_at=RELEASED), number()], {JAN: "1", FEB: "1", MAR: "0"}),
    ("the last end in the log",
     [number(id="n2", released_at=RELEASED), number(id="n3", released_at="2026-01-20T00:00:00Z")],
     {JAN: "1", FEB: "0", MAR: "0"}),
    ("an end re-sent is where it first was",
     [number(id="n2", released_at="2026-01-20T00:00:00Z"), number(id="n3", released_at=RELEASED),
      number(id="n2", released_at="2026-01-20T00:00:00Z")], {JAN: "1", FEB: "1", MAR: "0"}),
    ("until is not in", [number(released_at="2026-02-01T05:00:00Z")],
     {JAN: "1", FEB: "0", MAR: "0"}),
    ("from is in", [number(acquired_at="2026-02-01T05:00:00Z")], {JAN: "0", FEB: "1", MAR: "1"}),
    ("acquired and released at once", [number(released_at="2026-01-11T00:00:00Z")],
     {JAN: "0", FEB: "0", MAR: "0"}),
    ("once a number and month", [number(released_at="2026-02-05T00:00:00Z"),
     number(id="n2", acquired_at="2026-02-20T00:00:00Z")], {JAN: "1", FEB: "1", MAR: "1"}),
    ("one standing, told in two zones",
     [number(), number(id="n2", acquired_at="2026-01-10T19:00:00-05:00", released_at=RELEASED)],
     {JAN: "1", FEB: "1", MAR: "0"}),
    ("toll-free", [number(number=TOLL_FREE, number_type="tollfree")],
     {JAN: "2", FEB: "2", MAR: "2"}),
    ("a later telling without an end", [number(), number(id="n2", number_type="tollfree")],
     {JAN: "2", FEB: "2", MAR: "2"}),
    ("a correction waits", [number(), number(id="n2", revision=1, released_at=RELEASED)],
     {JAN: "1", FEB: "1", MAR: "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("why", "events", "charges"), MONTHLY, ids=[why for why, _, _ in MONTHLY])
def test_a_number_is_charged_for_the_months_it_stood_in(
    why: str, events: list[dict[str, Any]], charges: dict[str, str]
) -> None:
    ledger = rate_lines(events, SAMPLE)
    for month, charge in charges.items():
        assert shown(ledger, month, "phone_numbers")["charge"] == charge, month
    assert ledger.rows == {}


RECORDINGS = [
    # seconds | minutes  charge
    (0,         "1",   "0.001"),
    (50,        "1",   "0.001"),
    (61,        "2",   "0.002"),
    (3600,      "60",  "0.06"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "minutes", "charge"), RECORDINGS)
def test_a_recording_is_charged_by_its_minutes_every_month(
    seconds: int, minutes: str, charge: str
) -> None:
    ledger = rate_lines([recording(duration_s=seconds)], SAMPLE)
    for month in (FEB, MAR):
        line = shown(ledger, month, "recording_storage")
        assert (line["quantity"], line["amount"], line["charge"]) == (minutes, 1, charge)
    assert shown(ledger, JAN, "recording_storage")["charge"] == "0"


def test_a_subscription_is_charged_by_its_product() -> None:
    log = [subscription(), subscription(id="s2", subscription_id="T", product="other")]
    line = shown(rate_lines(log, SAMPLE), FEB, "subscriptions")
    assert (line["quantity"], line["charge"], line["average_price"]) == ("2", "68", "34")


PRORATED = [
    # acquired                 released                 month   rate | charge, in UTC
    ("2026-01-11T00:00:00Z", "2026-01-12T00:00:00Z", "2026-01", "31",   "1"),
    ("2026-02-15T00:00:00Z", None,                   "2026-02", "1",    "0.5"),
    ("2026-01-11T00:00:00Z", "2026-01-12T00:00:00Z", "2026-01", "1",    "0.032258065"),
    ("2025-12-01T00:00:00Z", None,                   "2026-01", "1",    "1"),
]  # fmt: skip


@pytest.mark.parametrize(("acquired", "released", "month", "rate", "charge"), PRORATED)
def test_a_part_of_a_month_costs_a_part_where_the_tariff_says_so(
    make_book: MakeBook, acquired: str, released: str | None, month: str, rate: str, charge: str
) -> None:
    book = make_book(price("phone_numbers", rate, "number", "prorate = true"))
    ledger = rate_lines([number(acquired_at=acquired, released_at=released)], book)
    assert shown(ledger, month, "phone_numbers")["charge"] == charge


def test_a_month_with_a_change_of_clocks_has_its_own_length(make_book: MakeBook) -> None:
    book = make_book(
        price("phone_numbers", "7.43", "number", "prorate = true"),
        accounts='[accounts.acme]\nzone = "America/New_York"',
    )  # March 2026 has 743 hours in New York
    one_hour = number(acquired_at="2026-03-09T00:00:00Z", released_at="2026-03-09T01:00:00Z")
    assert shown(rate_lines([one_hour], book), MAR, "phone_numbers")["charge"] == "0.01"


def test_the_price_of_a_month_is_that_of_the_first_instant_it_stood(make_book: MakeBook) -> None:
    later = '[[tariff]]\nname = "t"\nvalid_from = 2026-02-10T00:00:00Z\n'
    book = make_book(
        price("phone_numbers", "1", "number"),
        versions=later + price("phone_numbers", "3", "number"),
    )
    ledger = rate_lines(
        [number(), number(id="n2", number=NEW_YORK, acquired_at="2026-02-10T00:00:00Z")], book
    )
    charges = {m: shown(ledger, m, "phone_numbers")["charge"] for m in (JAN, FEB, MAR)}
    assert charges == {JAN: "1", FEB: "4", MAR: "6"}


def test_a_monthly_thing_without_a_price_is_parked_not_free(make_book: MakeBook) -> None:
    rows, parked = rate_lines([number()], make_book("")).monthly("acme", FEB)
    assert rows == {}
    assert parked == [("number", "acme", "n1", 0, "no price")]


# ------------------------------------------------------------------ the statement


def test_a_statement_made_by_hand() -> None:
    log = [
        number(),
        call(61, id="1", direction="inbound", to=MANHATTAN, origin=NEW_YORK),
        call(60, id="2"),
        text(carrier="AT&T"),
        call(30, id="3", kind="dial", campaign_id="k"),
        amd(answered_at=ANSWERED),
        amd(id="a2", call_id="c2"),
        recording(),
        subscription(),
        call(600, id="4", account_id="other"),
        call(600, id="5", at="2026-03-10T12:00:00Z"),
    ]
    statement = rate_lines(log, SAMPLE).statement("acme", "2026-02")
    lines = statement.pop("lines")
    assert statement == {
        "account_id": "acme", "month": "2026-02", "zone": "America/New_York", "currency": "USD",
        "usage_total": "1.13", "products_total": "49.00",
        "total": "50.13",  # 50.12603492
    }  # fmt: skip
    # Taxes: number 0.0485; call in 0.00397188 + 0.000425 + 0.0005015; call out and dial each
    # 0.00303732 + 0.000325 + 0.0003835; text 0.0001975 + 0.0000474; the number 0.025 + 0.0235
    expected = [
        # line                 direction   quantity unit     amount average      charge
        ("phone_numbers",      None,       "1",    "number", 1,   "1",           "1"),
        ("calls",              "inbound",  "2",    "minute", 1,   "0.0085",      "0.017"),
        ("calls",              "outbound", "1",    "minute", 1,   "0.013",       "0.013"),
        ("video_calls",        "inbound",  "0",    "minute", 0,   None,          "0"),
        ("video_calls",        "outbound", "0",    "minute", 0,   None,          "0"),
        ("texts",              "inbound",  "0",    "text",   0,   None,          "0"),
        ("texts",              "outbound", "1",    "text",   1,   "0.0079",      "0.0079"),
        ("campaign_calls",     None,       "1",    "minute", 1,   "0.013",       "0.013"),
        ("recording_storage",  None,       "1",    "minute", 1,   "0.001",       "0.001"),
        ("carrier_fees",       None,       "1",    "text",   1,   "0.003",       "0.003"),
        ("taxes",              None,       "5",    "item",   5,   "0.012226984", "0.06113492"),
        ("ai_voice_detection", None,       "1",    "call",   2,   "0.01",        "0.01"),
        ("subscriptions",      None,       "1",    "item",   1,   "49",          "49"),
    ]  # fmt: skip
    keys = ("line", "direction", "quantity", "unit", "amount", "average_price", "charge")
    assert [tuple(line.get(key) for key in keys) for line in lines] == expected
    assert [line.get("segments") for line in lines if line["line"] == "texts"] == [0, 1]
    assert all("direction" not in line for line in lines if line.get("direction") is None)
    parts = {line["line"]: line["parts"] for line in lines if line["parts"]}
    assert [
        (part["media"], part["registered"], part["direction"], part["charge"])
        for part in parts["carrier_fees"]
    ] == [("sms", True, "outbound", "0.003")]
    assert [(part["level"], part["amount"], part["charge"]) for part in parts["taxes"]] == [
        ("federal", 3, "0.01004652"),
        ("state", 5, "0.0262725"),
        ("local", 5, "0.0248159"),
    ]


def test_a_tax_without_a_table_is_unknown_and_counted(make_book: MakeBook) -> None:
    book = make_book(price("phone_numbers", "1", "number"))
    line = shown(rate_lines([number()], book), FEB, "taxes")
    assert (line["unknown"], line["charge"], line["parts"]) == (1, "0", [])


def test_texts_are_counted_as_texts_with_segments_beside_them() -> None:
    log = [text(body=LONG), text(id="t2", media="mms"), text(id="t3", status="failed", segments=4)]
    line = shown(rate_lines(log, SAMPLE), FEB, "texts", "outbound")
    # The failed one costs nothing: one of three, in no quantity and no average.
    assert (line["amount"], line["free"], line["quantity"]) == (3, 1, "2")
    assert line["segments"] == 3
    assert line["charge"] == "0.0358"  # 0.0158 + 0.02 + 0
    assert line["average_price"] == "0.0179"


def test_minutes_that_do_not_end_are_shown_to_nine_places(make_book: MakeBook) -> None:
    book = make_book(price("calls", "0.01", "second", "first = 1\nfollowing = 1"))
    line = shown(rate_lines([call(7)], book), FEB, "calls", "outbound")
    assert (line["quantity"], line["charge"]) == ("0.116666667", "0.07")
    assert line["average_price"] == "0.6"  # of the exact quantity


TOTALS = [
    ("0.125", "0.12"),
    ("0.135", "0.14"),
    ("0.1250001", "0.13"),
    ("12", "12.00"),
]  # fmt: skip


@pytest.mark.parametrize(("rate", "total"), TOTALS)
def test_the_total_is_rounded_to_cents_once_half_even(
    make_book: MakeBook, rate: str, total: str
) -> None:
    book = make_book(price("phone_numbers", rate, "number"))
    assert rate_lines([number()], book).statement("acme", FEB)["total"] == total


def test_an_empty_month_shows_every_line_and_nothing_owed() -> None:
    statement = rate_lines([], SAMPLE).statement("nobody", "2026-02")
    assert (statement["zone"], statement["total"], len(statement["lines"])) == ("UTC", "0.00", 13)
    assert {line["charge"] for line in statement["lines"]} == {"0"}
