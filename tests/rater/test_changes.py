"""Why a month costs more: the causes, and that they add up to the difference exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.changes import Cause, GroupSum, causes_of
from rater.lines import LINES
from rater.money import to_cents
from rater.sentences import CAUSES_SAID, cause_text, causes_said, change_said

UK, US = "calls outbound +44*", "calls outbound +1*"


def calls(prices: str, minutes: int, charge: int) -> GroupSum:
    return GroupSum("calls", "outbound", prices, minutes * 60, charge)


CASES = [
    # before                  | after                                  | causes: what, charge
    ([calls(US, 10, 100)],      [calls(US, 30, 300)],                    [("volume", 200)]),
    ([calls(US, 10, 100)],      [calls(US, 10, 130)],                    [("prices", 30)]),
    ([calls(US, 10, 100), calls(UK, 10, 500)],
                                [calls(US, 5, 50), calls(UK, 15, 750)],  [("mix", 200)]),
    ([calls(US, 10, 100)],      [calls(US, 20, 260)],                    [("volume", 100),
                                                                          ("prices", 60)]),
    ([],                        [calls(US, 10, 100)],                    [("volume", 100)]),
    ([calls(US, 10, 100)],      [],                                      [("volume", -100)]),
    ([GroupSum("phone_numbers", "", "n", 2, 200)],
                                [GroupSum("phone_numbers", "", "n", 5, 500)],  [("fixed", 300)]),
    ([GroupSum("taxes", "", "", 0, 9)], [GroupSum("taxes", "", "", 0, 5)],     [("taxes", -4)]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "causes"), CASES)
def test_a_difference_has_its_causes(
    before: list[GroupSum], after: list[GroupSum], causes: list[tuple[str, int]]
) -> None:
    assert [(cause.what, cause.charge) for cause in causes_of(before, after)] == causes


GROUPS = st.lists(
    st.builds(
        GroupSum,
        st.sampled_from([line.name for line in LINES]),
        st.sampled_from(["", "inbound", "outbound"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 10**6),
        st.integers(0, 10**15),
    ),
    max_size=12,
)


@given(GROUPS, GROUPS)
def test_causes_add_up_to_the_difference_in_nanos_and_in_cents(
    before: list[GroupSum], after: list[GroupSum]
) -> None:
    causes = causes_of(before, after)
    had, has = (sum(group.charge for group in groups) for groups in (before, after))
    assert sum(cause.charge for cause in causes) == has - had
    cents = to_cents(has) - to_cents(had)
    said = causes_said(causes, cents, "$")
    assert sum(one.cents for one in said) == cents
    assert len(said) <= CAUSES_SAID + 1


WORDS = [
    # cause                                                | in words
    (Cause("volume", "calls", "outbound", 138_600, 1),      "2,310 more minutes of outbound calls"),
    (Cause("volume", "calls", "inbound", -60, -1),           "1 fewer minute of inbound calls"),
    (Cause("volume", "texts", "outbound", 12, 1),            "12 more billed: outbound texts"),
    (Cause("fixed", "phone_numbers", "", 1, 1),              "1 more number"),
    (Cause("prices", "texts", "outbound", 0, -1),            "prices of outbound texts"),
    (Cause("mix", "calls", "outbound", 0, 1),                "a dearer mix of outbound calls"),
    (Cause("mix", "calls", "outbound", 0, -1),               "a cheaper mix of outbound calls"),
    (Cause("taxes", "taxes", "", 0, 1),                      "taxes"),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "words"), WORDS)
def test_a_cause_in_words(cause: Cause, words: str) -> None:
    assert cause_text(cause) == words


def test_a_change_in_words() -> None:
    assert change_said(4120, "October", "$") == "$41.20 more than October"
    assert change_said(-5, "October", "$") == "$0.05 less than October"
    assert change_said(0, "October", "$") == "As much as October"
