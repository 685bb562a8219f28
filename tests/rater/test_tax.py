"""Taxes by level, from a table with dates, by two out of three places."""

from typing import Any

import pytest

from rater.lines import CALL_LINES
from rater.money import format_nanos
from rater.tax import LEVELS, Address, TaxRow, TaxTable, two_of_three
from tests.rater.make import (
    HOUSTON,
    LONDON,
    LOS_ANGELES,
    MANHATTAN,
    SAMPLE,
    TOLL_FREE,
    call,
    charge,
    dial,
    make_book,
    nanos,
    price,
    text,
    us,
)

VOTES = [
    # origin  termination  service | decides
    ("CA",    "CA",        "CA",     "CA"),
    ("CA",    "CA",        "NY",     "CA"),
    ("CA",    "NY",        "CA",     "CA"),
    ("NY",    "CA",        "CA",     "CA"),
    ("CA",    "NY",        "TX",     ""),    # no two agree: interstate, no state's tax
    ("CA",    "",          "CA",     "CA"),
    ("",      "CA",        "CA",     "CA"),
    ("CA",    "CA",        "",       "CA"),
    ("",      "",          "CA",     ""),
    ("CA",    "",          "",       ""),
    ("",      "",          "",       ""),    # that nothing is known of is no agreement
    ("CA",    "",          "NY",     ""),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "termination", "service", "decides"), VOTES)
def test_two_out_of_three_decide_the_state(
    origin: str, termination: str, service: str, decides: str
) -> None:
    assert two_of_three(origin, termination, service) == decides


US_ROW = TaxRow(
    "federal", "US", "", "", "USF", frozenset({"calls"}), nanos("0.5"), nanos("1"),
    us("2026-01-01T00:00:00Z"), us("2027-01-01T00:00:00Z"),
)  # fmt: skip
CALIFORNIA, SAN_JOSE = "+14155550100", "+14085550100"

# The sample's table, on a call of one minute for 0.013 of an account in Los Angeles.
# Federal is the factor of the quarter x 0.649 of the charge: 0.013 x 0.649 = 0.008437.
DATES = [
    # dialed                        | federal        state       local
    ("2025-01-01T00:00:00Z",          "0.003054194", "0.000585", "0.00117"),  # 0.3620
    ("2025-12-31T23:59:59.999999Z",   "0.003054194", "0.000585", "0.00117"),
    ("2026-01-01T00:00:00Z",          "0.00303732",  "0.000585", "0.00117"),  # 0.3600
    ("2026-09-30T23:59:59.999999Z",   "0.00303732",  "0.000585", "0.00117"),
    ("2026-10-01T00:00:00Z",          "0.003130127", "0.000585", "0.00117"),  # 0.3710
    ("2030-01-01T00:00:00Z",          "0.003130127", "0.000585", "0.00117"),
]  # fmt: skip


@pytest.mark.parametrize(("dialed", "federal", "state", "local"), DATES)
def test_a_rate_holds_from_its_date_to_the_next(
    dialed: str, federal: str, state: str, local: str
) -> None:
    row = charge(call(60, at=dialed, from_=CALIFORNIA, to=SAN_JOSE))
    taxes = (row.cost.tax_federal, row.cost.tax_state, row.cost.tax_local)
    assert tuple(map(format_nanos, taxes)) == (federal, state, local)
    assert (format_nanos(row.cost.charge), row.cost.tax_status) == ("0.013", "taxed")


PLACES = [
    # account    from         to            charge  | federal       state        local
    # Los Angeles: CA 0.045, city 0.09
    ("someone",  CALIFORNIA,  LOS_ANGELES,  "0.013",  "0.00303732", "0.000585",  "0.00117"),
    ("someone",  CALIFORNIA,  MANHATTAN,    "0.013",  "0.00303732", "0.000585",  "0.00117"),
    ("someone",  MANHATTAN,   CALIFORNIA,   "0.013",  "0.00303732", "0.000585",  "0.00117"),
    # two in New York outvote the account's address; its city is not theirs
    ("someone",  MANHATTAN,   MANHATTAN,    "0.013",  "0.00303732", "0.000325",  "0"),
    ("someone",  MANHATTAN,   HOUSTON,      "0.013",  "0.00303732", "0",         "0"),
    ("someone",  MANHATTAN,   LONDON,       "0.015",  "0.0035046",  "0",         "0"),
    ("someone",  CALIFORNIA,  LONDON,       "0.015",  "0.0035046",  "0.000675",  "0.00135"),
    ("someone",  CALIFORNIA,  TOLL_FREE,    "0.005",  "0.0011682",  "0.000225",  "0.00045"),
    ("someone",  "anonymous", CALIFORNIA,   "0.013",  "0.00303732", "0.000585",  "0.00117"),
    ("someone",  "anonymous", MANHATTAN,    "0.013",  "0.00303732", "0",         "0"),
    # New York City: NY 0.025, city 0.0235 + MTA 0.006
    ("acme",     MANHATTAN,   LOS_ANGELES,  "0.013",  "0.00303732", "0.000325",  "0.0003835"),
    ("acme",     CALIFORNIA,  LOS_ANGELES,  "0.013",  "0.00303732", "0.000585",  "0"),
    ("acme",     HOUSTON,     HOUSTON,      "0.013",  "0.00303732", "0.0008125", "0"),
]  # fmt: skip


@pytest.mark.parametrize(("account", "from_", "to", "charged", "federal", "state", "local"), PLACES)
def test_a_call_is_taxed_where_two_of_its_places_are(
    account: str, from_: str, to: str, charged: str, federal: str, state: str, local: str
) -> None:
    row = charge(call(60, account_id=account, from_=from_, to=to))
    assert format_nanos(row.cost.charge) == charged
    taxes = (row.cost.tax_federal, row.cost.tax_state, row.cost.tax_local)
    assert tuple(map(format_nanos, taxes)) == (federal, state, local)


@pytest.mark.parametrize("event", [call(media="video"), dial()])
def test_video_and_campaign_calls_are_calls(event: dict[str, Any]) -> None:
    # from Manhattan to Los Angeles, for an account in Los Angeles: California's 0.045
    row = charge(event)
    assert row.cost.tax_state * 1_000 == row.cost.charge * 45
    other = charge(event | {"account_id": "acme", "to": HOUSTON})  # New York's 0.025
    assert other.cost.tax_state * 1_000 == other.cost.charge * 25


def test_a_text_is_taxed_where_the_service_is() -> None:
    row = charge(text(account_id="acme", from_=CALIFORNIA, to=LOS_ANGELES), line="texts")
    # 0.0079 x 0.025 and 0.0079 x 0.006; no federal tax on texts
    taxes = (row.cost.tax_federal, row.cost.tax_state, row.cost.tax_local)
    assert tuple(map(format_nanos, taxes)) == ("0", "0.0001975", "0.0000474")


def test_a_city_of_the_same_name_in_another_state_taxes_nothing() -> None:
    city = US_ROW._replace(level="local", locality="Springfield", authority="city")
    table = TaxTable([city._replace(state="IL"), city._replace(state="MA", rate=nanos("0.25"))])
    at_us, springfield_il = us("2026-06-01T00:00:00Z"), Address("US", "IL", "Springfield")
    assert table.rule("calls", at_us, springfield_il, "IL", "MA").on(100).local == 50
    # two in Massachusetts outvote Illinois, and the account's city lies in Illinois
    assert table.rule("calls", at_us, springfield_il, "MA", "MA").on(100).local == 0


# ------------------------------------------------------------------ what the table does not say

NEW_YORK = Address("US", "NY", "New York City")

STATUSES = [
    # line     instant                  address          | status
    ("calls",  "2026-06-01T00:00:00Z",  NEW_YORK,          "taxed"),
    ("texts",  "2026-06-01T00:00:00Z",  NEW_YORK,          "exempt"),
    ("calls",  "2025-12-31T23:59:59Z",  NEW_YORK,          "unknown"),  # before the table
    ("calls",  "2027-01-01T00:00:00Z",  NEW_YORK,          "unknown"),  # after it
    ("calls",  "2026-06-01T00:00:00Z",  Address("CA"),     "unknown"),  # a country it has not
    ("calls",  "2026-06-01T00:00:00Z",  Address(),         "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "instant", "address", "status"), STATUSES)
def test_what_the_table_does_not_say_is_marked(
    line: str, instant: str, address: Address, status: str
) -> None:
    taxes = TaxTable([US_ROW]).rule(line, us(instant), address, "NY", "").on(100)
    assert taxes.status == status
    assert taxes[:3] == ((50, 0, 0) if status == "taxed" else (0, 0, 0))
    assert taxes.rule


@pytest.mark.parametrize("event", [call(), text()])
def test_without_a_table_a_row_is_rated_and_its_tax_unknown(event: dict[str, Any]) -> None:
    prices = price("calls", "0.01") + price("texts", "0.01", "text")
    book = make_book(prices + price("carrier_fees", "0.01", "text"))
    row = charge(event, book, line=event["kind"] + "s")
    assert (format_nanos(row.cost.charge), row.cost.tax_status, row.terms.status) == (
        "0.01",
        "unknown",
        "rated",
    )
    assert (row.cost.tax_federal, row.cost.tax_state, row.cost.tax_local) == (0, 0, 0)


def test_an_empty_table_taxes_nothing_and_says_unknown() -> None:
    book = make_book(price("calls", "0.01"), taxes="")
    assert charge(call(), book).cost.tax_status == "unknown"


# ------------------------------------------------------------------ rounding


def rows(*rates: str, share: str = "1", level: str = "state") -> TaxTable:
    return TaxTable(
        [US_ROW._replace(level=level, rate=nanos(rate), taxed_share=nanos(share)) for rate in rates]
    )


ROUNDED = [
    # charge in nanos  rates           taxed share | tax in nanos
    (5,                ["0.1"],        "1",          0),   # half a nano, to the even 0
    (15,               ["0.1"],        "1",          2),   # a nano and a half, to the even 2
    (25,               ["0.1"],        "1",          2),
    (26,               ["0.1"],        "1",          3),
    (5,                ["0.1", "0.1"], "1",          0),   # each authority's is rounded alone
    (15,               ["0.1", "0.1"], "1",          4),
    (30,               ["0.1"],        "0.5",        2),   # rate and share together, once
    (1_000_000_000,    ["0.36"],       "0.649",      233_640_000),
    (0,                ["0.36"],       "0.649",      0),
    (10**18,           ["0.333333333"], "0.333333333", 111_111_110_888_888_889),
]  # fmt: skip


@pytest.mark.parametrize(("charged", "rates", "share", "tax"), ROUNDED)
@pytest.mark.parametrize("level", LEVELS)
def test_a_tax_is_rounded_half_even_once(
    level: str, charged: int, rates: list[str], share: str, tax: int
) -> None:
    at_us = us("2026-06-01T00:00:00Z")
    table = rows(*rates, share=share, level=level)
    taxes = table.rule("calls", at_us, NEW_YORK, "", "").on(charged)
    assert dict(zip(LEVELS, taxes[:3], strict=True)) == dict.fromkeys(LEVELS, 0) | {level: tax}


def test_the_sample_taxes_no_line_it_does_not_name() -> None:
    table = SAMPLE.taxes
    assert table is not None
    address = SAMPLE.account("someone", 0).address
    for line in ("carrier_fees", "recording_storage", "ai_voice_detection", "subscriptions"):
        taxes = table.rule(line, us("2026-06-01T00:00:00Z"), address, "", "").on(10**9)
        assert (taxes.status, taxes[:3]) == ("exempt", (0, 0, 0))
    assert frozenset({"calls", "video_calls", "campaign_calls"}) == CALL_LINES
