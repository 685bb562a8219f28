"""The client against the API, really served: it says what the API says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from streams.client import Client, ProblemError, client
from streams.web.tokens import create_token
from tests.streams.test_web import MONTH, USAGE, Filled, Served, filled_ledger

AT = datetime(2026, 1, 10, 15, tzinfo=UTC)
ODD = "a/b é"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("client") / "store") as filled:
        for n in range(9):
            filled.call(AT + timedelta(hours=n), id=f"c{n}", user_id=f"u{n % 2}")
        filled.call(AT, id=ODD, account_id=ODD)
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


def test_it_reads_what_the_api_says(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE_ROWS", 4)
    acme = Client(served.url, account="acme")
    wanted = served.get(USAGE).json()
    for _ in range(2):  # the second time it is not sent again
        assert acme.statement(MONTH) | {"as_of": ""} == wanted | {"as_of": ""}
    assert acme.months() == ["2026-01"]
    charges = list(acme.charges(month=MONTH, user="u0"))
    assert [charge["event_id"] for charge in charges] == ["c8", "c6", "c4", "c2", "c0"]
    groups = acme.groups("day", "user", month=MONTH, user="u0")
    assert sum(Decimal(one["charge"]) for one in groups["sums"]) == sum(
        Decimal(charge["charge"]) for charge in charges
    )
    of_a_day = acme.charges(from_="2026-01-15", to="2026-01-15", line="texts")
    assert {charge["event_id"] for charge in of_a_day} == {"text-1", "text-2"}
    file = b"".join(acme.file("events", "json", month=MONTH, user="u0"))
    assert {row["event_id"] for row in json.loads(file)} == {"c8", "c6", "c4", "c2", "c0"}


def test_any_account_and_event_can_be_asked_for(served: Served) -> None:
    explained = Client(served.url + "/", account=ODD).explain(ODD)
    assert (explained["account_id"], len(explained["rows"])) == (ODD, 1)


def test_what_the_api_refuses_is_a_problem_with_its_reason(
    served: Served, filled: Filled, tmp_path: Path
) -> None:
    acme = Client(served.url, account="acme")
    with pytest.raises(ProblemError, match="404: account 'acme' has no usage in 1999-01"):
        acme.statement("1999-01")
    with pytest.raises(ProblemError) as refused:
        list(acme.file("events", "csv", least="x"))
    assert refused.value.status == 422
    path = tmp_path / "tokens.toml"
    token = create_token(path, "acme", "acme")
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as guarded:
        assert Client(guarded.url, token, account="acme").months() == ["2026-01"]
        with pytest.raises(ProblemError, match="403: the token is for another account"):
            Client(guarded.url, token, account="other").months()
        with pytest.raises(ProblemError, match="401: a token is needed"):
            Client(guarded.url, account="acme").months()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is no address of an API"):
        Client("usage.example", account="acme")
