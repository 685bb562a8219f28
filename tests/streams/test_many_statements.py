"""Many accounts' statements are read in as few questions as one account's, and are the same."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest

from rater.tariff import Book
from streams.maintenance.recurring import make_months
from streams.store import statements
from streams.store.ledger import Ledger
from streams.store.statements import (
    parts_of,
    read_products,
    read_products_of,
    read_standing,
    read_statement,
)
from tests.conftest import Log, call, number, subscription, text

AUGUST, JULY = date(2026, 8, 1), date(2026, 7, 1)
AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


def account_of(n: int) -> str:
    return f"o'account-{n}"


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    asked: list[str] = []
    query = Ledger.query

    def count(self: Ledger, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        asked.append(sql)
        return query(self, sql, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "query", count)
        yield asked


def fill(ledger: Ledger, book: Book) -> None:
    events: list[dict[str, Any]] = []
    for n in range(12):
        own = {"account_id": account_of(n)}
        events += [call(id=f"c{n}-{k}", **own) for k in range(n)]
        events.append(text(id=f"t{n}", media="mms", **own))
        if n % 3 == 0:
            events.append(subscription(id=f"s{n}", subscription_id=f"sub-{n}", **own))
            events.append(number(id=f"n{n}", **own))
        if n % 4 == 0:  # it corrects another, and waits
            events.append(call(id=f"w{n}", revision=1, **own))
    ledger.write(Log(events).batch(book))
    make_months(ledger, book, [JULY, AUGUST], as_of=AS_OF)


def test_many_are_read_in_two_questions_and_each_is_as_if_it_were_alone(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, book)
    keys = [(account_of(n), month) for n in range(14) for month in (AUGUST, JULY)]
    with counted(monkeypatch) as asked:
        standing = read_standing(ledger, book, keys)
    assert len(asked) == 2
    for key in keys:
        alone = read_statement(ledger, book, *key)
        assert standing[key].statement._replace(as_of="") == alone._replace(as_of="")
    assert sum(bool(one.statement.waiting) for one in standing.values()) == 3
    assert len({one.statement.total_cents for one in standing.values()}) > 10
    products = read_products_of(ledger, keys)
    assert products == {key: read_products(ledger, *key) for key in keys}
    assert sum(map(bool, products.values())) > 2


def test_more_than_fit_in_one_question_are_read_in_several(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ledger, book)
    keys = [(account_of(n), AUGUST) for n in range(12)]
    whole = read_standing(ledger, book, keys)
    monkeypatch.setattr(statements, "ASKED_AT_ONCE", 5)
    with counted(monkeypatch) as asked:
        parts = read_standing(ledger, book, keys)
    assert len(asked) == 6
    assert {key: one.statement.total_cents for key, one in parts.items()} == {
        key: one.statement.total_cents for key, one in whole.items()
    }
    assert read_standing(ledger, book, []) == {}


def test_what_is_asked_at_once_fits_a_parameter_whatever_accounts_are_called() -> None:
    names = [f"{n:04}" + "\N{MONEY BAG}" * 252 for n in range(450)]
    short = [(f"account-{n}", AUGUST) for n in range(450)]
    assert [len(part) for part in parts_of(short)] == [200, 200, 50]
    parts = list(parts_of(names))
    assert [one for part in parts for one in part] == names
    assert max(len(str(part).encode()) for part in parts) < 128 * 1024
