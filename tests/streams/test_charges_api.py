"""Charges, groups and explanations of the API: the same figures and words as page and terminal."""

import html
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from streams.cli.main import main
from streams.store.events import GROUPINGS
from streams.web import charges
from tests.conftest import environment
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

AT = datetime(2026, 1, 10, 15, tzinfo=UTC)
EVENTS = "/v1/accounts/acme/events"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("charges") / "store") as filled:
        for n in range(12):
            at = AT + timedelta(hours=9 * n)
            times = {"dialed_at": at.isoformat(), "answered_at": at.isoformat()}
            filled.put(
                "dial", at, id=f"d{n}", status="completed", campaign_id=f"spring-{n % 3}",
                ended_at=(at + timedelta(seconds=31 * n)).isoformat(), user_id=f"u{n % 2}",
                direction="outbound", **({"from": "+14155550100", "to": "+442079460003"} | times),
            )  # fmt: skip
            filled.text(at, id=f"t{n}", status="failed" if n % 5 == 0 else "sent")
        filled.park(AT, id="waits")
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


def ask(served: Served, path: str, **query: Any) -> Any:
    answer = served.get(path, params={"month": MONTH} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sum_of(rows: list[dict[str, Any]], *names: str) -> Decimal:
    return sum((Decimal(row[name]) for row in rows for name in names), Decimal(0))


# ------------------------------------------------------------------ pages of charges


FILTERS: list[dict[str, str]] = [
    {},
    {"line": "texts", "status": "failed"},
    {"campaign": "spring-1"},
    {"from": "2026-01-11", "to": "2026-01-12"},
    {"number": "+442079460003", "user": "u1"},
    {"least": "0.02"},
    {"least": "12"},
    {"campaign": "none such"},
]


@pytest.mark.parametrize("chosen", FILTERS, ids=str)
def test_pages_have_each_charge_once_and_add_up_to_the_filters_sum(
    served: Served, chosen: dict[str, str]
) -> None:
    rows: list[dict[str, Any]] = []
    answer = ask(served, EVENTS, limit=5, **chosen)
    sums = answer["sums"]
    while True:
        assert len(answer["rows"]) <= 5
        rows += answer["rows"]
        if answer["next"] is None:
            break
        answer = ask(served, EVENTS, limit=5, cursor=answer["next"], **chosen)
    assert len({(row["month"], row["line"], row["identity"]) for row in rows}) == len(rows)
    if not rows:
        assert sums == []
        return
    (whole,) = sums
    assert whole["amount"] == len(rows)
    assert Decimal(whole["charge"]) == sum_of(rows, "charge")
    assert Decimal(whole["tax"]) == sum_of(rows, "tax_federal", "tax_state", "tax_local")
    times = [row["occurred_at"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert all(isinstance(row[name], str) for row in rows for name in ("charge", "unit_price"))


def test_a_range_has_its_first_and_its_last_day_of_the_accounts_zone(served: Served) -> None:
    rows = ask(served, EVENTS, **{"from": "2026-01-11", "to": "2026-01-12"}, limit=500)["rows"]
    assert {row["occurred_at"] for row in rows} == {
        f"{at:%Y-%m-%dT%H:%M:%SZ}"
        for n in range(12)
        if (at := AT + timedelta(hours=9 * n)).date() and (at - timedelta(hours=5)).day in (11, 12)
    }


REFUSED = [
    "events?limit=0", "events?limit=501", "events?cursor=!!", "events?from=2026-02-30",
    "events?from=0001-01-01", "events?to=9999-12-31", "events?from=2026-02-01&to=2026-01-01",
    "events?cursor=" + "W1tb" * 500, "events?cursor=W3RydWUsICJhIiwgImIiXQ",
    "events?cursor=WzkyMjMzNzIwMzY4NTQ3NzU4MDgsICJhIiwgImIiXQ", "events?line=nonsense",
    "usage?by=nonsense", "usage?by=day,user,team", "usage?least=-", "events?least=1e30",
    "events?month=2026-13",
]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED)
def test_what_can_be_no_filter_is_refused_as_a_problem(served: Served, path: str) -> None:
    answer = served.get(f"/v1/accounts/acme/{path}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert isinstance(answer.json()["detail"], str)


# ------------------------------------------------------------------ groups


@pytest.mark.parametrize("by", [*GROUPINGS, "day,campaign", "user,status"])
def test_groups_add_up_to_the_statements_lines(served: Served, by: str) -> None:
    statement = ask(served, "/v1/accounts/acme/usage")
    answer = ask(served, "/v1/accounts/acme/usage", by=by)
    assert answer["by"] == by.split(",")
    for name in {line["line"] for line in statement["lines"]} - {"taxes"}:
        lines = [line for line in statement["lines"] if line["line"] == name]
        groups = [group for group in answer["groups"] if group["line"] == name]
        assert sum_of(groups, "charge") == sum_of(lines, "charge"), name
        assert sum_of(groups, "amount") == sum_of(lines, "amount"), name
    (taxes,) = (line for line in statement["lines"] if line["line"] == "taxes")
    assert sum_of(answer["groups"], "tax") == Decimal(taxes["charge"])
    of_taxes = ask(served, "/v1/accounts/acme/usage", by=by, line="taxes")
    assert sum_of(of_taxes["groups"], "charge") == Decimal(taxes["charge"])


def test_groups_are_bounded_and_what_is_left_out_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charges, "GROUPS_MOST", 4)
    answer = ask(served, "/v1/accounts/acme/usage", by="day,campaign")
    assert len(answer["groups"]) == 3
    for name in ("amount", "charge", "tax"):
        shown = sum_of(answer["groups"], name) + sum_of(answer["left_out"], name)
        assert shown == sum_of(answer["sums"], name)
    assert answer["left_out"][0]["amount"] > 0


# ------------------------------------------------------------------ explained


@pytest.mark.parametrize("event", ["text-1", "d3", "t5", "call/2", "waits"])
def test_page_api_and_command_say_the_same_words(
    served: Served, filled: Filled, event: str, capfd: pytest.CaptureFixture[str]
) -> None:
    part = event.replace("/", "%2F")
    explained = ask(served, f"{EVENTS}/{part}/explain")
    page = html.unescape(served.get(f"/accounts/acme/events/{part}").text)
    store = filled.settings.clickhouse_url.removeprefix("chdb:")
    said = run(capfd, "explain", "acme", event, "--store", store)
    as_json = run(capfd, "explain", "acme", event, "--store", store, "--json")
    assert json.loads(as_json) == explained
    sentences = [one["sentence"] for one in (*explained["rows"], *explained["outcomes"])]
    assert sentences
    for words in (*sentences, *(tax for row in explained["rows"] for tax in row["taxes"])):
        assert words in page
        assert words in said
    assert len(explained["outcomes"]) == (event == "waits")


def test_an_event_that_waits_has_its_outcome(served: Served) -> None:
    explained = ask(served, f"{EVENTS}/waits/explain")
    assert explained["rows"] == []
    (outcome,) = explained["outcomes"]
    assert (outcome["outcome"], outcome["kind"]) == ("parked", "call")
    assert outcome["sentence"].startswith("It waits for a price")


def test_the_command_says_that_an_event_is_not_known(
    filled: Filled, capfd: pytest.CaptureFixture[str]
) -> None:
    store = filled.settings.clickhouse_url.removeprefix("chdb:")
    said = run(capfd, "explain", "other", "text-1", "--store", store, status=1)
    assert "no event 'text-1' of this account is known" in said


def run(capfd: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What `rater` says on both its outputs."""
    capfd.readouterr()
    with environment(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rater", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capfd.readouterr()
    assert ended.value.code == status, said
    return said.out + said.err
