"""The monthly statement: its lines in the customer's order, averages, one total in cents."""

from datetime import date
from typing import Any

import pytest

from rater.money import format_nanos
from rater.statement import Statement, Sums, make_statement, statement_to_json
from tests.rater.make import nanos


def group(line: str, charge: str = "0", **more: Any) -> Sums:
    fields: dict[str, Any] = {
        "direction": "", "media": "", "registered": "", "rows": 1, "billed": 0,
        "billed_seconds": 0, "segments": 0, "tax": "0", "taxed_count": 0,
    }  # fmt: skip
    fields |= more
    fields["tax"] = nanos(fields["tax"])
    return Sums(line=line, charge=nanos(charge), **fields)


def statement(*groups: Sums, status: str = "estimate") -> Statement:
    return make_statement(
        groups, account_id="acme", month=date(2026, 2, 1), zone="America/New_York",
        as_of="2026-02-10T12:00:00Z", currency="USD", status=status,
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
    ("subscriptions",       "",          "Subscriptions (Products)",  "item"),
]  # fmt: skip


def test_the_lines_are_all_there_in_the_customer_s_order_even_when_nothing_was_used() -> None:
    empty = statement()
    assert [tuple(line.form) for line in empty.lines] == ORDER
    assert {(line.quantity, line.rows, line.charge) for line in empty.lines} == {(0, 0, 0)}
    assert {line.average_price() for line in empty.lines} == {0}
    assert empty.total_cents == 0


QUANTITIES = [
    # groups
    #                                     | line quantity      count average      charge
    ([group("phone_numbers", "3", rows=2, billed=2)],
                                            0,  "2",           2,  "1.5",         "3"),
    # one number did not stand after all: a row of nothing, no number
    ([group("phone_numbers", "3", rows=3, billed=2)],
                                            0,  "2",           3,  "1.5",         "3"),
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
    ([group("calls", "1", direction="inbound", tax="0.25", taxed_count=3, rows=9),
      group("texts", "1", direction="inbound", tax="0.1", taxed_count=2, rows=9)],
                                            10, "5",           5,  "0.07",        "0.35"),
    # three detections, one unanswered: two connected calls
    ([group("ai_voice_detection", "0.02", rows=3, billed=2)],
                                            11, "2",           3,  "0.01",        "0.02"),
    ([group("subscriptions", "68", rows=2, billed=2)],
                                            12, "2",           2,  "34",          "68"),
    # 0.1 / 3 is a third; 0.2 / 3 two thirds
    ([group("ai_voice_detection", "0.1", rows=3, billed=3)],
                                            11, "3",           3,  "0.033333333", "0.1"),
    ([group("ai_voice_detection", "0.2", rows=3, billed=3)],
                                            11, "3",           3,  "0.066666667", "0.2"),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "index", "quantity", "count", "average", "charge"), QUANTITIES)
def test_a_line_shows_quantity_average_price_and_charge(
    groups: list[Sums], index: int, quantity: str, count: int, average: str, charge: str
) -> None:
    made = statement(*groups)
    line = made.lines[index]
    assert (
        format_nanos(line.quantity),
        line.rows,
        format_nanos(line.average_price()),
        format_nanos(line.charge),
    ) == (quantity, count, average, charge)
    assert sum(each.charge for each in made.lines) == sum(one.charge + one.tax for one in groups)


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
    groups[0] = groups[0]._replace(tax=nanos(tax))
    assert statement_to_json(statement(*groups))["total"] == total


def test_a_statement_is_exact_to_the_letter_in_json() -> None:
    made = statement(
        group("calls", "0.017", direction="inbound", media="voice", billed=2, billed_seconds=120,
              tax="0.000425", taxed_count=1),
        group("texts", "0.0237", direction="outbound", media="sms", registered="true", billed=3,
              segments=3),
        group("carrier_fees", "0.02", direction="outbound", media="mms", registered="false",
              rows=2, billed=2, segments=2),
        group("carrier_fees", "0.009", direction="outbound", media="sms", registered="true",
              billed=3, segments=3),
        status="final",
    )  # fmt: skip
    nothing = {"quantity": "0", "count": 0, "average_price": "0", "charge": "0"}
    assert statement_to_json(made) == {
        "account_id": "acme", "month": "2026-02", "zone": "America/New_York",
        "as_of": "2026-02-10T12:00:00Z", "status": "final", "currency": "USD",
        "tariffs": [], "remarks": [],
        "lines": [
            {"line": "phone_numbers", "unit": "number", **nothing},
            {"line": "calls", "direction": "inbound", "quantity": "2", "unit": "minute",
             "count": 1, "average_price": "0.0085", "charge": "0.017"},
            {"line": "calls", "direction": "outbound", "unit": "minute", **nothing},
            {"line": "video_calls", "direction": "inbound", "unit": "minute", **nothing},
            {"line": "video_calls", "direction": "outbound", "unit": "minute", **nothing},
            {"line": "texts", "direction": "inbound", "unit": "text", "segments": 0, **nothing},
            {"line": "texts", "direction": "outbound", "quantity": "1", "unit": "text",
             "count": 1, "average_price": "0.0237", "charge": "0.0237", "segments": 3},
            {"line": "campaign_calls", "unit": "minute", **nothing},
            {"line": "recording_storage", "unit": "minute", **nothing},
            {"line": "carrier_fees", "quantity": "3", "unit": "text", "count": 3,
             "average_price": "0.009666667", "charge": "0.029", "parts": [
                 {"media": "mms", "registered": False, "count": 2, "charge": "0.02"},
                 {"media": "sms", "registered": True, "count": 1, "charge": "0.009"}]},
            {"line": "taxes", "quantity": "1", "unit": "item", "count": 1,
             "average_price": "0.000425", "charge": "0.000425"},
            {"line": "ai_voice_detection", "unit": "call", **nothing},
            {"line": "subscriptions", "unit": "item", **nothing},
        ],
        "total": "0.07",  # 0.017 + 0.0237 + 0.029 + 0.000425 = 0.070125
    }  # fmt: skip
