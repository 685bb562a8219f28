"""Budgets as their readers have them: the API, the page, the overview, and who may set them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from streams.maintenance.budgets import BudgetsJob
from streams.store.alerts import Attempt, read_recent, write_attempts
from streams.web.tokens import create_token
from tests.streams.test_page import browser as chromium  # noqa: F401
from tests.streams.test_page import needs_browser, opened
from tests.streams.test_web import Filled, Served, filled_ledger

NOW = datetime.now(UTC)
API, PAGE = "/v1/accounts/acme/budgets", "/accounts/acme/budgets"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("budgets") / "store") as filled:
        for n in range(4):
            filled.call(NOW, id=f"now-{n}", user_id=f"u{n % 2}")
        filled.text(NOW, id="now-text")
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


@pytest.fixture
def budgets(served: Served, filled: Filled) -> Iterator[None]:
    """Two: one that is spent, one that is hardly begun."""
    for name, body in (
        ("office", {"amount": "0.06", "lines": ["calls"]}),
        ("all <b>", {"amount": "900", "user": "u1"}),
    ):
        assert httpx.put(f"{served.url}{API}/{name}", json=body).status_code == 200
    yield
    for name in ("office", "all <b>"):
        httpx.delete(f"{served.url}{API}/{name}")


def stands(served: Served) -> dict[str, Any]:
    answer = served.get(API)
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["budgets"]}


async def test_what_a_budget_says_is_what_the_statement_says(
    served: Served, filled: Filled, budgets: None
) -> None:
    statement = served.get("/v1/accounts/acme/usage").json()
    found = stands(served)
    assert httpx.put(f"{served.url}{API}/whole", json={"amount": "5"}).status_code == 200
    whole = stands(served)["whole"]
    exact = sum((Decimal(line["charge"]) for line in statement["lines"]), Decimal())
    assert Decimal(whole["spent"]) == exact > 0
    assert 0 < Decimal(found["office"]["spent"]) < exact
    assert 0 < Decimal(found["all <b>"]["spent"]) < Decimal(found["office"]["spent"])
    assert whole["forecast"] is None  # a week of usage is not known
    assert httpx.delete(f"{served.url}{API}/whole").status_code == 204


async def test_what_was_told_is_on_the_page_in_the_api_and_on_the_overview(
    served: Served, filled: Filled, budgets: None
) -> None:
    assert await BudgetsJob(filled.ledger, lambda: filled.book).run() > 0
    ((told, _), *_) = read_recent(filled.ledger, 0)
    attempts = [
        Attempt("acme", told.alert_id, "topic", 1, True, ""),
        Attempt("acme", told.alert_id, "webhook", 1, False, "HTTP 500"),
        Attempt("acme", told.alert_id, "webhook", 2, True, "HTTP 204"),
    ]
    write_attempts(filled.ledger, attempts, datetime.now(UTC))
    answer = served.get(API).json()
    by_id = {one["id"]: one for one in answer["told"]}
    ways = {one["way"]: one for one in by_id[told.alert_id]["deliveries"]}
    assert (ways["webhook"]["attempts"], ways["webhook"]["sent"]) == (2, True)
    text = served.get(PAGE).text
    assert "sent at attempt 2 (HTTP 204)" in text
    for one in answer["told"]:
        assert one["sentence"].partition(" A budget tells")[0] in text
    assert "Budget office: 100 % of it is spent" in served.get("/accounts/acme").text
    assert served.get("/accounts/globex/budgets").text.count("office") == 0


def test_a_form_sets_and_deletes_and_a_wrong_one_says_why(served: Served) -> None:
    form = {"name": "by form", "amount": "12.50", "lines": "calls,video_calls"}
    answer = httpx.post(served.url + PAGE, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert stands(served)["by form"]["lines"] == ["calls", "video_calls"]
    assert "by form" in served.get(PAGE).text
    wrong = httpx.post(served.url + PAGE, data=form | {"amount": "much"})
    assert wrong.status_code == 422
    other = {"origin": "https://evil.example"}
    assert httpx.post(served.url + PAGE, data=form, headers=other).status_code == 403
    assert httpx.put(f"{served.url}{API}/x", json={"amount": "1"}, headers=other).status_code == 403
    httpx.post(served.url + PAGE, data={"name": "by form", "remove": "1"})
    assert "by form" not in stands(served)


def test_an_account_has_so_many_budgets_and_no_more(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.web.budgets.BUDGETS_MOST", 2)
    api = "/v1/accounts/many/budgets"
    put = [
        httpx.put(f"{served.url}{api}/{name}", json={"amount": "1"}).status_code for name in "abca"
    ]
    assert put == [200, 200, 422, 200]


# who             | scopes            | account | reads | sets
TOKENS = [
    ("reader",      ("read",),          "acme",   200,    403),
    ("manager",     ("manage",),        "acme",   403,    200),
    ("both",        ("read", "manage"), "acme",   200,    200),
    ("operator",    ("operate",),       "*",      403,    403),
    ("everywhere",  ("read", "manage"), "*",      200,    200),
    ("stranger",    ("read", "manage"), "globex", 403,    403),
]  # fmt: skip


def test_a_budget_is_set_by_a_token_that_may_manage_the_account(
    filled: Filled, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.toml"
    made = {who: create_token(path, who, account, scopes) for who, scopes, account, *_ in TOKENS}
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as served:
        for who, _, _, reads, sets in TOKENS:
            headers = {"Authorization": f"Bearer {made[who]}"}
            assert served.get(API, headers=headers).status_code == reads, who
            url = f"{served.url}{API}/by-token"
            assert httpx.put(url, json={"amount": "1"}, headers=headers).status_code == sets, who
            deleted = {200: 204, 403: 403}[sets]
            assert httpx.delete(url, headers=headers).status_code == deleted, who
            page = served.get(PAGE, headers=headers)
            assert page.status_code == reads
            assert ("Set a budget" in page.text) is ((reads, sets) == (200, 200)), who
            form = {"name": "by-token", "amount": "1"}
            posted = httpx.post(served.url + PAGE, data=form, headers=headers)
            assert posted.status_code == {200: 303, 403: 403}[sets], who
            httpx.delete(url, headers=headers)
        assert httpx.put(f"{served.url}{API}/x", json={"amount": "1"}).status_code == 401


# ------------------------------------------------------------------ as it is seen


@needs_browser
@pytest.mark.parametrize("width", [320, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_readable(
    chromium: Browser,  # noqa: F811
    served: Served,
    budgets: None,
    width: int,
    scheme: Any,
) -> None:
    with opened(chromium, served.url + PAGE, width, color_scheme=scheme) as (page, complaints):
        expect(page.get_by_role("heading", level=1)).to_contain_text("Budgets in")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.get_by_role("img", name=re.compile("is spent")).count() == 2
        assert not complaints
