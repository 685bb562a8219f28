"""Quotes: what is read of a list, an account's own pace, and what dials by it cost."""

from fractions import Fraction

import pytest

from rater import quote as quoting
from rater.money import NANOS
from rater.quote import (
    Pace,
    QuoteError,
    Week,
    fixed,
    pace_of,
    quote_of,
    read_list,
)
from tests.rater.make import SAMPLE, charges, dial, us

NOW_US = us("2026-11-28T12:00:00Z")

LISTS: list[tuple[str, dict[str, int]]] = [
    ("+44",                                {"+44": 1}),
    ("+44, 1000",                          {"+44": 1000}),
    ("+44;1000\n\n +1 415\t5\n",           {"+44": 1000, "+1415": 5}),
    ("+1 (415) 555-0100\n+14155550100,2",  {"+14155550100": 3}),
    ("911",                                {"911": 1}),
    ("+44,0",                              {"+44": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), LISTS)
def test_a_list_is_read_a_destination_a_line(text: str, found: dict[str, int]) -> None:
    assert read_list(text) == found


@pytest.mark.parametrize("text", ["", "\n", "London", "+44, many", "+44,-1", "=1+1", "+44,1,2"])
def test_what_is_no_list_is_refused_by_its_line(text: str) -> None:
    with pytest.raises(QuoteError, match=r"^(line 1|there is no number)"):
        read_list(text)


def test_a_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting, "LINES_MOST", 3)
    assert len(read_list("1\n2\n3\n1")) == 3
    with pytest.raises(QuoteError, match="more than 3 destinations"):
        read_list("1\n2\n3\n4")
    with pytest.raises(QuoteError, match="dials to one"):
        read_list("+44,100000001")


PACES = [
    # weeks of dials, answered, seconds       | answered low likely high | minutes low likely high
    ([(10, 5, 1200)],                           ("1/2", "1/2", "1/2"),     ("2", "2", "2")),
    ([(10, 5, 600), (0, 0, 0)],                 ("1/2", "1/2", "1/2"),     ("1", "1", "1")),
    ([(10, 1, 600), (30, 9, 3600)],             ("1/10", "1/4", "3/10"),   ("1", "7/4", "2")),
    ([(10, n, 60 * 10 * n) for n in range(1, 9)], ("1/5", "9/20", "7/10"), ("2", "9/2", "7")),
]  # fmt: skip


@pytest.mark.parametrize(("weeks", "answered", "minutes"), PACES)
def test_an_accounts_pace_is_its_own_weeks(
    weeks: list[tuple[int, int, int]], answered: tuple[str, ...], minutes: tuple[str, ...]
) -> None:
    pace = pace_of([Week(*week) for week in weeks])
    assert pace is not None
    assert pace.answered == tuple(map(Fraction, answered))
    assert pace.minutes == tuple(map(Fraction, minutes))


def test_without_dials_there_is_no_pace() -> None:
    assert pace_of([]) is None
    assert pace_of([Week(0, 0, 0)]) is None


def test_a_quote_of_whole_minutes_is_what_dialing_is_charged() -> None:
    """A thousand dials of one minute each, none detected, cost what a thousand charges do."""
    pace = Pace(fixed(Fraction(1, 3)), fixed(Fraction(1)))
    for to in ("+442079460003", "+13105550100"):
        (charge,) = charges(dial(60, to=to, account_id="acme"), SAMPLE)
        one = charge.cost.charge
        quote = quote_of({to: 1000}, pace, "acme", SAMPLE, NOW_US, detection=False)
        low, likely, high = quote.cost
        assert low == likely == high >= 1000 * one > 0
        (group,) = quote.groups
        assert (group.destinations, group.dials, quote.unpriced) == (1, 1000, 0)


def test_a_quote_adds_up_and_more_of_anything_costs_no_less() -> None:
    wanted = {"+44": 500, "+1415": 2000, "+1212": 100}
    small = Pace(fixed(Fraction(1, 5)), fixed(Fraction(1)))
    large = Pace(fixed(Fraction(2, 5)), fixed(Fraction(3, 2)))
    cost = {}
    for name, pace, detection in (("a", small, False), ("b", small, True), ("c", large, True)):
        quote = quote_of(wanted, pace, "acme", SAMPLE, NOW_US, detection=detection)
        assert sum(group.cost.likely for group in quote.groups) == quote.cost.likely
        assert sum(group.dials for group in quote.groups) + quote.unpriced == quote.dials == 2600
        cost[name] = quote.cost.likely
    assert cost["b"] - cost["a"] == 2600 * quote.detection // 5 > 0
    assert cost["c"] > cost["b"] > cost["a"] > NANOS


def test_what_has_no_price_is_counted_and_costs_nothing() -> None:
    pace = Pace(fixed(Fraction(1)), fixed(Fraction(1)))
    quote = quote_of({"+1": 3, "0": 4}, pace, "acme", SAMPLE, NOW_US, detection=False)
    assert quote.unpriced == 4
