"""The page as its readers have it: wide and narrow, light and dark, and without scripts."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from markupsafe import escape
from playwright.sync_api import Browser, Page, expect, sync_playwright

from rater.tariff import Book
from rater.tariff_file import load_book
from streams.store.progress import tell_progress
from streams.web.numbers import Numbers
from streams.web.tokens import create_token
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger
from tests.support.readings import ROW, leaves_of, number_in

PAGE = f"/accounts/acme/usage?month={MONTH}"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ROWS = 12 + 2 + 3  # lines, and the parts that stand in January: of carrier fees, and of taxes

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


# An amount has cents, half to even; a price of one has four places; a count has none.
CASES = [
    # exact            as          for the eye       exact amounts
    ("0",              "money",    "$0.00",          "$0.00"),
    ("5",              "money",    "$5.00",          "$5.00"),
    ("0.0036",         "money",    "$0.00",          "$0.0036"),
    ("0.125",          "money",    "$0.12",          "$0.125"),
    ("0.135",          "money",    "$0.14",          "$0.135"),
    ("12.3456",        "money",    "$12.35",         "$12.3456"),
    ("158.68558",      "money",    "$158.69",        "$158.68558"),
    ("1234567.891",    "money",    "$1,234,567.89",  "$1,234,567.891"),
    ("-1234.5",        "money",    "−$1,234.50",     "−$1,234.50"),
    ("0.0085",         "price",    "$0.0085",        "$0.0085"),
    ("0.00396664",     "price",    "$0.0040",        "$0.00396664"),
    ("49",             "price",    "$49.0000",       "$49.0000"),
    ("40000",          "quantity", "40,000",         "40,000"),
    ("12.5",           "quantity", "12.50",          "12.5"),
    ("0.533333333",    "quantity", "0.53",           "0.533333333"),
    (None,             "money",    "–",              "–"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "form", "eye", "exact"), CASES)
def test_a_number_is_shown_in_one_form(text: str | None, form: str, eye: str, exact: str) -> None:
    assert getattr(Numbers("USD", exact=False), form)(text) == eye
    assert getattr(Numbers("USD", exact=True), form)(text) == exact


# ------------------------------------------------------------------ without scripts


def test_the_page_is_complete_as_it_comes_from_the_server(served: Served) -> None:
    text = served.get(PAGE).text
    statement = served.get(f"/v1{PAGE}").json()
    assert text.count("data-row=") == ROWS
    leaves = leaves_of(text)
    for name in ("total", "usage_total", "products_total"):
        assert leaves[name.replace("_", "-")] == f"${statement[name]}"
    assert "Estimate, months by America/New_York" in text
    assert leaves["state"] == "Month is over"
    assert text.count("aria-live") == 1
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert "<script>" not in text, "a script inside the page is against its own policy"
    assert "style=" not in text


def test_an_amount_has_its_exact_one_at_hand_and_cents_that_do_not_add_up_are_told_of(
    served: Served, filled: Filled
) -> None:
    at = datetime(2026, 1, 20, 10, tzinfo=UTC)
    for n in range(3):
        filled.text(at, id=f"cents-{n}", account_id="cents", media="sms")
    text = served.get(f"/accounts/cents/usage?month={MONTH}").text
    (charge,) = re.findall(r'id="texts-outbound-charge">(<data.*?</data>)', text)
    assert charge == '<data value="0.0474" title="$0.0474">$0.05</data>'
    leaves = leaves_of(text)
    rows = [key for key in ROW.findall(text) if key.count("-") < 2 and not key.startswith("taxes-")]
    lines = [number_in(leaves[f"{key}-charge"]) or Decimal(0) for key in rows]
    lines = [
        charge
        for key, charge in zip(rows, lines, strict=True)
        if not key.startswith("carrier_fees-")
    ]
    total = number_in(leaves["usage-total"])
    assert total is not None
    apart = abs(total - sum(lines))
    assert (f"they differ by ${apart}" in text) is bool(apart)
    exact = served.get(f"/accounts/cents/usage?month={MONTH}&exact=1").text
    assert leaves_of(exact)["texts-outbound-charge"] == "$0.0474"
    assert "they differ" not in exact


@pytest.mark.parametrize("account", ["<b>bold<b>", '"><script>alert(1)<script>', "'&amp;"])
def test_an_accounts_name_is_only_ever_text(served: Served, filled: Filled, account: str) -> None:
    filled.call(datetime.now(UTC) - timedelta(hours=2), account_id=account)
    text = served.get(f"/accounts/{quote(account, safe='')}/usage").text
    assert f"Account <b>{escape(account)}</b>" in text
    assert account not in text


@needs_browser
def test_it_works_without_scripts(browser: Browser, served: Served) -> None:
    with opened(browser, served.url + PAGE, java_script_enabled=False) as (page, complaints):
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage in January 2026")
        expect(page.get_by_role("row")).to_have_count(ROWS + 2)
        row = page.get_by_role("row", name="Outbound calls")
        expect(row.get_by_role("cell")).to_have_text(
            ["1 call", "2 minutes", "$0.0130", "$0.03", "$0.03", "$0.00"], use_inner_text=True
        )
        page.get_by_role("link", name="Products").click()
        expect(page.get_by_role("rowheader", name="power-dialer")).to_be_visible()
        expect(page.get_by_role("row", name="Outbound calls")).to_have_count(0)
        page.get_by_label("Month").select_option("2025-12")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Usage in December 2025")
        expect(page.get_by_text("No products in December 2025.")).to_be_visible()
        page.locator(".tabs").get_by_role("link", name="Usage", exact=True).click()
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
        now = page.get_by_role("heading", level=1).inner_text().strip()
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
        f"/accounts/acme?month={MONTH}",
        "/accounts/acme/usage?month=2025-12&tab=products",
        "/accounts/nobody/usage",
        "/login",
    ],
)
def test_it_fits_the_window_and_axe_finds_nothing(
    browser: Browser, served: Served, path: str, width: int, scheme: str
) -> None:
    options = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, served.url + path, width, **options) as (page, complaints):
        if path.startswith("/accounts/acme"):
            expect(page.locator("#badge")).to_have_text("Month is over")
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
        with opened(browser, f"{served.url}/accounts/{account}/usage?month={MONTH}", width) as (
            page,
            _,
        ):
            assert page.evaluate("document.documentElement.scrollWidth") <= width


# ------------------------------------------------------------------ live


def exact_of(text: str) -> Decimal:
    """A charge as shown: "−$1,234.50" or a dash."""
    return number_in(text.strip()) or Decimal(0)


def assert_shown_adds_up(page: Page) -> None:
    """What the eye sees of exact amounts: parts are their line's, lines the total's."""
    rows: list[tuple[str, bool, Decimal]] = []
    for row in page.locator(".lines tbody tr").all():
        key = row.get_attribute("data-row") or ""
        part = "part" in (row.get_attribute("class") or "")
        rows.append((key.split("-")[0], part, exact_of(row.locator(".charge").inner_text())))
    for name in {name for name, part, _ in rows if part}:
        line = [charge for of, part, charge in rows if of == name and not part]
        assert [sum(charge for of, part, charge in rows if of == name and part)] == line, name
    total, usage, products, foot = (
        exact_of(page.locator(f"#{name}").inner_text())
        for name in ("total", "usage-total", "products-total", "lines-total")
    )
    assert usage + products == total
    assert usage == foot
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
    url = f"{served.url}/accounts/{account}/usage?month={MONTH}&exact=1"
    for scripts in (True, False):
        with opened(browser, url, width, java_script_enabled=scripts) as (page, complaints):
            texts = page.get_by_role("row", name="Outbound texts")
            expect(texts).to_contain_text("4 texts")
            expect(texts).to_contain_text("2 of them free")
            expect(page.get_by_role("row", name="voice detection")).to_contain_text(
                "1 of them free"
            )
            calls = page.locator('[data-row="calls-inbound"] td')
            assert set(calls.filter(visible=True).all_inner_texts()) == {"–"}
            expect(page.locator(".part", has_text="Inbound SMS, registered")).to_have_count(1)
            assert_shown_adds_up(page)
            assert not complaints


@needs_browser
def test_no_number_breaks_over_two_lines(browser: Browser, served: Served, filled: Filled) -> None:
    account, at = "wide-numbers", datetime(2026, 1, 3, 10, tzinfo=UTC)
    for hours in range(3):
        filled.call(at + timedelta(hours=hours), seconds=86_000, account_id=account)
    heights = "all => all.map(e => e.getClientRects().length)"
    for width in (320, 390, 768, 1280):
        for exact in ("", "&exact=1"):
            url = f"{served.url}/accounts/{account}/usage?month={MONTH}{exact}"
            with opened(browser, url, width) as (page, _):
                numbers = page.locator("td data, td > span, .total > span")
                assert set(numbers.evaluate_all(heights)) <= {0, 1}, (width, exact)
                assert page.evaluate("document.documentElement.scrollWidth") <= width


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
    with opened(browser, f"{served.url}/accounts/{account}/usage?month={MONTH}") as told:
        page, complaints = told
        taxes = page.locator('[data-row="taxes"]')
        expect(page.locator("#waits")).to_have_count(0)
        filled.park(at, account_id=account)
        filled.call(at, account_id=account)
        says = "1 event waits since 21 January and is not in the totals: 1 correction"
        expect(page.locator("#waits")).to_have_text(says)
        expect(taxes.get_by_role("cell").nth(3)).to_have_text("–")
        expect(page.locator("#lines-total")).to_have_text("$0.05")
        ticked = page.evaluate(CELLS)
        page.reload()
        expect(page.locator("#waits")).to_have_text(says)
        assert page.evaluate(CELLS) == ticked
        assert not complaints
    other = served.get(f"/v1/accounts/{account}/usage?month=2026-02").json()
    assert other["waiting"] == {"count": 0, "since": None, "reasons": []}


CELLS = "() => [...document.querySelectorAll('td, th, .total')].map(e => e.textContent.trim())"


@needs_browser
def test_numbers_change_after_a_write_and_equal_a_fresh_page(
    browser: Browser, served: Served, filled: Filled
) -> None:
    """At first a line comes to be used, which makes the view anew; then its numbers change."""
    path = "/accounts/ticking/usage?month=2026-04&exact=1"
    at = datetime(2026, 4, 3, 10, tzinfo=UTC)
    filled.text(at, account_id="ticking")
    with opened(browser, served.url + path) as (page, complaints):
        row = page.locator('[data-row="calls-outbound"]')
        expect(row.get_by_role("cell").first).to_have_text("–", use_inner_text=True)
        page.evaluate("window.same = true; document.getElementById('q').focus()")
        filled.call(at, seconds=61, account_id="ticking")
        filled.text(at, media="mms", registered=False, account_id="ticking")
        expect(row.get_by_role("cell").nth(1)).to_have_text("2 minutes")
        expect(row.get_by_role("cell").nth(3)).to_have_text("$0.026")
        row.evaluate("row => { row.same = true }")
        filled.call(at, seconds=121, account_id="ticking")
        expect(row.get_by_role("cell").nth(1)).to_have_text("5 minutes")
        expect(row.get_by_role("cell").first).to_have_text("2 calls")
        assert row.evaluate("row => row.same"), "only the numbers were put in place"
        filled.text(at, direction="inbound", status="failed", account_id="ticking")
        expect(page.locator('[data-row="texts-inbound"]')).to_contain_text("1 of them free")
        assert_shown_adds_up(page)
        assert page.evaluate("window.same && document.activeElement.id === 'q'")
        ticked = page.evaluate(CELLS)
        page.reload()
        assert page.evaluate(CELLS) == ticked
        assert not complaints


@needs_browser
@pytest.mark.parametrize(("motion", "moves"), [("no-preference", True), ("reduce", False)])
def test_four_numbers_draw_the_eye_when_they_change_unless_the_reader_wants_calm(
    browser: Browser, served: Served, filled: Filled, motion: Any, moves: bool
) -> None:
    account, at = f"calm-{motion}", datetime(2026, 5, 3, 10, tzinfo=UTC)
    url = f"{served.url}/accounts/{account}/usage?month=2026-05"
    filled.call(at, account_id=account)
    with opened(browser, url, reduced_motion=motion) as (page, _):
        page.evaluate(
            """() => {
                window.moved = [];
                const animate = Element.prototype.animate;
                Element.prototype.animate = function (...all) {
                    window.moved.push(this.id);
                    return animate.apply(this, all);
                };
            }"""
        )
        filled.call(at, account_id=account)
        row = page.locator('[data-row="calls-outbound"]')
        expect(row.get_by_role("cell").nth(1)).to_contain_text("4 minutes")
        assert set(page.evaluate("window.moved")) == ({"total"} if moves else set())


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_values_change_and_a_cell_is_one_number(
    browser: Browser, served: Served, filled: Filled, scheme: Any
) -> None:
    account, at = f"axe-{scheme}", datetime(2026, 5, 3, 10, tzinfo=UTC)
    filled.call(at, account_id=account)
    for path in ("", "/usage"):
        url = f"{served.url}/accounts/{account}{path}?month=2026-05"
        with opened(browser, url, color_scheme=scheme) as (page, complaints):
            total = page.locator("#total")
            before = total.inner_text()
            filled.call(at, account_id=account)
            expect(total).not_to_have_text(before)
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            for cell in page.locator("td").all_inner_texts():
                assert len(re.findall(r"[0-9][0-9.,]*", cell)) <= 1, cell
            assert not complaints


@needs_browser
def test_a_paused_page_holds_what_comes_and_shows_it_when_it_goes_on(
    browser: Browser, served: Served, filled: Filled
) -> None:
    now = datetime.now(UTC)
    filled.call(now, account_id="paused")
    with opened(browser, f"{served.url}/accounts/paused/usage") as (page, _):
        row = page.locator('[data-row="calls-outbound"]')
        page.get_by_role("button", name="Pause").click()
        filled.call(now, account_id="paused")
        expect(page.get_by_role("button", name="newer numbers wait")).to_be_visible()
        expect(row.get_by_role("cell").nth(1)).to_contain_text("2 minutes")
        page.get_by_role("button", name="Resume").click()
        expect(row.get_by_role("cell").nth(1)).to_contain_text("4 minutes")
        expect(page.get_by_role("button", name="Pause")).to_be_visible()


@needs_browser
def test_tabs_are_pages_that_back_leads_out_of_and_the_month_keeps_the_tab(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served.url + PAGE) as (page, _):
        page.get_by_role("link", name="Products").click()
        expect(page.get_by_role("row", name="Outbound calls")).to_have_count(0)
        product = page.get_by_role("row", name="power-dialer")
        expect(product).to_contain_text("1 January 2026")
        expect(product).to_contain_text("1 February 2026")
        page.go_back()
        expect(page.get_by_role("row", name="Outbound calls")).to_have_count(1)
        page.go_forward()
        # With scripts a choice is enough.
        page.get_by_label("Month").select_option("2025-12")
        expect(page.get_by_text("No products in December 2025.")).to_be_visible()


@needs_browser
def test_the_page_says_how_fresh_it_is(browser: Browser, served: Served, filled: Filled) -> None:
    """Live only while a worker says that all which was received is committed."""
    filled.call(datetime.now(UTC), account_id="fresh")
    url = f"{served.url}/accounts/fresh/usage"

    def tell(behind_s: int, told_s: int = 0) -> datetime:
        now = datetime.now(UTC)
        as_of = now - timedelta(seconds=behind_s)
        told = now - timedelta(seconds=told_s)
        tell_progress(filled.ledger, "group", 2, {0: as_of, 1: now}, told)
        return told

    def state() -> dict[str, Any]:
        told: dict[str, Any] = served.get("/v1/accounts/fresh/usage").json()
        return told

    written = state()
    assert written["freshness"] == {"state": "none"}
    with opened(browser, url) as (page, complaints):
        expect(page.locator("#badge")).to_have_text("No worker has run here")
        tell(0)
        expect(page.locator("#badge")).to_have_text("Live")
        assert re.match(r"As of \d+ \w+ \d{4}, \d\d:\d\d:\d\d [A-Z]+", leaf_of(page, "as-of"))
        tell(600)
        expect(page.locator("#badge")).to_have_text("10 min behind")
        assert state()["freshness"]["state"] == "behind"
        assert not complaints
    old = tell(600, told_s=60)
    filled.ledger.command("TRUNCATE TABLE progress")
    tell(600, told_s=60)
    with opened(browser, url) as (page, _):
        expect(page.locator("#badge")).to_contain_text(f"No worker since {old.day} ")
    filled.ledger.command("TRUNCATE TABLE progress")


def leaf_of(page: Page, name: str) -> str:
    return page.locator(f"#{name}").inner_text()


@needs_browser
def test_the_page_says_when_it_is_cut_off_and_when_it_is_up_to_date_again(
    browser: Browser, filled: Filled
) -> None:
    with Served(filled) as first:
        port = int(first.url.rpartition(":")[2])
        context = browser.new_context()
        page = context.new_page()
        page.clock.install()
        page.goto(first.url + PAGE)
        badge = page.locator("#badge")
        expect(badge).to_have_attribute("data-cut", "")
    expect(badge).to_have_attribute("data-cut", "Reconnecting")
    page.clock.fast_forward(16_000)
    expect(badge).to_have_attribute("data-cut", "Stale: no news from the server")
    expect(page.get_by_role("status")).to_have_text("Stale: no news from the server")
    with Served(filled, port=port):
        page.clock.fast_forward(26_000)
        expect(badge).to_have_attribute("data-cut", "", timeout=15_000)
        context.close()


@needs_browser
def test_the_chosen_tab_is_seen_in_forced_colours_and_paper_has_one_total(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served.url + PAGE, forced_colors="active") as (page, _):
        chosen = page.locator(".tabs [aria-current]")
        other = page.locator(".tabs nav a:not([aria-current])")
        style = "e => getComputedStyle(e).borderBottomWidth + getComputedStyle(e).color"
        assert chosen.evaluate(style) != other.evaluate(style)
    for paper in ("A4", "Letter"):
        with opened(browser, served.url + PAGE) as (page, _):
            pdf = page.pdf(format=paper)
            assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1
            page.emulate_media(media="print")
            expect(page.get_by_role("button", name="Search")).to_be_hidden()
            assert page.locator(".total").filter(visible=True).count() == 1


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
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
