"""Properties: what holds for every event, and that the product and the oracle agree on each."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rater.charge import Charge
from rater.monthly import charge_month
from rater.months import next_month
from rater.price import Price
from rater.rate import Parked, rate
from rater.statement import make_statement, statement_to_json
from rater.tariff import Memo
from schemas import SAMPLE_TARIFF
from tests import oracle
from tests.rater.drawn import ACCOUNTS, EVENTS, LENGTHS, DrawnBook, books, calls, things
from tests.rater.make import (
    RECEIVED,
    SAMPLE,
    a_price,
    a_usage,
    charges,
    decoded,
    modest,
    read_drawn,
    sums,
    tax,
    telling,
    us,
)

ORACLE_BOOK = oracle.load_book(SAMPLE_TARIFF)

# ------------------------------------------------------------------ the product and the oracle


def dollars(nanos: int) -> Decimal:
    return Decimal(nanos).scaleb(-9)


Rows = dict[tuple[Any, ...], tuple[Any, ...]]


def product_rows(rows: list[Charge]) -> Rows:
    """Keyed by identity: what is billed, charged and taxed, exactly."""
    return {
        (row.account_id, f"{row.terms.month:%Y-%m}", row.terms.line, row.identity, row.revision): (
            row.terms.direction or None, Decimal(row.cost.billed), row.terms.unit,
            row.cost.billed_seconds, row.cost.segments, dollars(row.cost.charge),
            dollars(row.cost.tax_federal), dollars(row.cost.tax_state), dollars(row.cost.tax_local),
        )
        for row in rows
    }  # fmt: skip


def oracle_rows(rows: dict[oracle.Identity, oracle.Row]) -> Rows:
    return {
        tuple(identity): (
            row.direction, row.billed, row.unit, row.billed_seconds, row.segments, row.charge,
            row.tax_federal, row.tax_state, row.tax_local,
        )
        for identity, row in rows.items()
    }  # fmt: skip


@settings(modest, max_examples=400)
@given(EVENTS)
def test_the_product_and_the_oracle_agree_on_every_event(event: dict[str, Any]) -> None:
    # The oracle gives a refused call its row of nothing even where no version holds.
    before = us(event.get("dialed_at") or event.get("ended_at") or RECEIVED) < us(
        "2012-01-01T00:00:00Z"
    )
    assume(not (before and "ended_at" in event and "dialed_at" not in event))
    ledger = oracle.rate_lines([event], ORACLE_BOOK)
    rated = rate(decoded(event), SAMPLE)
    if isinstance(rated, Parked):
        assert (ledger.rows, len(ledger.parked)) == ({}, 1)
    else:
        assert ledger.parked == []
        assert product_rows(rated) == oracle_rows(ledger.rows)


@settings(modest, max_examples=50)
@given(books(), st.lists(EVENTS, min_size=1, max_size=8))
def test_the_product_and_the_oracle_agree_where_accounts_and_days_change(
    drawn: DrawnBook, events: list[dict[str, Any]]
) -> None:
    book, oracle_book = read_drawn(drawn)
    for event in events:
        rated = rate(decoded(event), book)
        ledger = oracle.rate_lines([event], oracle_book)
        assert isinstance(rated, list)
        assert product_rows(rated) == oracle_rows(ledger.rows)
        assert [row.terms.zone for row in rated] == [row.zone for row in ledger.rows.values()]


MONTHS = st.builds(date, st.integers(2025, 2026), st.integers(1, 12), st.just(1))


@settings(modest, max_examples=200)
@given(things(), MONTHS, ACCOUNTS)
def test_the_product_and_the_oracle_agree_on_what_stood_in_a_month(
    told: list[dict[str, Any]], month: date, account: str
) -> None:
    tellings = [telling(event, place) for place, event in enumerate(told)]
    own = [one for one in tellings if one.account_id == account]
    made, unpriced = charge_month(own, month, SAMPLE, as_of_us=us(RECEIVED))
    ledger = oracle.rate_lines(told, ORACLE_BOOK)
    rows, parked = ledger.monthly(account, f"{month:%Y-%m}")
    assert product_rows([one.charge for one in made]) == oracle_rows(rows)
    assert len(unpriced) == len(parked) == 0


@settings(modest, max_examples=50)
@given(books(), things(), ACCOUNTS)
def test_the_product_and_the_oracle_agree_on_what_stood_where_accounts_change(
    drawn: DrawnBook, told: list[dict[str, Any]], account: str
) -> None:
    book, oracle_book = read_drawn(drawn)
    tellings = [telling(event, place) for place, event in enumerate(told)]
    own = [one for one in tellings if one.account_id == account]
    ledger = oracle.rate_lines(told, oracle_book)
    for month in (date(2026, 1, 1), date(2026, 2, 1), date(2026, 10, 1), date(2026, 11, 1)):
        made, unpriced = charge_month(own, month, book, as_of_us=us(RECEIVED))
        rows, parked = ledger.monthly(account, f"{month:%Y-%m}")
        assert product_rows([one.charge for one in made]) == oracle_rows(rows)
        assert len(unpriced) == len(parked) == 0


@settings(modest, max_examples=40)
@given(books(), ACCOUNTS)
def test_an_accounts_months_lie_end_to_end(drawn: DrawnBook, account: str) -> None:
    book, _ = read_drawn(drawn)
    month = date(2025, 12, 1)
    while month < date(2027, 1, 1):
        start_us, end_us = book.month_bounds_us(account, month)
        month = next_month(month)
        assert start_us < end_us == book.month_bounds_us(account, month)[0]


@settings(modest, max_examples=60)
@given(st.lists(EVENTS, max_size=12), things(), MONTHS, ACCOUNTS)
def test_the_product_and_the_oracle_agree_on_a_statement(
    events: list[dict[str, Any]], told: list[dict[str, Any]], month: date, account: str
) -> None:
    rows: list[Charge] = []
    ledger = oracle.rate_lines([*events, *told], ORACLE_BOOK)
    for event in events:
        rated = rate(decoded(event), SAMPLE)
        rows += rated if isinstance(rated, list) else []
    tellings = [telling(event, place) for place, event in enumerate(told)]
    months = {month} | {row.terms.month for row in rows}
    for each in months:
        assume(each >= date(2025, 1, 1))
        monthly, _ = charge_month(tellings, each, SAMPLE, as_of_us=us(RECEIVED))
        all_rows = rows + [one.charge for one in monthly]
        mine = [row for row in all_rows if (row.account_id, row.terms.month) == (account, each)]
        made = make_statement(
            sums(mine), account_id=account, month=each, zone="UTC", as_of="", currency="USD"
        )
        expected = ledger.statement(account, f"{each:%Y-%m}")
        shown = statement_to_json(made)
        for name in ("lines", "usage_total", "products_total", "total"):
            assert shown[name] == expected[name]


# ------------------------------------------------------------------ what holds for every price


@st.composite
def shapes(draw: st.DrawFn) -> Price:
    unit = draw(st.sampled_from(["minute", "second"]))
    whole = 60 if unit == "minute" else 1
    return a_price(
        unit=unit,
        rate=str(dollars(draw(st.integers(0, 10**10)))),
        connection_fee=str(dollars(draw(st.integers(0, 10**9)))),
        per=draw(st.sampled_from([1, 7, 60, 1_000])),
        first=draw(st.integers(1, 5)) * whole,
        following=draw(st.integers(1, 5)) * whole,
        minimum=draw(st.integers(0, 5)) * whole,
        start=draw(st.sampled_from(["dial", "answer"])),
        fraction=draw(st.sampled_from(["drop", "up"])),
        rounding=draw(st.sampled_from(["half-even", "half-up", "up"])),
    )


@modest
@given(shapes(), LENGTHS, LENGTHS, st.none() | st.just(0.0))
def test_a_longer_call_never_costs_less_and_no_quantity_shrinks(
    price: Price, one: timedelta, other: timedelta, answered: float | None
) -> None:
    short, long = sorted([one.total_seconds(), other.total_seconds()])
    less = price.bill(a_usage(short, answered_after_s=answered))
    more = price.bill(a_usage(long, answered_after_s=answered))
    assert more.charge >= less.charge >= 0
    assert more.raw_seconds >= less.raw_seconds
    assert more.billed_seconds >= less.billed_seconds
    assert more.billed >= less.billed
    if answered is not None:
        assert less.billed_seconds >= less.raw_seconds
        assert less.billed > 0


@modest
@given(st.sampled_from(["text", "segment", "message"]), st.integers(1, 255), st.integers(1, 255))
def test_a_longer_text_never_costs_less(unit: str, one: int, other: int) -> None:
    fewer, more = sorted([one, other])
    price = a_price("texts", "0.0079", unit)
    assert price.bill_quantity(0, more).charge >= price.bill_quantity(0, fewer).charge > 0


@modest
@given(calls(), st.integers(1, 10_000_000))
def test_an_event_that_ends_later_never_costs_less(event: dict[str, Any], more_us: int) -> None:
    assume("dialed_at" in event)
    length_us = us(event["ended_at"]) - us(event["dialed_at"])
    assume(length_us + more_us <= 86_400_000_000)
    ended = datetime.fromisoformat(event["ended_at"]).astimezone(UTC)
    later = event | {"ended_at": (ended + timedelta(microseconds=more_us)).isoformat()}
    first, second = rate(decoded(event), SAMPLE), rate(decoded(later), SAMPLE)
    assert isinstance(first, list) == isinstance(second, list)
    if isinstance(first, list) and isinstance(second, list):
        assert second[0].cost.charge >= first[0].cost.charge
        assert second[0].cost.billed >= first[0].cost.billed


@modest
@given(st.lists(EVENTS, max_size=10))
def test_the_sum_of_the_rows_is_the_statement(events: list[dict[str, Any]]) -> None:
    rows: list[Charge] = []
    for event in events:
        rated = rate(decoded(event), SAMPLE)
        rows += rated if isinstance(rated, list) else []
    made = make_statement(
        sums(rows), account_id="", month=date(2026, 2, 1), zone="UTC", as_of="", currency="USD"
    )
    exact = sum(row.cost.charge + tax(row) for row in rows)
    assert sum(line.whole.charge for line in made.lines) == exact
    assert made.total_cents == round(Fraction(exact, 10_000_000))  # Python rounds half to even


@modest
@given(st.lists(EVENTS, min_size=2, max_size=12), st.integers(1, 8))
def test_what_is_remembered_of_others_changes_no_charge(
    events: list[dict[str, Any]], room: int
) -> None:
    """Each is rated by a book that has seen nothing, and by one that has no room for all."""
    alone = [rate(decoded(event), SAMPLE) for event in events]
    for memo in (Memo(room), Memo()):
        assert [rate(decoded(event), SAMPLE, memo) for event in events * 2] == alone * 2


@modest
@given(st.lists(EVENTS, min_size=1, max_size=6), st.randoms())
def test_a_replay_in_any_order_changes_nothing(events: list[dict[str, Any]], random: Any) -> None:
    events = [event for event in events if isinstance(rate(decoded(event), SAMPLE), list)]
    once = product_rows([row for event in events for row in charges(event)])
    replayed = events + events
    random.shuffle(replayed)
    assert product_rows([row for event in replayed for row in charges(event)]) == once
