"""Rows rated again from what the ledger has of them: nothing of an event is asked for."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from rater.charge import MONEY, Charge, Cost, Terms
from rater.instants import to_us
from rater.kinds import KINDS
from rater.rate import Parked
from rater.rerate import rate_again
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.kafka.simulate import Simulator
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, add_columns
from streams.store.events import NAMES
from streams.store.ledger import Ledger
from tests.conftest import Logged

LOGGED_MS = 1_793_923_200_000  # 2026-11-06T00:00:00Z


def write_traffic(ledger: Ledger, book: Book) -> None:
    """Events of every kind, by column and row by row, and a month's recurring charges."""
    simulator = Simulator(seed=7, accounts=3)
    events = list(simulator.opening())
    for hour in range(90):
        events += simulator.happen(datetime(2026, 10, 20, hour % 24, 10, tzinfo=UTC))
    batch = Batch()
    for nth, (name, kind) in enumerate(KINDS.items()):
        records = [
            Logged(n, LOGGED_MS + nth, None, orjson.dumps(orjson.loads(event.value)))
            for n, event in enumerate(events)
            if event.kind == name
        ]
        if records:
            add_columns(batch, kind, kind.topic, [(0, records)], book)
    ledger.write(batch)
    make_months(ledger, book, [date(2026, 10, 1)], as_of=datetime(2026, 11, 6, tzinfo=UTC))


def read_charges(ledger: Ledger) -> list[Charge]:
    columns = [*Charge._fields[:-2], *Terms._fields, *Cost._fields]
    names = ", ".join(NAMES.get(name, name) for name in columns)
    rows = ledger.query(f"SELECT {names} FROM rated FINAL WHERE status != 'voided'")
    charges = []
    for row in rows:
        of = {name: plain(name, value) for name, value in zip(columns, row, strict=True)}
        own = {name: of[name] for name in Charge._fields[:-2]}
        terms = Terms(**{name: of[name] for name in Terms._fields})
        charges.append(
            Charge(**own, terms=terms, cost=Cost(**{name: of[name] for name in Cost._fields}))
        )
    return charges


def plain(name: str, value: Any) -> Any:
    if name in MONEY:
        return int(Decimal(value).scaleb(9))
    if isinstance(value, datetime):
        return to_us(value if value.tzinfo else value.replace(tzinfo=UTC))
    return bool(value) if name == "dialed" else value


def test_rows_of_the_ledger_rated_again_are_the_same(ledger: Ledger, book: Book) -> None:
    write_traffic(ledger, book)
    charges = read_charges(ledger)
    lines = {charge.terms.line for charge in charges}
    assert len(lines) >= 8, lines
    assert [one for one in charges if rate_again(one, book) != one] == []


def test_rows_of_the_ledger_rated_by_other_prices_are_what_those_say(
    ledger: Ledger, book: Book, tmp_path: Any
) -> None:
    write_traffic(ledger, book)
    dear = tmp_path / "dear.toml"
    dear.write_text(
        'currency = "USD"\n[accounts.default]\ntariff = "dear"\nzone = "UTC"\n'
        '[[tariff]]\nname = "dear"\nvalid_from = 2012-01-01T00:00:00Z\n'
        '[[tariff.price]]\nline = "calls"\nunit = "minute"\nrate = 1\n'
    )
    other = load_book(dear)
    seen = 0
    for charge in read_charges(ledger):
        again = rate_again(charge, other)
        if charge.terms.line == "calls":
            assert isinstance(again, Charge)
            minutes = max(1, -(-charge.cost.raw_seconds // 60))
            assert again.cost.charge == minutes * 1_000_000_000
            assert (again.terms.tariff, again.event_id) == ("dear", charge.event_id)
            seen += 1
        else:
            assert isinstance(again, Parked)
    assert seen > 10
