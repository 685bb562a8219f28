"""What is billed by the month: what stood in it, told in any order, charged once."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.charge import Charge
from rater.money import format_nanos
from rater.monthly import Telling, charge_month, settle
from rater.rate import Wait
from rater.tariff import Book
from tests.rater.make import (
    LOS_ANGELES,
    MANHATTAN,
    RECEIVED,
    SAMPLE,
    make_book,
    modest,
    number,
    price,
    recording,
    subscription,
    telling,
    us,
)

FEBRUARY = date(2026, 2, 1)


def log(*events: dict[str, Any]) -> list[Telling]:
    """Events as they lie in the log, each with an id of its own unless it says one."""
    own = {"n1", "r1", "s1"}
    return [
        telling(event | {"id": f"e{place}"} if event["id"] in own else event, place)
        for place, event in enumerate(events)
    ]


def month_of_charges(
    tellings: Iterable[Telling],
    month: date = FEBRUARY,
    book: Book = SAMPLE,
    as_of: str = RECEIVED,
    charged: frozenset[tuple[str, str, str]] = frozenset(),
) -> list[Charge]:
    made, unpriced = charge_month(tellings, month, book, as_of_us=us(as_of), charged=charged)
    assert unpriced == []
    return [one.charge for one in made]


# ------------------------------------------------------------------ what stands

OWNED, RELEASED = number(), number(released_at="2026-03-01T00:00:00Z")
EARLIER = number(released_at="2026-02-01T00:00:00Z")

STANDING = [
    # the log                                          | the place that stands
    ([OWNED],                                            [0]),
    ([OWNED, RELEASED],                                  [1]),
    ([RELEASED, OWNED],                                  [0]),   # an end once told stands
    ([OWNED, RELEASED, OWNED],                           [1]),   # a re-send changes nothing
    ([OWNED, RELEASED, EARLIER],                         [2]),   # among ends, the last in the log
    ([OWNED, EARLIER, RELEASED],                         [2]),
    ([RELEASED, EARLIER, OWNED, OWNED],                  [1]),
    ([OWNED, OWNED],                                     [1]),
    # the same event told twice counts as it was told first
    ([RELEASED | {"id": "x"}, EARLIER | {"id": "x"}],    [0]),
    ([OWNED | {"id": "x"}, RELEASED | {"id": "x"}],      [0]),
    ([OWNED, RELEASED | {"id": "x"}, EARLIER, RELEASED | {"id": "x"}], [2]),
    # things of their own
    ([OWNED, number(number=LOS_ANGELES)],                [0, 1]),
    ([OWNED, number(acquired_at="2026-02-11T00:00:00Z")], [0, 1]),  # a number with acquired_at
    ([OWNED, number(account_id="acme")],                 [0, 1]),
    ([recording(), recording(recording_id="Q"), recording(duration_s=70)], [1, 2]),
    ([subscription(), subscription(ended_at="2026-02-01T00:00:00Z")], [1]),
    # a recording and a subscription of one name are two things
    ([recording(recording_id="S"), subscription()],      [0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("events", "places"), STANDING)
def test_an_end_once_told_stands_and_the_last_of_them(
    events: list[dict[str, Any]], places: list[int]
) -> None:
    tellings = log(*events)
    assert sorted(one.position for one in settle(tellings)) == places
    # whatever the order of writing
    assert sorted(one.position for one in settle(reversed(tellings))) == places


@st.composite
def _logs(draw: st.DrawFn) -> tuple[list[Telling], list[Telling]]:
    """A log of a few things told again and again, and the same tellings in another order."""
    days = st.sampled_from([None, "2026-01-20", "2026-02-01", "2026-02-10", "2026-03-05"])
    events = []
    for _ in range(draw(st.integers(1, 8))):
        end = draw(days)
        until = None if end is None else f"{end}T00:00:00Z"
        key = draw(st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6"]))
        match draw(st.sampled_from(["number", "recording", "subscription"])):
            case "number":
                since = draw(st.sampled_from(["2026-01-11", "2026-01-15"]))
                event = number(id=key, acquired_at=f"{since}T00:00:00Z", released_at=until)
            case "recording":
                event = recording(
                    id=key, stored_at="2026-01-01T00:00:00Z", deleted_at=until,
                    recording_id=draw(st.sampled_from("RQ")), duration_s=draw(st.integers(0, 99)),
                )  # fmt: skip
            case _:
                event = subscription(id=key, ended_at=until)
        events.append(event)
    tellings = [telling(event, place) for place, event in enumerate(events)]
    return tellings, draw(st.permutations(tellings))


@modest
@given(_logs())
def test_what_stands_does_not_depend_on_the_order_of_arrival(
    logs: tuple[list[Telling], list[Telling]],
) -> None:
    in_order, shuffled = logs
    assert set(settle(shuffled)) == set(settle(in_order))
    assert set(month_of_charges(shuffled)) == set(month_of_charges(in_order))


@modest
@given(_logs())
def test_a_log_read_again_changes_nothing(logs: tuple[list[Telling], list[Telling]]) -> None:
    tellings, shuffled = logs
    again = [*tellings, *shuffled]
    assert set(month_of_charges(again)) == set(month_of_charges(tellings))
    keys = [(row.account_id, row.terms.line, row.identity) for row in month_of_charges(again)]
    assert len(keys) == len(set(keys))


# ------------------------------------------------------------------ what stood in the month

SPANS = [
    # acquired                      released                      | February's charge
    ("2026-01-15T00:00:00Z",         None,                           "1"),
    ("2026-02-15T00:00:00Z",         None,                           "1"),
    ("2026-02-15T00:00:00Z",         "2026-02-15T00:00:00.000001Z",  "1"),  # at any time
    ("2026-02-28T23:59:59.999999Z",  None,                           "1"),
    ("2026-03-01T00:00:00Z",         None,                           None),
    ("2026-01-15T00:00:00Z",         "2026-02-01T00:00:00Z",         None),  # [from, until)
    ("2026-01-15T00:00:00Z",         "2026-02-01T00:00:00.000001Z",  "1"),
    ("2026-01-15T00:00:00Z",         "2027-01-01T00:00:00Z",         "1"),
    ("2026-02-10T00:00:00Z",         "2026-02-10T00:00:00Z",         None),  # it never stood
    ("2026-01-31T19:00:00-05:00",    "2026-02-01T00:00:01Z",         "1"),
    ("2020-01-01T00:00:00Z",         None,                           "1"),  # before the tariff
]  # fmt: skip


@pytest.mark.parametrize(("acquired", "released", "charged"), SPANS)
def test_a_number_owned_at_any_time_in_the_month_costs_the_whole_month(
    acquired: str, released: str | None, charged: str | None
) -> None:
    rows = month_of_charges(log(number(acquired_at=acquired, released_at=released)))
    assert [format_nanos(row.cost.charge) for row in rows] == ([] if charged is None else [charged])


PRICED = [
    # event                                                     | billed  unit      charge
    (number(),                                                    (1,     "number", "1")),
    (number(number=LOS_ANGELES, number_type="tollfree"),          (1,     "number", "2")),
    (subscription(),                                              (1,     "item",   "49")),
    (subscription(product="anything"),                            (1,     "item",   "19")),
    (recording(duration_s=0),                                     (1,     "minute", "0.001")),
    (recording(duration_s=50),                                    (1,     "minute", "0.001")),
    (recording(duration_s=60),                                    (1,     "minute", "0.001")),
    (recording(duration_s=61),                                    (2,     "minute", "0.002")),
    (recording(duration_s=3_600),                                 (60,    "minute", "0.06")),
    (recording(duration_s=86_400),                                (1_440, "minute", "1.44")),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), PRICED)
def test_a_thing_costs_its_monthly_price(
    event: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    (row,) = month_of_charges(log(event))
    assert (row.cost.billed, row.terms.unit, format_nanos(row.cost.charge)) == expected
    assert (row.terms.month, row.terms.status, row.terms.kind) == (FEBRUARY, "rated", event["kind"])
    assert row.cost.raw_seconds == event.get("duration_s", 0)


def test_a_row_s_key_is_the_thing_and_the_month() -> None:
    rows = month_of_charges(log(number(), recording(call_id="c9"), subscription()))
    assert {(row.terms.line, row.identity, row.revision) for row in rows} == {
        ("phone_numbers", MANHATTAN, 0),
        ("recording_storage", "R", 0),
        ("subscriptions", "S", 0),
    }
    assert {row.call_id for row in rows} == {"", "c9"}
    assert [row.to for row in rows if row.terms.line == "phone_numbers"] == [MANHATTAN]


@pytest.mark.parametrize(
    ("month", "count"), [("2026-01", 1), ("2026-02", 1), ("2026-03", 1), ("2026-04", 0)]
)
def test_a_recording_is_charged_in_each_month_it_was_stored(month: str, count: int) -> None:
    stored = recording(stored_at="2026-01-31T23:59:59Z", deleted_at="2026-03-01T00:00:01Z")
    rows = month_of_charges(log(stored), date.fromisoformat(f"{month}-01"))
    assert len(rows) == count


AGAIN = [
    # spans of one number in the log                                            | charges
    ([("2026-01-01", "2026-02-10"), ("2026-02-20", None)],                        ["1"]),
    ([("2026-02-01", "2026-02-02"), ("2026-02-03", "2026-02-04"), ("2026-02-05", None)], ["1"]),
    ([("2026-01-01", "2026-01-20"), ("2026-02-20", None)],                        ["1"]),
    ([("2026-01-01", None), ("2026-02-20", None)],                                ["1"]),
    ([("2026-01-01", "2026-01-20"), ("2026-03-20", None)],                        []),
]  # fmt: skip


@pytest.mark.parametrize(("spans", "charged"), AGAIN)
def test_a_number_acquired_again_in_the_month_is_charged_once(
    spans: list[tuple[str, str | None]], charged: list[str]
) -> None:
    tellings = log(*(owned(since, until) for since, until in spans))
    rows = month_of_charges(tellings)
    assert [format_nanos(row.cost.charge) for row in rows] == charged


def owned(since: str, until: str | None) -> dict[str, Any]:
    released = None if until is None else f"{until}T00:00:00Z"
    return number(acquired_at=f"{since}T00:00:00Z", released_at=released)


# ------------------------------------------------------------------ a part of a month

THREE = make_book(price("phone_numbers", "3", "number", "prorate = true"))
NY_743 = make_book(
    price("phone_numbers", "743", "number", "prorate = true"), zone="America/New_York"
)
MARCH = date(2026, 3, 1)

PARTS = [
    # book   month      spans                                                 | charge
    (THREE,  FEBRUARY, [("2026-01-01", None)],                                     "3"),
    (THREE,  FEBRUARY, [("2026-02-15", None)],                                     "1.5"),
    (THREE,  FEBRUARY, [("2026-01-01", "2026-02-15")],                             "1.5"),
    (THREE,  FEBRUARY, [("2026-02-10", "2026-02-11")],                             "0.107142857"),
    (THREE,  FEBRUARY, [("2026-02-01", "2026-02-08"), ("2026-02-22", None)],       "1.5"),
    # owned by two tellings at one time: still no more than the whole month
    (THREE,  FEBRUARY, [("2026-01-01", None), ("2026-02-15", None)],               "3"),
    (THREE,  FEBRUARY, [("2026-02-01", "2026-02-15"), ("2026-02-08", "2026-02-22")], "2.25"),
    # March has 743 hours in New York; 28 are left of it at midnight of the 31st in UTC
    (NY_743, MARCH,    [("2026-01-01", None)],                                     "743"),
    (NY_743, MARCH,    [("2026-03-31", "2026-03-31")],                             None),
    (NY_743, MARCH,    [("2026-03-31", None)],                                     "28"),
]  # fmt: skip


@pytest.mark.parametrize(("book", "month", "spans", "charged"), PARTS)
def test_a_part_of_a_month_is_prorated_where_the_tariff_says_so(
    book: Book, month: date, spans: list[tuple[str, str | None]], charged: str | None
) -> None:
    tellings = log(*(owned(since, until) for since, until in spans))
    rows = month_of_charges(tellings, month, book)
    assert [format_nanos(row.cost.charge) for row in rows] == ([] if charged is None else [charged])
    assert all("prorated" in row.cost.rule for row in rows)


# ------------------------------------------------------------------ months not begun

BEGUN = [
    # account    as of                            | charged
    ("someone",  "2026-01-31T23:59:59.999999Z",     False),
    ("someone",  "2026-02-01T00:00:00Z",            True),
    ("acme",     "2026-02-01T04:59:59.999999Z",     False),  # New York's month begins at 05:00
    ("acme",     "2026-02-01T05:00:00Z",            True),
]  # fmt: skip


@pytest.mark.parametrize(("account", "as_of", "is_charged"), BEGUN)
def test_a_month_that_has_not_begun_in_the_account_s_zone_has_no_charges(
    account: str, as_of: str, is_charged: bool
) -> None:
    tellings = log(number(account_id=account), subscription(account_id=account))
    rows = month_of_charges(tellings, as_of=as_of)
    assert len(rows) == (2 if is_charged else 0)


# ------------------------------------------------------------------ what was charged, and is not

KEY = ("someone", "phone_numbers", MANHATTAN)

VOIDS = [
    # the log                            charged before | status     billed  charge
    ([owned("2026-01-11", "2026-02-01")], {KEY},          [("voided", 0, "0")]),
    ([owned("2026-01-11", "2026-02-01")], set(),          []),
    ([owned("2026-01-11", "2026-02-02")], {KEY},          [("rated", 1, "1")]),
    ([owned("2026-01-11", None)],         {KEY},          [("rated", 1, "1")]),
    ([owned("2026-02-10", "2026-02-10")], {KEY},          [("voided", 0, "0")]),
    # it stood after all, by another telling of the same number
    ([owned("2026-01-11", "2026-02-01"), owned("2026-02-20", None)], {KEY}, [("rated", 1, "1")]),
    # what was charged is another's
    ([owned("2026-01-11", "2026-02-01")], {("acme", "phone_numbers", MANHATTAN)}, []),
    ([owned("2026-01-11", "2026-02-01")], {("someone", "phone_numbers", LOS_ANGELES)}, []),
]  # fmt: skip


@pytest.mark.parametrize(("events", "charged", "expected"), VOIDS)
def test_what_was_charged_and_did_not_stand_becomes_a_row_of_nothing(
    events: list[dict[str, Any]],
    charged: set[tuple[str, str, str]],
    expected: list[tuple[str, int, str]],
) -> None:
    rows = month_of_charges(log(*events), charged=frozenset(charged))
    assert [
        (row.terms.status, row.cost.billed, format_nanos(row.cost.charge)) for row in rows
    ] == expected
    for row in rows:
        assert (row.account_id, row.terms.line, row.identity) == KEY
        assert ("did not stand in the month" in row.cost.rule) == (row.terms.status == "voided")


# ------------------------------------------------------------------ without a price

ONLY_LOCAL = make_book(
    price("phone_numbers", "1", "number", 'match = { number_type = "local" }')
)  # fmt: skip
FROM_MARCH = make_book(price("phone_numbers", "1", "number"), valid_from="2026-03-01T00:00:00Z")

WITHOUT = [
    # event                          book         | reason            the message names
    (subscription(),                 ONLY_LOCAL,    Wait.NO_PRICE,    "subscriptions"),
    (recording(),                    ONLY_LOCAL,    Wait.NO_PRICE,    "recording_storage"),
    (number(number_type="tollfree"), ONLY_LOCAL,    Wait.NO_PRICE,    "phone_numbers"),
    (number(),                       FROM_MARCH,    Wait.NO_VERSION,  "'t'"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "book", "reason", "names"), WITHOUT)
def test_a_thing_without_a_price_waits_and_the_others_do_not(
    event: dict[str, Any], book: Book, reason: Wait, names: str
) -> None:
    other = number(number=LOS_ANGELES)
    made, unpriced = charge_month(log(event, other), FEBRUARY, book, as_of_us=us(RECEIVED))
    reasons = {one.position: parked.reason for one, parked in unpriced}
    assert reasons[0] is reason
    assert names in unpriced[0][1].message
    assert [one.charge.to for one in made] == ([] if book is FROM_MARCH else [LOS_ANGELES])


CHANGED = make_book(
    price("phone_numbers", "1", "number", "valid_until = 2026-02-16T00:00:00Z")
    + price("phone_numbers", "2", "number", "valid_from = 2026-02-16T00:00:00Z")
)


@pytest.mark.parametrize(
    ("acquired", "charged"),
    [("2026-01-11", "1"), ("2026-02-15", "1"), ("2026-02-16", "2"), ("2026-02-20", "2")],
)
def test_the_price_is_that_of_the_first_instant_it_stood_in_the_month(
    acquired: str, charged: str
) -> None:
    (row,) = month_of_charges(log(owned(acquired, None)), book=CHANGED)
    assert format_nanos(row.cost.charge) == charged
