"""The page of operators: what it shows, who is let in, and dead letters mended and laid aside."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from rater.kinds import KINDS
from streams.rows.batch import Batch, add_records
from streams.store.ledger import Ledger
from streams.store.letters import Content, Letter, read_letter
from streams.store.operators import read_accounts, read_letter_groups
from streams.store.progress import tell_progress
from streams.web import operators
from streams.web.health import StoreHealth
from streams.web.tokens import create_token
from tests.conftest import Logged, call
from tests.streams.test_page import browser as chromium  # noqa: F401
from tests.streams.test_page import needs_browser, opened
from tests.streams.test_web import Filled, Served, filled_ledger

NOW = datetime.now(UTC)
TOPIC = "usage.call.v1"
BAD = orjson.dumps(call(id="", direction="outbound"))


def refuse(filled: Filled, *values: bytes) -> None:
    """Dead letters at offsets from 9,000 on."""
    records = [
        Logged(9_000 + n, int(NOW.timestamp() * 1000), b"acme", value)
        for n, value in enumerate(values)
    ]
    batch = Batch()
    add_records(batch, KINDS["call"], TOPIC, 0, records, filled.book)
    assert len(batch.rejected) == len(values)
    filled.ledger.write(batch)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    with filled_ledger(tmp_path / "store") as filled:
        refuse(filled, b"{bad", b"{<script>alert(1)</script>", BAD)
        filled.park(NOW, id="waits")
        tell_progress(filled.ledger, "rater", 2, {0: NOW, 1: NOW}, NOW)
        yield filled


@pytest.fixture
def ops(filled: Filled) -> Iterator[Served]:
    with Served(filled, ops=StoreHealth(filled.ledger)) as ops:
        yield ops


def groups(ledger: Ledger) -> dict[str, int]:
    return {one.reason: one.letters for one in read_letter_groups(ledger, datetime.now(UTC))}


def place(offset: int) -> dict[str, Any]:
    return {"topic": TOPIC, "partition": 0, "offset": offset}


def test_it_shows_what_is_ill_and_dead_letters_are_opened_and_laid_aside(
    ops: Served, filled: Filled
) -> None:
    text = ops.get("/ops").text
    for words in ("Throughput", "2 partitions", "bad_json", "corrects an event", "Dismiss all"):
        assert words in text, words
    assert groups(filled.ledger) == {"bad_json": 2, "bad_field": 1}
    listed = ops.get("/ops/letters", params={"reason": "bad_json"}).text
    assert f"{TOPIC} 0 9001" in listed
    letter = ops.get("/ops/letter", params=place(9_001)).text
    assert "<script>alert" not in letter
    assert "&lt;script&gt;alert" in letter
    assert ops.get("/ops/letter", params=place(1)).status_code == 404
    assert ops.get("/ops/letter", params={"topic": TOPIC}).status_code == 404
    done = httpx.post(ops.url + "/ops/dismiss", data=place(9_001))
    assert (done.status_code, done.headers["location"]) == (303, "/ops")
    assert groups(filled.ledger) == {"bad_json": 1, "bad_field": 1}
    httpx.post(ops.url + "/ops/dismiss", data={"reason": "bad_json"})
    assert groups(filled.ledger) == {"bad_field": 1}
    refuse(filled, *[b"{again"] * 4)  # others at these places, and one more
    assert groups(filled.ledger)["bad_json"] == 4


def test_a_record_is_mended_and_sent_and_what_is_no_event_still_is_not(
    ops: Served, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Letter, Content]] = []

    async def take(_: Any, __: Any, letter: Letter, content: Content) -> str:
        sent.append((letter, content))
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(operators, "send_fixed", take)
        still = httpx.post(ops.url + "/ops/send", data=place(9_002) | {"text": BAD.decode()})
        assert still.status_code == 422
        assert "Not sent: bad_field" in still.text
        assert sent == []
        good = orjson.dumps(call(id="mended")).decode()
        done = httpx.post(ops.url + "/ops/send", data=place(9_002) | {"text": good})
        assert done.status_code == 303, done.text
    ((letter, content),) = sent
    assert (letter.offset, content.key, content.value) == (9_002, b"acme", good.encode())
    assert groups(filled.ledger) == {"bad_json": 2}  # what was mended is laid aside
    assert read_letter(filled.ledger, (TOPIC, 0, 9_002)) is not None  # and is there still


def test_no_other_site_and_no_other_host_does_anything(ops: Served, filled: Filled) -> None:
    for path in ("/ops/dismiss", "/ops/send"):
        for header in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = httpx.post(ops.url + path, data=place(9_000), headers=header)
            assert answer.status_code == 403
    assert ops.get("/ops", headers={"host": "evil.example"}).status_code == 421
    assert sum(groups(filled.ledger).values()) == 3


def basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{token}".encode()).decode()}


def test_where_there_are_tokens_one_that_may_operate_is_asked_for(
    filled: Filled, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.toml"
    operate = create_token(path, "ops", "*", ("operate",))
    read = create_token(path, "reader", "*", ("read", "manage"))
    of_one = create_token(path, "one", "acme", ("operate",))  # whose letters are of all accounts
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings, ops=StoreHealth(filled.ledger)) as ops:
        asked = ops.get("/ops")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic")
        assert ops.get("/ops", headers=basic("x" * 43)).status_code == 401
        assert ops.get("/ops", headers=basic(read)).status_code == 403
        assert ops.get("/ops", headers=basic(of_one)).status_code == 403
        assert ops.get("/ops", headers=basic(operate)).status_code == 200
        bearer = {"Authorization": f"Bearer {operate}"}
        assert ops.get("/ops", headers=bearer).status_code == 200
        for route in ("/ops/dismiss", "/ops/send"):
            assert httpx.post(ops.url + route, data=place(9_000)).status_code == 401
        assert ops.get("/healthz").status_code == 200  # which asks for none


def test_without_tokens_it_opens_on_loopback_alone(filled: Filled) -> None:
    settings = filled.settings.model_copy(update={"ops_host": "0.0.0.0"})
    with Served(filled, settings, ops=StoreHealth(filled.ledger)) as ops:
        assert ops.get("/ops").status_code == 403
        assert ops.get("/healthz").status_code == 200


# ------------------------------------------------------------------ all accounts


def test_all_accounts_are_seen_by_who_may_operate_page_by_page(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.web.views.PAGE_ACCOUNTS", 3)
    monkeypatch.setattr("streams.web.accounts_view.PAGE_ACCOUNTS", 3)
    for name in ("a b", "<b>", "c", "d", "e"):
        filled.call(NOW, account_id=name)
    filled.park(NOW, id="waits-too", account_id="c")
    path = tmp_path / "tokens.toml"
    may = {
        "operator": (create_token(path, "operator", "*", ("operate",)), 200),
        "reader": (create_token(path, "reader", "*", ("read",)), 403),
        "one": (create_token(path, "one", "acme", ("operate",)), 403),
    }
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as served:
        for token, status in may.values():
            headers = {"Authorization": f"Bearer {token}"}
            assert served.get("/accounts", headers=headers).status_code == status
        assert served.get("/accounts").status_code == 401
        headers = {"Authorization": f"Bearer {may['operator'][0]}"}
        first = served.get("/accounts", headers=headers).text
        assert "&lt;b&gt;" in first
        assert "Next accounts" in first
        second = served.get("/accounts", params={"after": "c"}, headers=headers).text
        assert "/accounts/d" in second
        assert "/accounts/c" not in second
        assert "Next accounts" not in second
        found = read_accounts(filled.ledger, NOW, after="b", limit=1)
        assert [(one.account_id, one.waits) for one in found] == [("c", 1)]
        row = first.partition('href="/accounts/c"')[2].partition("</tr>")[0]
        assert 'data-label="Waits">1<' in row


def test_a_month_is_seen_against_the_same_run_of_the_one_before(filled: Filled) -> None:
    """On 10 April at noon: of March counts what was until the 10th at noon, and no more."""
    for day, hour in ((9, 12), (10, 11), (10, 13), (31, 0)):
        filled.call(datetime(2026, 3, day, hour, tzinfo=UTC), account_id="run")
    filled.call(datetime(2026, 4, 2, tzinfo=UTC), account_id="run")
    at = datetime(2026, 4, 10, 12, tzinfo=UTC)
    (one,) = read_accounts(filled.ledger, at, after="ru", limit=5)
    assert one.before == 2 * one.total > 0


# ------------------------------------------------------------------ as it is seen


@needs_browser
def test_the_pages_fit_and_are_readable(
    chromium: Browser,  # noqa: F811
    ops: Served,
    filled: Filled,
) -> None:
    letter = f"/ops/letter?topic={TOPIC}&partition=0&offset=9000"
    with Served(filled) as served:
        for url in (
            ops.url + "/ops",
            ops.url + letter,
            ops.url + "/ops/letters?reason=bad_json",
            served.url + "/accounts",
        ):
            for width, scheme in ((320, "dark"), (768, "light"), (1280, "dark")):
                more: Any = {"color_scheme": scheme}
                with opened(chromium, url, width, **more) as (page, complaints):
                    expect(page.get_by_role("heading", level=1)).to_be_visible()
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, url
                    found = Axe().run(page)
                    assert found.violations_count == 0, found.generate_report()
                    assert not complaints
