"""The monthly statement: its lines in the customer's order, averages, one total in cents."""

from datetime import date
from typing import Any

import pytest

from rater.lines import LINES, Tab
from rater.money import format_nanos
from rater.statement import (
    Statement,
    Sums,
    TaxSums,
    Waiting,
    make_statement,
    statement_to_json,
)
from tests.rater.make import nanos

RULE = "US, TX: federal USF 0.334 of 0.649; state Texas 0.0625 of 1"


def group(line: str, charge: str = "0", **more: Any) -> Sums:
    fields: dict[str, Any] = {
        "direction": "", "media": "", "registered": "", "rows": 1, "free": 0, "billed": 0,
        "billed_seconds": 0, "segments": 0,
    }  # fmt: skip
    return Sums(line=line, charge=nanos(charge), **(fields | more))


def taxes(federal: str = "0", state: str = "0", count: int = 0, unknown: int = 0) -> TaxSums:
    levels = (nanos(federal), nanos(state), 0)
    counts = (count if federal != "0" else 0, count if state != "0" else 0, 0)
    return TaxSums(levels, counts, count, unknown, (RULE,) if count else ())


def statement(*groups: Sums, **more: Any) -> Statement:
    return make_statement(
        groups, account_id="acme", month=date(2026, 2, 1), zone="America/New_York",
        as_of="2026-02-10T12:00:00Z", currency="USD", **more,
    )  # fmt: skip


ORDER = [
    # line                  direction    title                        unit
    ("phone_numbers",       "",          "Phone numbers",             "number"),
    ("calls",               "inbound",   "Inbound calls",             "minute"),
    ("calls",               "outbound",  "Outbound calls",            "minute"),
    ("video_calls",         "inbound",   "Inbound video calls",       "minute"),
    ("video_calls",         "outbound",  "Outbound video calls",      "minute"),
    ("texts",               "inbound",   "Inbound texts",             "text"),
    ("texts",               "outbound",  "Outbound texts",            "text"),
    ("campaign_calls",      "",          "Campaign calls",            "minute"),
    ("recording_storage",   "",          "Recording storage",         "minute"),
    ("carrier_fees",        "",          "Carrier fees",              "text"),
    ("taxes",               "",          "Taxes",                     "item"),
    ("ai_voice_detection",  "",          "A.I. voice detection",      "call"),
    ("subscriptions",       "",          "Subscriptions",             "item"),
]  # fmt: skip


def test_the_lines_are_all_there_in_the_customer_s_order_even_when_nothing_was_used() -> None:
    empty = statement()
    assert [line.form[:4] for line in empty.lines] == ORDER
    wholes = [line.whole for line in empty.lines]
    assert {(whole.quantity, whole.amount, whole.charge) for whole in wholes} == {(0, 0, 0)}
    assert {whole.average_price() for whole in wholes} == {None}
    assert empty.total_cents == 0
    assert empty.is_empty()


@pytest.mark.parametrize(
    "more",
    [
        {"groups": [group("texts", direction="inbound", free=1)]},
        {"groups": [], "waiting": [Waiting("no_price", 1, "2026-02-02T00:00:00Z")]},
    ],
)
def test_a_month_with_free_usage_or_with_what_waits_is_not_empty(more: dict[str, Any]) -> None:
    assert not statement(*more.pop("groups"), **more).is_empty()


QUANTITIES = [
    # groups
    #                                     | line quantity      count average      charge
    ([group("phone_numbers", "3", rows=2, billed=2)],
                                            0,  "2",           2,  "1.5",         "3"),
    ([group("calls", "0.051", direction="inbound", rows=2, billed=6, billed_seconds=360)],
                                            1,  "6",           2,  "0.0085",      "0.051"),
    # seconds of a 30/6 tariff are a fraction of a minute: 36 / 60
    ([group("calls", "0.0036", direction="outbound", billed=36, billed_seconds=36)],
                                            2,  "0.6",         1,  "0.006",       "0.0036"),
    # 7 s are 0.11666... minutes; the average is of what is shown
    ([group("calls", "0.0007", direction="outbound", billed=7, billed_seconds=7)],
                                            2,  "0.116666667", 1,  "0.006",       "0.0007"),
    # minutes and seconds of two tariffs in one month add up: 120 s + 36 s
    ([group("calls", "0.017", direction="inbound", billed=2, billed_seconds=120, media="voice"),
      group("calls", "0.003", direction="inbound", billed=36, billed_seconds=36, media="x")],
                                            1,  "2.6",         2,  "0.007692308", "0.02"),
    ([group("video_calls", "0.03", direction="inbound", billed=2, billed_seconds=120)],
                                            3,  "2",           1,  "0.015",       "0.03"),
    ([group("video_calls", "0.03", direction="outbound", billed=2, billed_seconds=120)],
                                            4,  "2",           1,  "0.015",       "0.03"),
    # texts are counted, not their segments
    ([group("texts", "0.0237", direction="inbound", rows=1, billed=3, segments=3)],
                                            5,  "1",           1,  "0.0237",      "0.0237"),
    ([group("texts", "0.04", direction="outbound", rows=3, billed=3, segments=5)],
                                            6,  "3",           3,  "0.013333333", "0.04"),
    ([group("campaign_calls", "0.02", direction="outbound", rows=2, billed=2, billed_seconds=120),
      group("campaign_calls", "0.01", direction="inbound", rows=1, billed=1, billed_seconds=60)],
                                            7,  "3",           3,  "0.01",        "0.03"),
    ([group("recording_storage", "0.06", rows=1, billed=60, billed_seconds=3600)],
                                            8,  "60",          1,  "0.001",       "0.06"),
    ([group("carrier_fees", "0.009", media="sms", registered="true", rows=1, billed=3)],
                                            9,  "1",           1,  "0.009",       "0.009"),
    ([group("calls", "1", direction="inbound", tax=taxes("0.2", "0.05", 3), rows=9),
      group("texts", "1", direction="inbound", tax=taxes(state="0.1", count=2), rows=9)],
                                            10, "5",           5,  "0.07",        "0.35"),
    # three detections, one unanswered: two connected calls
    ([group("ai_voice_detection", "0.02", rows=3, free=1, billed=2)],
                                            11, "2",           3,  "0.01",        "0.02"),
    ([group("subscriptions", "68", rows=2, billed=2)],
                                            12, "2",           2,  "34",          "68"),
    # a failed text is one of three and in no average; neither are calls of two minutes at $0
    ([group("texts", "0.02", direction="outbound", rows=3, free=1, billed=2, segments=2)],
                                            6,  "2",           3,  "0.01",        "0.02"),
    ([group("texts", "0", direction="outbound", rows=3, free=3)],
                                            6,  "0",           3,  None,          "0"),
    # 0.1 / 3 is a third; 0.2 / 3 two thirds
    ([group("ai_voice_detection", "0.1", rows=3, billed=3)],
                                            11, "3",           3,  "0.033333333", "0.1"),
    ([group("ai_voice_detection", "0.2", rows=3, billed=3)],
                                            11, "3",           3,  "0.066666667", "0.2"),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "index", "quantity", "count", "average", "charge"), QUANTITIES)
def test_a_line_shows_quantity_average_price_and_charge(
    groups: list[Sums], index: int, quantity: str, count: int, average: str | None, charge: str
) -> None:
    made = statement(*groups)
    line = made.lines[index].whole
    price = line.average_price()
    assert (
        format_nanos(line.quantity),
        line.amount,
        None if price is None else format_nanos(price),
        format_nanos(line.charge),
    ) == (quantity, count, average, charge)
    assert line.free == sum(one.free for one in groups)
    assert sum(each.whole.charge for each in made.lines) == sum(
        one.charge + sum(one.tax.levels) for one in groups
    )


TOTALS = [
    # charges of lines, and a tax            | total
    (["0"],                          "0",      "0.00"),
    (["0.004", "0.004"],             "0",      "0.01"),   # rounded once: each alone would be 0.00
    (["0.005"],                      "0",      "0.00"),   # a tie, to the even cent
    (["0.015"],                      "0",      "0.02"),
    (["0.025"],                      "0",      "0.02"),
    (["0.005000001"],                "0",      "0.01"),
    (["0.003", "0.001"],             "0.001",  "0.00"),   # the tax is of the total: 0.005
    (["0.003", "0.001"],             "0.0011", "0.01"),
    (["12.345"],                     "0",      "12.34"),
    (["1000000", "0.01", "0.02"],    "0.03",   "1000000.06"),
]  # fmt: skip


@pytest.mark.parametrize(("charges", "tax", "total"), TOTALS)
def test_the_total_is_rounded_to_cents_once(charges: list[str], tax: str, total: str) -> None:
    lines = ("phone_numbers", "subscriptions", "recording_storage")
    groups = [group(line, charge) for line, charge in zip(lines, charges, strict=False)]
    groups[0] = groups[0]._replace(tax=taxes(tax, count=1))
    assert statement_to_json(statement(*groups))["total"] == total


# usage        products   | usage     products  the month
MONTH_TOTALS = [
    ("1.154",   "49",       "1.15",    "49.00",  "50.15"),
    ("0.005",   "0.01",     "0.01",    "0.01",   "0.02"),  # 0.015 is 0.02: the usage gives way
    ("0.004",   "0.004",    "0.01",    "0.00",   "0.01"),
    ("0",       "0",        "0.00",    "0.00",   "0.00"),
]  # fmt: skip


@pytest.mark.parametrize(("used", "fixed", "usage", "products", "total"), MONTH_TOTALS)
def test_usage_and_products_add_up_to_the_month_to_the_cent(
    used: str, fixed: str, usage: str, products: str, total: str
) -> None:
    made = statement_to_json(statement(group("phone_numbers", used), group("subscriptions", fixed)))
    assert (made["usage_total"], made["products_total"], made["total"]) == (usage, products, total)


def test_the_products_have_a_tab_of_their_own() -> None:
    assert [line.name for line in LINES if line.tab is Tab.PRODUCTS] == ["subscriptions"]


def test_a_statement_is_exact_to_the_letter_in_json() -> None:
    made = statement(
        group("calls", "0.017", direction="inbound", media="voice", billed=2, billed_seconds=120,
              tax=taxes("0.0004", "0.000025", 1)),
        group("texts", "0.0237", direction="outbound", media="sms", registered="true", rows=3,
              free=2, billed=3, segments=3, tax=taxes(unknown=1)),
        group("carrier_fees", "0.02", direction="outbound", media="mms", registered="false",
              rows=2, billed=2, segments=2),
        group("carrier_fees", "0.009", direction="outbound", media="sms", registered="true",
              billed=3, segments=3),
        group("carrier_fees", "0.001", direction="inbound", media="sms", registered="true",
              billed=1, segments=1),
        status="final",
        waiting=[Waiting("correction", 1, "2026-02-03T00:00:00Z"),
                 Waiting("no_price", 2, "2026-02-02T00:00:00Z")],
    )  # fmt: skip
    nothing = {
        "amount": 0, "free": 0, "quantity": "0", "average_price": None, "charge": "0", "parts": [],
    }  # fmt: skip
    fee, tax = {"free": 0, "unit": "text"}, {"free": 0, "unit": "item"}
    assert statement_to_json(made) == {
        "account_id": "acme", "month": "2026-02", "zone": "America/New_York",
        "as_of": "2026-02-10T12:00:00Z", "status": "final", "currency": "USD",
        "tariffs": [], "remarks": [],
        "lines": [
            {"line": "phone_numbers", "unit": "number", **nothing},
            {"line": "calls", "direction": "inbound", "quantity": "2", "unit": "minute",
             "amount": 1, "free": 0, "average_price": "0.0085", "charge": "0.017", "parts": []},
            {"line": "calls", "direction": "outbound", "unit": "minute", **nothing},
            {"line": "video_calls", "direction": "inbound", "unit": "minute", **nothing},
            {"line": "video_calls", "direction": "outbound", "unit": "minute", **nothing},
            {"line": "texts", "direction": "inbound", "unit": "text", "segments": 0, **nothing},
            {"line": "texts", "direction": "outbound", "quantity": "1", "unit": "text",
             "amount": 3, "free": 2, "average_price": "0.0237", "charge": "0.0237", "segments": 3,
             "parts": []},
            {"line": "campaign_calls", "unit": "minute", **nothing},
            {"line": "recording_storage", "unit": "minute", **nothing},
            {"line": "carrier_fees", "quantity": "4", "unit": "text", "amount": 4, "free": 0,
             "average_price": "0.0075", "charge": "0.03", "parts": [
                 {"media": "sms", "registered": True, "direction": "outbound", "amount": 1,
                  "quantity": "1", "average_price": "0.009", "charge": "0.009", **fee},
                 {"media": "sms", "registered": True, "direction": "inbound", "amount": 1,
                  "quantity": "1", "average_price": "0.001", "charge": "0.001", **fee},
                 {"media": "mms", "registered": False, "direction": "outbound", "amount": 2,
                  "quantity": "2", "average_price": "0.01", "charge": "0.02", **fee}]},
            {"line": "taxes", "quantity": "1", "unit": "item", "amount": 1, "free": 0,
             "average_price": "0.000425", "charge": "0.000425", "unknown": 1, "parts": [
                 {"level": "federal", "authorities": ["USF"], "amount": 1, "quantity": "1",
                  "average_price": "0.0004", "charge": "0.0004", **tax},
                 {"level": "state", "authorities": ["Texas"], "amount": 1, "quantity": "1",
                  "average_price": "0.000025", "charge": "0.000025", **tax}]},
            {"line": "ai_voice_detection", "unit": "call", **nothing},
            {"line": "subscriptions", "unit": "item", **nothing},
        ],
        "waiting": {"count": 3, "since": "2026-02-02T00:00:00Z", "reasons": [
            {"reason": "correction", "count": 1, "since": "2026-02-03T00:00:00Z"},
            {"reason": "no_price", "count": 2, "since": "2026-02-02T00:00:00Z"}]},
        "usage_total": "0.07", "products_total": "0.00",
        "total": "0.07",  # 0.017 + 0.0237 + 0.03 + 0.000425 = 0.071125
    }  # fmt: skip
