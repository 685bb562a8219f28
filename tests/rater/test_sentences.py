"""Why a charge is what it is, in one sentence."""

from typing import Any

import pytest

from rater.sentences import charge_said, outcome_said, taxes_said, version_said
from tests.rater.make import ABSENT, SAMPLE, amd, call, charges, dial, text

CALLS: list[tuple[dict[str, Any], str]] = [
    # a call to London, from New York
    (call(61, to="+442079460000", account_id="acme"),
     "07:00:00 to 07:01:01 is 61 s, 2 minutes at "),
    (call(60, account_id="acme"), "07:00:00 to 07:01:00 is 60 s, 1 minute at $0.0130 (outbound, +1)"
     " = $0.013"),
    (call(0, account_id="acme"), "1 minute at $0.0130 (outbound, +1) = $0.013"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "said"), CALLS)
def test_a_call_is_said_from_dialing_to_its_tax(event: dict[str, Any], said: str) -> None:
    (charge,) = charges(event, SAMPLE)
    sentence = charge_said(charge)
    assert sentence.startswith(said)
    assert sentence.endswith(" tax")


def test_a_text_and_its_fee_are_said_each() -> None:
    said = {c.terms.line: charge_said(c) for c in charges(text(segments=2, carrier="att"), SAMPLE)}
    assert said["texts"].startswith("2 segments at $0.0079 (sms) = $0.0158, and $")
    assert said["carrier_fees"].startswith("2 segments at $0.0030 (att, sms, registered)")


def test_what_is_free_says_why() -> None:
    (charge,) = charges(amd(account_id="acme", answered_at=ABSENT), SAMPLE)
    assert charge_said(charge) == "not answered: $0"


def test_a_tax_that_no_table_tells_is_said() -> None:
    (charge,) = charges(dial(60, account_id="acme"), SAMPLE)
    unknown = charge.changed(tax_status="unknown", tax_federal=0, tax_state=0, tax_local=0)
    assert charge_said(unknown).endswith("; its tax is not known")
    assert taxes_said(unknown) == []
    said = taxes_said(charge)
    assert said[0] == "Federal: Federal USF (SAMPLE), 36 % of 64.9 % of the charge"
    assert all(one.endswith(" of the charge") for one in said)


def test_what_became_of_an_event_without_a_charge() -> None:
    assert outcome_said("parked", "no_price", "no price for +882") == (
        "It waits for a price, and is rated when one arrives: no price: no price for +882."
    )
    assert outcome_said("rejected", "bad_json", "") == (
        "It was refused and is not charged: bad json."
    )


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("2026-11-01", "1 November 2026"),
        ("2026-11-01T00:00:00Z", "1 November 2026 UTC"),
        ("2026-11-01T04:00:00Z", "2026-11-01T04:00:00Z"),
    ],
)
def test_since_when_a_version_holds(label: str, said: str) -> None:
    assert version_said(label) == said
