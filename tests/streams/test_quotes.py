"""Quotes over a ledger: by the account's own weeks, in the API and on the page alike."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.streams.test_document import document, faults  # noqa: F401
from tests.streams.test_page import browser as chromium  # noqa: F401
from tests.streams.test_page import needs_browser, opened
from tests.streams.test_web import Filled, Served, filled_ledger

NOW = datetime.now(UTC)
PATH = "/v1/accounts/{account}/quote"
NUMBERS = [{"to": "+44", "dials": 300}, {"to": "+1415", "dials": 200}, {"to": "+44", "dials": 100}]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Four weeks of dials, one in four of them answered; before them a day that does not count."""
    with filled_ledger(tmp_path_factory.mktemp("quotes") / "store") as filled:
        for n in range(12):
            dial(filled, NOW - timedelta(days=2 * n + 1), n, seconds=60 + n % 2, answered=not n % 4)
        for n in range(20):
            dial(filled, NOW - timedelta(days=60), 100 + n, seconds=3000, answered=True)
        yield filled


def dial(filled: Filled, at: datetime, n: int, *, seconds: int, answered: bool) -> None:
    filled.put(
        "dial", at, id=f"q{n}", status="completed" if answered else "no-answer",
        campaign_id="spring", direction="outbound", dialed_at=at.isoformat(),
        answered_at=at.isoformat() if answered else None,
        ended_at=(at + timedelta(seconds=seconds)).isoformat(),
        **{"from": "+14155550100", "to": "+442079460003"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


def ask(served: Served, account: str = "acme", **body: Any) -> httpx.Response:
    wanted = {"numbers": NUMBERS} | body
    return httpx.post(f"{served.url}/v1/accounts/{account}/quote", json=wanted, timeout=30)


def test_an_accounts_own_weeks_say_how_often_it_is_answered_and_for_how_long(
    served: Served,
    document: Any,  # noqa: F811
) -> None:
    answer = ask(served)
    assert answer.status_code == 200, answer.text
    assert faults(document, PATH, answer, "post") == []
    told = answer.json()
    assert told["answer_percent"]["likely"] == "25"
    assert told["minutes_per_dial"]["likely"] == "1.5"
    assert (told["dials"], told["unpriced"]) == (600, 0)
    for name in ("low", "likely", "high"):
        assert sum(Decimal(one[name]) for one in told["groups"]) == Decimal(told[name])
    assert 0 < Decimal(told["low"]) <= Decimal(told["likely"]) <= Decimal(told["high"])
    assert sorted(one["dials"] for one in told["groups"]) == [200, 400]


def test_what_is_given_stands_in_the_place_of_its_own(served: Served) -> None:
    given = {"answer_percent": "10", "minutes_per_dial": "2"}
    told = ask(served, account="nobody", **given).json()
    assert told["answer_percent"] == {"low": "10", "likely": "10", "high": "10"}
    assert told["low"] == told["likely"] == told["high"]
    plain = ask(served, account="nobody", detection=False, **given).json()
    assert Decimal(plain["likely"]) < Decimal(told["likely"])


REFUSED: list[dict[str, Any]] = [
    {"numbers": []},
    {"numbers": [{"to": "London"}]},
    {"numbers": [{"to": "+44", "dials": -1}]},
    {"answer_percent": "101"},
    {"minutes_per_dial": "-1"},
    {"minutes_per_dial": "1e2"},
    {"more": 1},
]


@pytest.mark.parametrize("body", REFUSED, ids=str)
def test_what_is_no_campaign_is_refused(
    served: Served,
    document: Any,  # noqa: F811
    body: dict[str, Any],
) -> None:
    answer = ask(served, **body)
    assert answer.status_code == 422, answer.text
    assert faults(document, PATH, answer, "post") == []


def test_an_account_without_dials_is_asked_for_a_pace(served: Served) -> None:
    answer = ask(served, account="globex")
    assert answer.status_code == 422
    assert "give an answer rate" in answer.json()["detail"]


def test_the_page_says_what_the_api_says(served: Served) -> None:
    form = {"list": "+44,400\n+1 415;200", "detection": "1"}
    text = httpx.post(f"{served.url}/accounts/acme/prices", data=form, timeout=30).text
    likely = Decimal(ask(served).json()["likely"])
    assert f"${likely.quantize(Decimal('0.01')):,}" in text
    assert "25 % are answered and each is 1.5 minutes" in text
    wrong = httpx.post(f"{served.url}/accounts/acme/prices", data={"list": "London"}, timeout=30)
    assert "line 1: write a number" in wrong.text
    assert "London" in wrong.text


@needs_browser
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page_fits_and_is_readable(
    chromium: Browser,  # noqa: F811
    served: Served,
    width: int,
) -> None:
    url = served.url + "/accounts/acme/prices"
    with opened(chromium, url, width, color_scheme="dark") as (page, complaints):
        page.get_by_label("A number or a prefix a line").fill("+44, 400\n+1415, 200")
        page.get_by_role("button", name="Quote").click()
        expect(page.get_by_text("are answered and each is")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert not complaints
