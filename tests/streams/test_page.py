"""The page as its readers have it: wide and narrow, light and dark, and without scripts."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from rater.tariff import Book
from rater.tariff_file import load_book
from streams.web.page import PLACES, shown
from streams.web.tokens import create_token
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

PAGE = f"/accounts/acme?month={MONTH}"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ROWS = 12 + 8 + 3  # lines, and places for parts: of carrier fees, and of taxes
SHOWN = 12 + 2 + 3  # the parts that stand in January

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("page") / "store") as filled:
        filled.call(datetime(2025, 12, 3, 10, tzinfo=UTC))
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, width: int = 1280, **options: Any
) -> Iterator[tuple[Page, list[str]]]:
    """A page in a context of its own, and what its console complains of."""
    height = 900 if width > 500 else 844
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(url)
        yield page, complaints
    finally:
        context.close()


# ------------------------------------------------------------------ numbers


CASES = [
    # exact            field            shown          the exact rest
    ("0",              "charge",        "$0.00",       ""),
    ("5",              "charge",        "$5.00",       ""),
    ("0.0036",         "charge",        "$0.00",       "36"),
    ("12.3456",        "charge",        "$12.34",      "56"),
    ("158.68558",      "charge",        "$158.68",     "558"),
    ("1234567.891",    "charge",        "$1,234,567.89", "1"),
    ("-1234.5",        "charge",        "−$1,234.50",  ""),
    ("0.0085",         "average_price", "$0.0085",     ""),
    ("0.003966644",    "average_price", "$0.0039",     "66644"),
    ("49",             "average_price", "$49.0000",    ""),
    ("40000",          "quantity",      "40,000",      ""),
    ("999",            "quantity",      "999",         ""),
    ("12.5",           "quantity",      "12.50",       ""),
    ("0.533333333",    "quantity",      "0.53",        "3333333"),
    ("1000",           "amount",        "1,000",       ""),
]  # fmt: skip


@pytest.mark.parametrize(("exact", "field", "main", "fine"), CASES)
def test_a_number_is_shown_exactly(exact: str, field: str, main: str, fine: str) -> None:
    symbol = "$" if field in ("charge", "average_price") else ""
    assert shown(exact, PLACES.get(field, (0, 0)), symbol) == (main, fine)


@needs_browser
def test_the_script_shows_numbers_as_the_server_does(browser: Browser, served: Served) -> None:
    script = "([text, field]) => shown(text, PLACES[field] ?? [0, 0], MONEY.has(field) ? '$' : '')"
    with opened(browser, served.url + PAGE) as (page, _):
        for exact, field, main, fine in CASES:
            assert page.evaluate(script, [exact, field]) == [main, fine], exact


# ------------------------------------------------------------------ without scripts


def test_the_page_is_complete_as_it_comes_from_the_server(served: Served) -> None:
    text = served.get(PAGE).text
    statement = served.get(f"/v1{PAGE.replace('?', '/usage?')}").json()
    assert text.count("data-row=") == ROWS
    for name in ("total", "usage_total", "products_total"):
        assert f'data-total="{name}">${statement[name]}<' in text
    assert "months by America/New_York" in text
    assert "Estimate, as of" in text
    assert text.count("aria-live") == 1
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert "<script>" not in text, "a script inside the page is against its own policy"
    assert "style=" not in text


@pytest.mark.parametrize("account", ["<b>bold<b>", '"><script>alert(1)<script>', "'&amp;"])
def test_an_accounts_name_is_only_ever_text(served: Served, filled: Filled, account: str) -> None:
    filled.call(datetime.now(UTC) - timedelta(hours=2), account_id=account)
    text = served.get(f"/accounts/{quote(account, safe='')}").text
    assert f"Account <b>{escape(account)}</b>" in text
    assert account not in text


@needs_browser
def test_it_works_without_scripts(browser: Browser, served: Served) -> None:
    with opened(browser, served.url + PAGE, java_script_enabled=False) as (page, complaints):
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage in January 2026")
        expect(page.get_by_role("row")).to_have_count(SHOWN + 2)
        row = page.get_by_role("row", name="Outbound calls")
        expect(row.get_by_role("cell")).to_have_text(
            ["2 minutes 1 call", "$0.0130", "$0.026"], use_inner_text=True
        )
        page.get_by_role("link", name="Products").click()
        expect(page.get_by_role("rowheader", name="power-dialer")).to_be_visible()
        expect(page.get_by_role("row", name="Outbound calls")).to_have_count(0)
        page.get_by_label("Month").select_option("2025-12")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage in December 2025")
        expect(page.get_by_text("No products in December 2025.")).to_be_visible()
        page.get_by_role("link", name="Usage", exact=True).click()
        expect(page.get_by_role("row", name="Total usage")).to_contain_text("$0.0")
        assert not complaints


@needs_browser
def test_months_are_offered_newest_first_with_the_current_one(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served.url + "/") as (page, _):
        assert page.url.endswith("/accounts/acme")
        months = page.get_by_label("Month").locator("option").all_text_contents()
        assert months[-2:] == ["January 2026", "December 2025"]
        now = page.get_by_role("heading", level=1).inner_text().removeprefix("Usage in ")
        assert months[0] == now


# ------------------------------------------------------------------ how it looks and reads


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "path",
    [
        PAGE,
        PAGE + "&tab=products",
        "/accounts/acme?month=2025-12&tab=products",
        "/accounts/nobody",
        "/login",
    ],
)
def test_it_fits_the_window_and_axe_finds_nothing(
    browser: Browser, served: Served, path: str, width: int, scheme: str
) -> None:
    options = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, served.url + path, width, **options) as (page, complaints):
        if path.startswith("/accounts/acme"):
            expect(page.locator("[data-badge]")).to_have_text("Live")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert not [text for text in complaints if "404" not in text]


@needs_browser
def test_a_long_account_name_and_large_numbers_still_fit(
    browser: Browser, served: Served, filled: Filled
) -> None:
    account = "account-" + "0123456789abcdef" * 6
    at = datetime(2026, 1, 3, 10, tzinfo=UTC)
    for hours in range(3):
        filled.call(at + timedelta(hours=hours), seconds=86_000, account_id=account)
    for width in (1280, 700, 390, 320):
        with opened(browser, f"{served.url}/accounts/{account}?month={MONTH}", width) as (page, _):
            assert page.evaluate("document.documentElement.scrollWidth") <= width


# ------------------------------------------------------------------ live


def exact_of(text: str) -> Decimal:
    """A charge as shown, its exact rest with it: "−$1,234.50" or a dash."""
    digits = re.sub(r"[^0-9.−]", "", text).replace("−", "-")
    return Decimal(digits or 0)


def assert_shown_adds_up(page: Page) -> None:
    """What the eye sees: parts are their line's, the lines are the total, the totals the month."""
    rows: list[tuple[str, bool, Decimal]] = []
    for row in page.locator(".lines tbody tr").all():
        if row.is_visible():
            key = row.get_attribute("data-row") or ""
            part = "part" in (row.get_attribute("class") or "")
            rows.append((key.split("/")[0], part, exact_of(row.locator(".charge").inner_text())))
    for name in {name for name, part, _ in rows if part}:
        line = [charge for of, part, charge in rows if of == name and not part]
        assert [sum(charge for of, part, charge in rows if of == name and part)] == line, name
    shown = {
        name: [exact_of(text) for text in page.locator(f'[data-total="{name}"]').all_inner_texts()]
        for name in ("usage_total", "total")
    }
    # One total is hidden with its tab.
    products = exact_of(page.locator('.note [data-total="products_total"]').inner_text())
    (total,) = shown["total"]
    (usage,) = set(shown["usage_total"])
    assert usage + products == total
    exact = sum(charge for _, part, charge in rows if not part)
    assert abs(exact - usage) <= Decimal("0.01")


@needs_browser
@pytest.mark.parametrize("width", [1280, 320])
def test_what_is_shown_adds_up_and_what_cost_nothing_is_said(
    browser: Browser, served: Served, filled: Filled, width: int
) -> None:
    account, at = f"sums-{width}", datetime(2026, 1, 20, 10, tzinfo=UTC)
    for n, (direction, status, media, registered) in enumerate(
        [("outbound", "sent", "sms", True), ("outbound", "failed", "sms", True),
         ("inbound", "received", "sms", True), ("inbound", "received", "mms", False),
         ("outbound", "failed", "mms", True), ("outbound", "delivered", "mms", False)]
    ):  # fmt: skip
        filled.text(at, id=f"t{n}", account_id=account, direction=direction, status=status,
                    media=media, registered=registered)  # fmt: skip
    for n, answered in enumerate([None, at.isoformat()]):
        filled.put("amd", at, account_id=account, call_id=f"c{n}", verdict="human",
                   dialed_at=at.isoformat(), answered_at=answered)  # fmt: skip
    url = f"{served.url}/accounts/{account}?month={MONTH}"
    for scripts in (True, False):
        with opened(browser, url, width, java_script_enabled=scripts) as (page, complaints):
            if scripts:
                expect(page.locator("[data-badge]")).to_have_text("Live")
            texts = page.get_by_role("row", name="Outbound texts")
            expect(texts).to_contain_text("4 texts")
            expect(texts).to_contain_text("2 of them free")
            expect(page.get_by_role("row", name="voice detection")).to_contain_text(
                "1 of them free"
            )
            calls = page.locator('[data-row="calls/inbound"] td')
            assert set(calls.filter(visible=True).all_inner_texts()) == {"–"}
            expect(page.locator(".part:visible", has_text="Inbound SMS, registered")).to_have_count(
                1
            )
            assert_shown_adds_up(page)
            assert not complaints


def without_taxes(filled: Filled, folder: Path) -> Book:
    """The same book, and no table of taxes."""
    shutil.copytree(filled.settings.tariff.parent, folder, dirs_exist_ok=True)
    path = folder / filled.settings.tariff.name
    text = path.read_text()
    assert "tax_table" in text
    path.write_text(re.sub(r"(?m)^tax_table.*$", "", text))
    return load_book(path)


@needs_browser
def test_what_waits_and_what_tax_is_unknown_are_said_and_change_live(
    browser: Browser, served: Served, filled: Filled, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(filled, "book", without_taxes(filled, tmp_path))
    account, at = "waiting", datetime(2026, 1, 20, 10, tzinfo=UTC)
    filled.call(at, account_id=account)
    with opened(browser, f"{served.url}/accounts/{account}?month={MONTH}") as (page, complaints):
        expect(page.locator("[data-badge]")).to_have_text("Live")
        taxes = page.get_by_role("row", name="Taxes")
        expect(taxes).to_contain_text("unknown for 1 charge")
        expect(taxes.get_by_role("cell").last).to_have_text("–")
        expect(page.locator("[data-waiting]")).to_be_hidden()
        filled.park(at, account_id=account)
        filled.call(at, account_id=account)
        says = "1 event waits since 21 January and is not in the totals: 1 correction"
        expect(page.locator("[data-waiting]")).to_have_text(says)
        expect(taxes).to_contain_text("unknown for 2 charges")
        ticked = page.evaluate(CELLS)
        page.reload()
        expect(page.locator("[data-waiting]")).to_have_text(says)
        expect(page.locator("[data-badge]")).to_have_text("Live")
        assert page.evaluate(CELLS) == ticked
        assert not complaints
    other = served.get(f"/v1/accounts/{account}/usage?month=2026-02").json()
    assert other["waiting"] == {"count": 0, "since": None, "reasons": []}


CELLS = "() => [...document.querySelectorAll('td, th, [data-total]')].map(e => e.textContent)"


@needs_browser
def test_numbers_tick_after_a_write_and_equal_a_fresh_page(
    browser: Browser, served: Served, filled: Filled
) -> None:
    path = "/accounts/ticking?month=2026-04"
    at = datetime(2026, 4, 3, 10, tzinfo=UTC)
    filled.text(at, account_id="ticking")
    with opened(browser, served.url + path) as (page, complaints):
        expect(page.locator("[data-badge]")).to_have_text("Live")
        row = page.get_by_role("row", name="Outbound calls")
        expect(row.get_by_role("cell").first).to_have_text("–", use_inner_text=True)
        page.evaluate("window.same = true")
        filled.call(at, seconds=61, account_id="ticking")
        filled.text(at, media="mms", registered=False, account_id="ticking")
        expect(row.get_by_role("cell").first).to_have_text("2 minutes 1 call", use_inner_text=True)
        expect(row.get_by_role("cell").last).to_have_text("$0.026")
        unregistered = page.get_by_role("row", name="Outbound MMS, unregistered")
        expect(unregistered).to_contain_text("1 text")
        filled.text(at, direction="inbound", status="failed", account_id="ticking")
        expect(page.get_by_role("row", name="Inbound texts")).to_contain_text("1 of them free")
        assert_shown_adds_up(page)
        assert page.evaluate("window.same"), "it ticks without a reload"
        ticked = page.evaluate(CELLS)
        page.reload()
        expect(page.locator("[data-badge]")).to_have_text("Live")
        assert page.evaluate(CELLS) == ticked
        assert not complaints


@needs_browser
@pytest.mark.parametrize(("motion", "flashes"), [("no-preference", True), ("reduce", False)])
def test_a_changed_number_flashes_unless_the_reader_wants_calm(
    browser: Browser, served: Served, filled: Filled, motion: Any, flashes: bool
) -> None:
    account = f"flash-{motion}"
    url = f"{served.url}/accounts/{account}?month=2026-05"
    filled.text(datetime(2026, 5, 3, 10, tzinfo=UTC), account_id=account)
    with opened(browser, url, reduced_motion=motion) as (page, _):
        expect(page.locator("[data-badge]")).to_have_text("Live")
        page.evaluate(
            """() => {
                window.flashes = 0;
                const animate = Element.prototype.animate;
                Element.prototype.animate = function (...all) {
                    window.flashes++;
                    return animate.apply(this, all);
                };
            }"""
        )
        filled.call(datetime(2026, 5, 3, 10, tzinfo=UTC), account_id=account)
        row = page.get_by_role("row", name="Outbound calls")
        expect(row.get_by_role("cell").last).to_have_text("$0.026")
        assert (page.evaluate("window.flashes") > 0) is flashes


@needs_browser
def test_tabs_switch_without_a_reload_and_the_month_keeps_the_tab(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served.url + PAGE) as (page, _):
        page.evaluate("window.same = true")
        page.get_by_role("link", name="Products").click()
        expect(page.get_by_role("row", name="Outbound calls")).to_have_count(0)
        expect(page.get_by_role("rowheader", name="power-dialer")).to_be_visible()
        assert page.evaluate("window.same")
        assert page.url.endswith(f"month={MONTH}&tab=products")
        page.get_by_label("Month").select_option("2025-12")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("No products in December 2025.")).to_be_visible()


@needs_browser
def test_the_page_says_when_it_is_cut_off_and_when_it_is_live_again(
    browser: Browser, filled: Filled
) -> None:
    with Served(filled) as first:
        port = int(first.url.rpartition(":")[2])
        context = browser.new_context()
        page = context.new_page()
        page.clock.install()
        page.goto(first.url + PAGE)
        badge = page.locator("[data-badge]")
        expect(badge).to_have_text("Live")
    expect(badge).to_have_text("Reconnecting")
    page.clock.fast_forward(16_000)
    as_of = page.locator("[data-as-of]").inner_text()[:5]
    expect(badge).to_have_text(f"Stale since {as_of}")
    expect(page.get_by_role("status")).to_have_text(f"Live totals are stale since {as_of}")
    with Served(filled, port=port):
        page.clock.fast_forward(26_000)
        expect(badge).to_have_text("Live", timeout=15_000)
        context.close()


@needs_browser
def test_signing_in_leads_to_the_page_and_out_of_it(
    browser: Browser, filled: Filled, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    token = create_token(path, "acme", "acme")
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as guarded, opened(browser, guarded.url + PAGE) as (page, _):
        page.get_by_label("Access token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("This token is not known.")
        page.get_by_label("Access token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage in January 2026")
        expect(page.locator("[data-badge]")).to_have_text("Live")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
