"""A row can be rated again from itself: nothing of its event is asked for."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater.decode import decode
from rater.event_rows import state_of
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.monthly import Telling, charge_month
from rater.rate import Parked, rate
from rater.rerate import rate_again
from rater.tariff import Memo
from tests.rater.drawn import DrawnBook, books, declared
from tests.rater.make import RECEIVED, SAMPLE, charge, modest, read_drawn, text, us

BY_EVENT = sorted(name for name, kind in KINDS.items() if kind.usage is not None)
RECURRING = sorted(name for name, kind in KINDS.items() if kind.lifecycle and kind.lifecycle.line)


def drawn_event(data: st.DataObject, kind: str) -> Event | None:
    raw = json.dumps(data.draw(declared(KINDS[kind])) | {"revision": 0}).encode()
    event = decode(KINDS[kind], raw, us(RECEIVED))
    return event if isinstance(event, Event) else None


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=80)
@given(drawn=books(), data=st.data())
def test_a_row_rated_again_is_the_same_in_all_its_columns(
    kind: str, drawn: DrawnBook, data: st.DataObject
) -> None:
    book, _ = read_drawn(drawn)
    event = drawn_event(data, kind)
    if event is None:
        return
    for rated_by in (SAMPLE, book):
        rows = rate(event, rated_by)
        if isinstance(rows, list):
            memo = Memo()
            assert [rate_again(row, rated_by, memo) for row in rows] == rows


@pytest.mark.parametrize("kind", BY_EVENT)
@settings(modest, max_examples=80)
@given(drawn=books(), data=st.data())
def test_a_row_rated_again_by_another_book_is_what_the_event_costs_by_it(
    kind: str, drawn: DrawnBook, data: st.DataObject
) -> None:
    book, _ = read_drawn(drawn)
    event = drawn_event(data, kind)
    rows = rate(event, SAMPLE) if event else None
    if event is None or not isinstance(rows, list):
        return
    again = [rate_again(row, book) for row in rows]
    by_the_event = rate(event, book)
    if isinstance(by_the_event, Parked):
        assert by_the_event in again  # the first of its lines that has no price
    else:
        assert again == by_the_event


@pytest.mark.parametrize("kind", RECURRING)
@settings(modest, max_examples=60)
@given(drawn=books(), data=st.data())
def test_a_recurring_charge_is_made_again_from_its_row(
    kind: str, drawn: DrawnBook, data: st.DataObject
) -> None:
    book, _ = read_drawn(drawn)
    event = drawn_event(data, kind)
    state = state_of(event) if event else None
    if event is None or state is None:
        return
    told = [Telling(event.account_id, event.kind, event.id, 1, state)]
    month = data.draw(st.builds(date, st.integers(2025, 2026), st.integers(1, 12), st.just(1)))
    for charged_by in (SAMPLE, book):
        made, _ = charge_month(told, month, charged_by, as_of_us=us(RECEIVED))
        for one in made:
            assert rate_again(one.charge, charged_by) == one.charge


def test_a_price_that_came_since_is_told_of_the_row() -> None:
    row = charge(text(carrier="AT&T", segments=3), line="texts")
    again: Any = rate_again(row.changed(unit_price=1, charge=1), SAMPLE)
    assert again == row
