"""The one shape of a price: what it bills, how it reads, and which price goes first."""

from typing import Any

import pytest

from rater.money import format_nanos
from rater.price import Prices
from rater.rate import rate
from rater.tariff import ENTRY_BYTES, Memo
from rater.usage import Usage
from tests.rater.make import SAMPLE, a_price, a_usage, decoded, dims, text

# ------------------------------------------------------------------ a call's duration

MINUTE: dict[str, Any] = {"unit": "minute"}
SECOND: dict[str, Any] = {"unit": "second", "per": 60}  # a price per minute, counted in seconds
BY_30_6: dict[str, Any] = SECOND | {"first": 30, "following": 6}
BY_6_6 = SECOND | {"first": 6, "following": 6}
BY_1_1 = SECOND | {"first": 1, "following": 1}
UP: dict[str, Any] = {"fraction": "up"}
FEE: dict[str, Any] = {"connection_fee": "0.05"}

CALLS = [
    # seconds   rate          the rest of the price       | seconds  units  charge
    (0,         "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (1,         "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (59,        "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (60,        "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (61,        "0.0085",     MINUTE,                           120,     2, "0.017"),
    (120,       "0.0085",     MINUTE,                           120,     2, "0.017"),
    (121,       "0.0085",     MINUTE,                           180,     3, "0.0255"),
    (86_400,    "0.0085",     MINUTE,                        86_400, 1_440, "12.24"),
    # a fraction of a second is dropped, or counts where the price says so
    (60.9,      "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (60.999999, "0.0085",     MINUTE,                            60,     1, "0.0085"),
    (60.000001, "0.0085",     MINUTE | UP,                      120,     2, "0.017"),
    (60,        "0.0085",     MINUTE | UP,                       60,     1, "0.0085"),
    (0.5,       "0.006",      BY_1_1,                             1,     1, "0.0001"),
    (1.5,       "0.006",      BY_1_1,                             1,     1, "0.0001"),
    (1.5,       "0.006",      BY_1_1 | UP,                        2,     2, "0.0002"),
    # the same minute, counted in seconds
    (61,        "0.0085",     SECOND,                           120,   120, "0.017"),
    # 30/6
    (0,         "0.006",      BY_30_6,                           30,    30, "0.003"),
    (10,        "0.006",      BY_30_6,                           30,    30, "0.003"),
    (30,        "0.006",      BY_30_6,                           30,    30, "0.003"),
    (31,        "0.006",      BY_30_6,                           36,    36, "0.0036"),
    (32,        "0.006",      BY_30_6,                           36,    36, "0.0036"),
    (37,        "0.006",      BY_30_6,                           42,    42, "0.0042"),
    (61,        "0.006",      BY_30_6,                           66,    66, "0.0066"),
    # 6/6
    (1,         "0.006",      BY_6_6,                             6,     6, "0.0006"),
    (6,         "0.006",      BY_6_6,                             6,     6, "0.0006"),
    (7,         "0.006",      BY_6_6,                            12,    12, "0.0012"),
    (60,        "0.006",      BY_6_6,                            60,    60, "0.006"),
    (121,       "0.006",      BY_6_6,                           126,   126, "0.0126"),
    # 1/1
    (0,         "0.006",      BY_1_1,                             1,     1, "0.0001"),
    (1,         "0.006",      BY_1_1,                             1,     1, "0.0001"),
    (61,        "0.006",      BY_1_1,                            61,    61, "0.0061"),
    # never less than the minimum
    (5,         "0.006",      BY_1_1 | {"minimum": 30},          30,    30, "0.003"),
    (31,        "0.006",      BY_1_1 | {"minimum": 30},          31,    31, "0.0031"),
    (61,        "0.0085",     MINUTE | {"minimum": 180},        180,     3, "0.0255"),
    # a connection fee once, however short
    (0,         "0.0085",     MINUTE | FEE,                      60,     1, "0.0585"),
    (61,        "0.0085",     MINUTE | FEE,                     120,     2, "0.067"),
    (61,        "0",          MINUTE | FEE,                     120,     2, "0.05"),
    # per so many units
    (61,        "9",          MINUTE | {"per": 1_000},          120,     2, "0.018"),
    (61,        "0.0001",     BY_1_1 | {"per": 1},               61,    61, "0.0061"),
    # rounded once, where division happens: 0.07 / 60 = 0.00116666...
    (7,         "0.01",       BY_1_1,                             7,     7, "0.001166667"),
    (7,         "0.01",       BY_1_1 | {"rounding": "half-up"},   7,     7, "0.001166667"),
    (7,         "0.01",       BY_1_1 | {"rounding": "up"},        7,     7, "0.001166667"),
    # 0.01 / 60 = 0.00016666..., 0.02 / 60 = 0.00033333...
    (2,         "0.01",       BY_1_1,                             2,     2, "0.000333333"),
    (2,         "0.01",       BY_1_1 | {"rounding": "up"},        2,     2, "0.000333334"),
    # a tie: half a nano, a nano and a half, two and a half
    (60, "0.000000001", MINUTE | {"per": 2},                           60, 1, "0"),
    (60, "0.000000003", MINUTE | {"per": 2},                           60, 1, "0.000000002"),
    (60, "0.000000005", MINUTE | {"per": 2},                           60, 1, "0.000000002"),
    (60, "0.000000001", MINUTE | {"per": 2, "rounding": "half-up"},    60, 1, "0.000000001"),
    (60, "0.000000005", MINUTE | {"per": 2, "rounding": "half-up"},    60, 1, "0.000000003"),
    (60, "0.000000001", MINUTE | {"per": 60, "rounding": "up"},        60, 1, "0.000000001"),
    (60, "0.000000001", MINUTE | {"per": 60, "rounding": "half-up"},   60, 1, "0"),
]  # fmt: skip


@pytest.mark.parametrize(("seconds", "rate", "more", "billed_s", "billed", "charge"), CALLS)
def test_a_call_costs_its_fee_and_its_increments(
    seconds: float, rate: str, more: dict[str, Any], billed_s: int, billed: int, charge: str
) -> None:
    bill = a_price(rate=rate, **more).bill(a_usage(seconds))
    assert (bill.billed_seconds, bill.billed, format_nanos(bill.charge)) == (
        billed_s,
        billed,
        charge,
    )
    whole = -int(-seconds // 1) if more.get("fraction") == "up" else int(seconds)
    assert bill.raw_seconds == whole


ANSWER = BY_1_1 | {"start": "answer"}
FROM_ANSWER: dict[str, Any] = MINUTE | {"start": "answer"}
BUSY_IS_FREE: dict[str, Any] = {"free": frozenset({"busy"})}

ENGAGED = [
    # seconds answered status    dialed the price                    | raw billed charge
    # from dialing, a dial that nobody answers is billed
    (66,     6,       "completed", True,  MINUTE,                       66,  120,   "0.02"),
    (20,     None,    "no-answer", True,  MINUTE,                       20,  60,    "0.01"),
    (0,      None,    "busy",      True,  MINUTE,                       0,   60,    "0.01"),
    (3,      None,    "failed",    True,  MINUTE,                       3,   60,    "0.01"),
    (3,      None,    "canceled",  True,  MINUTE | FEE,                 3,   60,    "0.06"),
    # from the answer
    (66,     6,       "completed", True,  FROM_ANSWER,                  60,  60,    "0.01"),
    (67,     6,       "completed", True,  FROM_ANSWER,                  61,  120,   "0.02"),
    (66,     6,       "completed", True,  ANSWER,                       60,  60,    "0.01"),
    (66,     0,       "completed", True,  ANSWER,                       66,  66,    "0.011"),
    (66,     66,      "completed", True,  ANSWER,                       0,   1,     "0.000166667"),
    (66,     5.5,     "completed", True,  ANSWER,                       60,  60,    "0.01"),
    (66,     5.5,     "completed", True,  ANSWER | UP,                  61,  61,    "0.010166667"),
    (66,     None,    "no-answer", True,  ANSWER,                       0,   0,     "0"),
    (66,     None,    "no-answer", True,  ANSWER | FEE,                 0,   0,     "0"),
    # a status that costs nothing, and one that is not named
    (66,     None,    "busy",      True,  FEE | BUSY_IS_FREE | MINUTE,  66,  0,     "0"),
    (66,     None,    "failed",    True,  MINUTE | BUSY_IS_FREE,        66,  120,   "0.02"),
    # refused before dialing, whatever the price
    (0,      None,    "failed",    False, MINUTE | FEE,                 0,   0,     "0"),
    (0,      None,    "failed",    False, BY_1_1 | {"minimum": 60},     0,   0,     "0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "answered", "status", "dialed", "more", "raw", "billed", "charge"), ENGAGED
)
def test_a_call_is_charged_from_the_moment_the_price_says(
    seconds: float,
    answered: float | None,
    status: str,
    dialed: bool,
    more: dict[str, Any],
    raw: int,
    billed: int,
    charge: str,
) -> None:
    usage = a_usage(seconds, answered_after_s=answered, status=status, dialed=dialed)
    bill = a_price(rate="0.01", **more).bill(usage)
    assert (bill.raw_seconds, bill.billed_seconds, format_nanos(bill.charge)) == (
        raw,
        billed,
        charge,
    )
    assert bill.billed == (billed // 60 if more["unit"] == "minute" else billed)


WHY_NOTHING = [
    # what happened                         price                 | the rule says
    (a_usage(0, dialed=False),              {},                     "refused before dialing: $0"),
    (a_usage(9, status="busy"),             BUSY_IS_FREE,           "busy is free: $0"),
    (a_usage(9, status="no-answer"),        {"start": "answer"},    "not answered: $0"),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "more", "why"), WHY_NOTHING)
def test_a_row_of_nothing_says_why(usage: Usage, more: dict[str, Any], why: str) -> None:
    assert a_price(**more).bill(usage).rule.endswith(f"; {why}")


# ------------------------------------------------------------------ what is counted

COUNTED = [
    # line                 unit       segments  rate      fee    | billed  charge
    ("texts",              "text",           1, "0.0075",  "0",       1,   "0.0075"),
    ("texts",              "text",           3, "0.0075",  "0",       1,   "0.0075"),
    ("texts",              "segment",        3, "0.0075",  "0",       3,   "0.0225"),
    ("texts",              "segment",        3, "0.0075",  "0.01",    3,   "0.0325"),
    ("carrier_fees",       "message",        3, "0.01",    "0",       1,   "0.01"),
    ("carrier_fees",       "segment",        3, "0.003",   "0",       3,   "0.009"),
    ("ai_voice_detection", "call",           1, "0.01",    "0",       1,   "0.01"),
    ("phone_numbers",      "number",         1, "1",       "0",       1,   "1"),
    ("subscriptions",      "item",           1, "49",      "0",       1,   "49"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "unit", "segments", "rate", "fee", "billed", "charge"), COUNTED
)  # fmt: skip
def test_what_has_no_duration_is_counted(
    line: str, unit: str, segments: int, rate: str, fee: str, billed: int, charge: str
) -> None:
    bill = a_price(line, rate, unit, connection_fee=fee).bill_quantity(0, segments)
    assert (bill.billed_seconds, bill.billed, format_nanos(bill.charge)) == (0, billed, charge)


# ------------------------------------------------------------------ the rule in words

WORDS = [
    # price                                                      | the rule
    (a_price(), "calls: 0.0085 per minute, 60/60 s from dial"),
    (a_price(match=(("direction", "outbound"),), prefix="+1416", rate="0.014"),
     "calls outbound +1416*: 0.014 per minute, 60/60 s from dial"),
    (a_price(rate="0.006", start="answer", minimum=30, connection_fee="0.05", **BY_30_6),
     "calls: 0.006 per 60 seconds, 30/6 s from answer, at least 30 s, connection fee 0.05"),
    (a_price("carrier_fees", "0.003", "segment",
             match=(("carrier", "att"), ("media", "sms"), ("registered", "true"))),
     "carrier_fees att sms registered=true: 0.003 per segment"),
    (a_price("ai_voice_detection", "0.01", "call", start="answer"),
     "ai_voice_detection: 0.01 per call, if answered"),
    (a_price("phone_numbers", "1", "number", prorate=True),
     "phone_numbers: 1 per number, prorated"),
]  # fmt: skip


@pytest.mark.parametrize(("price", "rule"), WORDS)
def test_a_price_reads_as_a_rule(price: Any, rule: str) -> None:
    assert price.describe() == rule
    assert price.bill_quantity(60).rule == rule


# ------------------------------------------------------------------ which price goes first

OUT = (("direction", "outbound"),)
TO_TOLL_FREE = (("direction", "outbound"), ("to", "tollfree"))
FROM_ANONYMOUS = (("direction", "outbound"), ("from", "anonymous"))
BOTH_FORMS = (("direction", "outbound"), ("from", "anonymous"), ("to", "tollfree"))

LIST = Prices(
    [
        a_price(match=OUT, rate="0.95"),  # the fallback
        a_price(match=OUT, prefix="+1", rate="0.01"),
        a_price(match=OUT, prefix="+1416", rate="0.02"),
        a_price(match=OUT, prefix="+141655", rate="0.03"),
        a_price(match=OUT, prefix="+44", rate="0.04"),
        a_price(match=(("device", "web"), *OUT), prefix="+44", rate="0.05"),
        a_price(match=(("device", "web"), *OUT), rate="0.06"),
        a_price(match=TO_TOLL_FREE, rate="0.07"),
        a_price(match=FROM_ANONYMOUS, rate="0.08"),
        a_price(match=BOTH_FORMS, rate="0.09"),
        a_price(match=OUT, prefix="+44", rate="0.99"),  # the first in the file stands
        a_price("video_calls", "0.10", match=()),
    ]
)

FIRST = [
    # line          number            facts                                     | rate
    ("calls",        "+14165550100",   {},                                        "0.03"),
    ("calls",        "+14169990100",   {},                                        "0.02"),
    ("calls",        "+14999990100",   {},                                        "0.01"),
    ("calls",        "+442079460000",  {},                                        "0.04"),
    ("calls",        "+442079460000",  {"device": "web"},                         "0.05"),  # more
    ("calls",        "+442079460000",  {"device": "cell"},                        "0.04"),
    ("calls",        "+14165550100",   {"device": "web"},                         "0.03"),
    ("calls",        "+99912345678",   {"device": "web"},                         "0.06"),
    ("calls",        "+99912345678",   {},                                        "0.95"),
    ("calls",        "client:ann",     {"to": "client"},                          "0.95"),
    ("calls",        "+18005550100",   {"to": "tollfree"},                        "0.07"),
    ("calls",        "+14165550100",   {"from_": "anonymous"},                    "0.08"),
    ("calls",        "+18005550100",   {"from_": "anonymous", "to": "tollfree"},  "0.09"),
    ("calls",        "+14165550100",   {"direction": "inbound"},                  None),
    ("video_calls",  "+14165550100",   {"direction": "inbound"},                  "0.1"),
    ("texts",        "+14165550100",   {},                                        None),
    ("calls",        "",               {},                                        "0.95"),
    ("calls",        "+4",             {},                                        "0.95"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "number", "facts", "rate"), FIRST)
def test_the_price_that_says_most_goes_first(
    line: str, number: str, facts: dict[str, str], rate: str | None
) -> None:
    found = LIST.find(line, dims(**({"direction": "outbound"} | facts)), number)
    assert (found and format_nanos(found.rate)) == rate
    # and once more, from what is remembered
    assert LIST.find(line, dims(**({"direction": "outbound"} | facts)), number) is found


def test_a_rank_counts_forms_then_the_prefix_then_what_is_matched() -> None:
    ordered = [
        a_price(),
        a_price(match=OUT),
        a_price(match=(("device", "web"), *OUT)),
        a_price(prefix="+1"),
        a_price(match=OUT, prefix="+1"),
        a_price(prefix="+1416"),
        a_price(match=(("to", "tollfree"),)),
        a_price(match=TO_TOLL_FREE),
        a_price(match=(("to", "tollfree"),), prefix="+1"),
        a_price(match=BOTH_FORMS),
    ]
    ranks = [one.rank() for one in ordered]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_probes_do_not_grow_with_the_number_of_prefixes() -> None:
    # The same four lengths of prefix, 200 and 200,000 times: a probe is a dictionary's look-up.
    def prefixes(count: int) -> list[str]:
        return [f"+{10 ** (3 + n % 4) + n}" for n in range(count)]

    outbound, number = dims(direction="outbound"), "+1000123"
    probes = {}
    for count in (200, 200_000):
        listed = prefixes(count)
        assert len(set(listed)) > count * 0.9
        prices = Prices([a_price(match=OUT, prefix=prefix) for prefix in listed])
        found = prices.find("calls", outbound, number)
        assert found is not None
        assert number.startswith(found.prefix)
        view = prices.view("calls", outbound)
        probes[count] = len(view)
        assert all(type(by_prefix) is dict for _, by_prefix in view)
    assert probes[200_000] - probes[200] <= 3  # a number of lengths, not of prefixes
    assert probes[200_000] <= 8


@pytest.mark.parametrize(("letters", "entries"), [(0, 100), (240, 90)])
def test_what_is_remembered_of_carriers_is_bounded_by_bytes(letters: int, entries: int) -> None:
    memo, most = Memo(100 * ENTRY_BYTES), 0
    for carrier in range(200):
        event = decoded(text(account_id="someone", carrier=f"c{carrier}" + "x" * letters))
        assert isinstance(rate(event, SAMPLE, memo), list)
        of = (memo.shapes, memo.views, memo.terms, memo.costs)
        most = max(most, sum(map(len, of)))
    assert 50 < most <= entries
