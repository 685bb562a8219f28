"""Numbers: their form, and the US state of an area code."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.numbers import FORMS, NUMBER_PATTERN, PARTY_PATTERN, form, us_state
from tests import oracle
from tests.rater.make import modest

PARTIES = [
    # party                  | form           a number of one's own
    ("+14155550100",           "geographic",  True),
    ("+12425550100",           "geographic",  True),   # Bahamas: +1 is not all the US
    ("+442079460000",          "geographic",  True),
    ("+88212345678",           "geographic",  True),   # in no plan we know: billed all the same
    ("+18005550100",           "tollfree",    True),
    ("+18885550100",           "tollfree",    True),
    ("+18335550100",           "tollfree",    True),
    ("+18225550100",           "geographic",  True),   # +1 822 is kept for later
    ("+1800555010",            "geographic",  True),   # a digit too few
    ("+180055501000",          "geographic",  True),   # a digit too many
    ("+448001111111",          "tollfree",    True),   # freephone of the United Kingdom
    ("+33800123456",           "tollfree",    True),   # numéro vert
    ("911",                    "shortcode",   True),
    ("87121",                  "shortcode",   True),
    ("12345678",               "shortcode",   True),
    ("client:ann",             "client",      False),
    ("sip:ann@example.com",    "sip",         False),
    ("sips:ann@example.com",   "sip",         False),
    ("anonymous",              "anonymous",   False),
]  # fmt: skip


@pytest.mark.parametrize(("party", "expected", "own"), PARTIES)
def test_a_party_has_one_of_the_known_forms(party: str, expected: str, own: bool) -> None:
    assert form(party) == expected
    assert expected in FORMS
    assert re.search(PARTY_PATTERN, party)
    assert bool(re.search(NUMBER_PATTERN, party)) == own


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
    ("+1415555010",     ""),    # a digit too few
    ("+141555501000",   ""),
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


@modest
@given(st.from_regex(oracle.E164, fullmatch=True).filter(lambda number: len(number) >= 8))
def test_the_form_of_a_number_is_the_oracle_s(number: str) -> None:
    assert form(number) == oracle.form_of(number)
