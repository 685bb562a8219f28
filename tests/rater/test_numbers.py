"""Numbers: their form, and the US state of an area code."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.numbers import (
    CALLER_PATTERN,
    COMMON_PATTERN,
    FORMS,
    NUMBER_PATTERN,
    PARTY_PATTERN,
    face,
    form,
    from_national,
    is_caller,
    is_number,
    is_party,
    us_state,
)
from rater.reject import Reason, Reject
from tests import oracle
from tests.rater.make import call, charge, decoded_or_not, modest, text

PARTIES = [
    # party                  | form           a number of one's own
    ("+14155550100",           "geographic",  True),
    ("+12425550100",           "geographic",  True),   # Bahamas: +1 is not all the US
    ("+442079460000",          "geographic",  True),
    ("+88212345678",           "geographic",  True),   # a satellite's
    ("+448001111",             "tollfree",    True),   # seven digits after 44: Childline
    ("+390612345678",          "geographic",  True),   # Rome: its 0 is a digit like the others
    ("+18005550100",           "tollfree",    True),
    ("+18885550100",           "tollfree",    True),
    ("+18335550100",           "tollfree",    True),
    ("+18225550100",           "geographic",  True),   # +1 822 is kept for later
    ("+448001111111",          "tollfree",    True),   # freephone of the United Kingdom
    ("+33800123456",           "tollfree",    True),   # numéro vert
    ("911",                    "shortcode",   True),
    ("87121",                  "shortcode",   True),
    ("12345678",               "shortcode",   True),
    ("client:ann",             "client",      False),
    ("sip:ann@example.com",    "sip",         False),
    ("sips:ann@example.com",   "sip",         False),
    ("SIP:Ann@example.com",    "sip",         False),
    ("sip:ann@host:5060",      "sip",         False),
    ("911",                    "shortcode",   True),
    ("anonymous",              "anonymous",   False),
    ("Anonymous",              "anonymous",   False),
    ("ANONYMOUS",              "anonymous",   False),
    ("Restricted",             "anonymous",   False),
    ("Unavailable",            "anonymous",   False),
    ("unknown",                "anonymous",   False),
    ("Private",                "anonymous",   False),
    ("+266696687",             "anonymous",   False),
    ("+7378742833",            "anonymous",   False),
    ("+2562533",               "anonymous",   False),
    ("+8656696",               "anonymous",   False),
    ("266696687",              "anonymous",   False),
    ("7378742833",             "anonymous",   False),
    ("86282452253",            "anonymous",   False),
    ("client:Anonymous",       "anonymous",   False),
    ("sip:restricted@example.com",       "anonymous", False),
    ("sip:anonymous@anonymous.invalid",  "anonymous", False),
    ("sip:thisis@anonymous.invalid:5061", "anonymous", False),
    ("sip:+266696687@example.com",       "anonymous", False),
    ("sip:private.ann@example.com",      "sip",       False),
]  # fmt: skip


@pytest.mark.parametrize(("party", "expected", "own"), PARTIES)
def test_a_party_has_one_of_the_known_forms(party: str, expected: str, own: bool) -> None:
    assert form(party) == expected
    assert expected in FORMS
    assert face(party) == (expected, us_state(party))
    assert re.search(PARTY_PATTERN, party)  # what is accepted, the JSON Schema accepts too
    assert is_party(party)
    assert is_number(party) == own
    assert bool(re.search(NUMBER_PATTERN, party)) >= own


NONE = [
    # party               | why it is none
    ("+13104503",           "+1 has ten digits"),
    ("+141555501",          "+1 has ten digits"),
    ("+1415555010",         "+1 has ten digits"),
    ("+141555501011",       "+1 has ten digits"),
    ("+1911",               "a short number has no +"),
    ("+1411",               "a short number has no +"),
    ("+10155550101",        "no area code begins with 0"),
    ("+11155550101",        "no area code begins with 1"),
    ("+19115550101",        "N11 is no area code"),
    ("+14150550101",        "no exchange begins with 0"),
    ("+14151550101",        "no exchange begins with 1"),
    ("+8001234567890",      "+800 has eight digits"),
    ("+44794600",           "no British number has six digits"),
    ("+4479460000",         "a number without its area code"),
    ("+4402079460000",      "the 0 of (0)20 is not dialed from abroad"),
    ("+9055550100",         "no Turkish number has eight digits"),
    ("+2125550100",         "no Moroccan number has seven digits"),
    ("+9995550100",         "no country has 999"),
    ("+14155550100\n",      "a line break"),
    ("+",                   "no digits"),
    ("+1",                  "no digits after 1"),
    ("",                    "nothing"),
    ("0",                   "one digit"),
    ("4155550100",          "ten digits without +"),
    ("ann",                 "a word that is none of ours"),
    ("client:",             "nobody's name"),
]  # fmt: skip


@pytest.mark.parametrize(("party", "why"), NONE)
def test_a_number_that_is_no_number_is_no_party(party: str, why: str) -> None:
    assert not is_party(party), why
    assert not is_number(party), why
    assert not oracle.is_party(party), why


@pytest.mark.parametrize("caller", ["", "+", "+1", "0"])
def test_a_call_may_be_from_no_caller_and_none_is_to_one(caller: str) -> None:
    from_it: dict[str, Any] = {"from": caller}
    assert is_caller(caller)
    assert form(caller) == oracle.form_of(caller) == "anonymous"
    assert face(caller) == ("anonymous", "")
    assert re.search(CALLER_PATTERN, caller)
    assert charge(call(direction="inbound", **from_it)).from_ == caller
    for other in (call(to=caller), text(**from_it)):
        refused = decoded_or_not(other)
        assert isinstance(refused, Reject)
        assert refused.reason is Reason.BAD_NUMBER


@modest
@given(
    st.from_regex(r"\+1[0-9]{9,11}", fullmatch=True)
    | st.from_regex(r"\+[1-9][0-9]{5,15}", fullmatch=True)
    | st.from_regex(r"[0-9]{1,12}", fullmatch=True)
)
def test_what_is_a_party_is_the_oracle_s_and_the_patterns_agree(party: str) -> None:
    assert is_party(party) == oracle.is_party(party)
    if re.search(COMMON_PATTERN, party):
        assert is_party(party)
    if is_party(party):
        assert re.search(PARTY_PATTERN, party)
        assert form(party) == oracle.form_of(party)
    if is_number(party):
        assert re.search(NUMBER_PATTERN, party)


NATIONAL = [
    # digits          region | party
    ("9055550100",      "US",  "+19055550100"),  # Ontario, not Turkey
    ("2125550100",      "US",  "+12125550100"),  # New York, not Morocco
    ("8665550100",      "US",  "+18665550100"),  # toll-free, not China
    ("14155550101",     "US",  "+14155550101"),
    ("011442079460000", "US",  "+442079460000"),
    ("442079460000",    "US",  None),            # without 011 it is a US number of twelve digits
    ("5550101",         "US",  "5550101"),       # an extension: its area is not said
    ("1002",            "US",  "1002"),
    ("911",             "US",  "911"),
    ("02079460000",     "GB",  "+442079460000"),
    ("32123456",        "DK",  "+4532123456"),   # eight digits are a whole number there
    ("9055550100",      "",    None),
    ("14155550101",     "",    None),
    ("32123456",        "",    None),            # eight digits may be a Danish number
    ("1002",            "",    "1002"),
    ("0",               "US",  None),
]  # fmt: skip


@pytest.mark.parametrize(("digits", "region", "party"), NATIONAL)
def test_national_digits_are_a_number_of_their_region_and_never_guessed(
    digits: str, region: str, party: str | None
) -> None:
    assert from_national(digits, region) == party


AREA_CODES = [
    # number          | state
    ("+12015550100",    "NJ"),
    ("+12025550100",    "DC"),  # Washington, D.C.
    ("+12065550100",    "WA"),  # Washington State
    ("+12125550100",    "NY"),
    ("+12145550100",    "TX"),
    ("+13055550100",    "FL"),
    ("+13105550100",    "CA"),
    ("+13125550100",    "IL"),
    ("+14155550100",    "CA"),
    ("+15035550100",    "OR"),
    ("+16175550100",    "MA"),
    ("+17135550100",    "TX"),
    ("+18085550100",    "HI"),
    ("+19075550100",    "AK"),
    ("+14165550100",    ""),    # Canada
    ("+12425550100",    ""),    # Bahamas
    ("+18765550100",    ""),    # Jamaica
    ("+17875550100",    ""),    # Puerto Rico is no state
    ("+18005550100",    ""),    # toll-free
    ("+442079460000",   ""),
    ("415",             ""),
    ("client:ann",      ""),
    ("anonymous",       ""),
]  # fmt: skip


@pytest.mark.parametrize(("number", "state"), AREA_CODES)
def test_an_area_code_lies_in_a_state(number: str, state: str) -> None:
    assert us_state(number) == state


def test_every_area_code_lies_where_the_oracle_says() -> None:
    numbers = [f"+1{code}5550100" for code in range(200, 1_000)]
    states = {number: us_state(number) for number in numbers}
    assert states == {number: oracle.state_of(number) or "" for number in numbers}
    assert len(set(states.values())) == 52  # 50 states, the District, and none
