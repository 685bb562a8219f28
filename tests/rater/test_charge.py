"""A charge as a row of JSON: exact decimals as strings, instants in UTC."""

import pytest

from rater.charge import charge_to_json, format_us
from tests.rater.make import charge, text, us

INSTANTS = [
    # instant                            | shown
    ("2026-02-10T12:00:00Z",               "2026-02-10T12:00:00Z"),
    ("2026-02-10T12:00:00.5Z",             "2026-02-10T12:00:00.5Z"),
    ("2026-02-10T12:00:00.123456Z",        "2026-02-10T12:00:00.123456Z"),
    ("2026-02-10T12:00:00.000001Z",        "2026-02-10T12:00:00.000001Z"),
    ("2026-02-10T07:00:00-05:00",          "2026-02-10T12:00:00Z"),
    ("1969-12-31T23:59:59.999999Z",        "1969-12-31T23:59:59.999999Z"),
]  # fmt: skip


@pytest.mark.parametrize(("instant", "shown"), INSTANTS)
def test_an_instant_is_shown_exactly_in_utc(instant: str, shown: str) -> None:
    assert format_us(us(instant)) == shown


def test_a_row_shows_all_that_explains_it() -> None:
    event = text(account_id="acme", carrier="AT&T", segments=3, sender="10dlc")
    assert charge_to_json(charge(event, line="texts")) == {
        "account_id": "acme", "month": "2026-02", "line": "texts", "identity": "t1",
        "revision": 0, "kind": "text", "event_id": "t1", "direction": "outbound",
        "from": "+12125550100", "to": "+13105550100", "group_id": "", "campaign_id": "",
        "call_id": "", "user_id": "", "team": "", "verdict": "", "encoding": "",
        "number_type": "", "product": "", "recorded": "", "dialed": True, "stood_us": 0,
        "occurred_at": "2026-02-10T12:00:00Z", "answered_at": None,
        "ended_at": None, "event_status": "sent", "media": "sms", "device": "",
        "sender": "10dlc", "carrier": "att", "registered": "true", "segments": 3,
        "raw_seconds": 0, "billed_seconds": 0, "billed": 3, "unit": "segment",
        "unit_price": "0.0079", "per": 1, "connection_fee": "0", "charge": "0.0237",
        # New York: state 0.025 of it; the city taxes no texts, the MTA district 0.006 of it
        "tax_federal": "0", "tax_state": "0.0005925", "tax_local": "0.0001422",
        "tax_status": "taxed",
        "tax_rule": "US, NY: state New York (SAMPLE) 0.025 of 1; local MTA district (SAMPLE) "
        "0.006 of 1",
        "currency": "USD", "tariff": "standard", "tariff_version": "2012-01-01T00:00:00Z",
        "zone": "America/New_York",
        "rule": "texts sms: 0.0079 per segment", "status": "rated",
    }  # fmt: skip
