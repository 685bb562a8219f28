"""A display's address: one account's Overview, live, until it expires or is taken back."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from streams.cli.tokens import app
from streams.web import live
from streams.web.tokens import (
    KIOSK,
    Tokens,
    TokensError,
    create_token,
    load_tokens,
    revoke_token,
)
from tests.streams.test_web import Filled, Served, filled_ledger, read_events

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("kiosk") / "store") as filled:
        for account in ("acme", "other"):
            filled.call(datetime.now(UTC) - timedelta(minutes=5), account_id=account)
        yield filled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


@pytest.fixture
def token(path: Path) -> str:
    return create_token(path, "wall", "acme", (KIOSK,), expires=TOMORROW)


@pytest.fixture
def served(filled: Filled, path: Path, token: str) -> Iterator[Served]:
    settings = filled.settings.model_copy(update={"api_tokens_file": path})
    with Served(filled, settings) as served:
        yield served


def test_a_display_is_the_page_of_its_account_with_nothing_around_it(
    served: Served, token: str
) -> None:
    answer = served.get(f"/kiosk/{token}")
    assert answer.status_code == 200
    assert "<title>acme: overview" in answer.text
    assert f'data-live="/kiosk/{token}/live?shape=' in answer.text
    assert "<header" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


def test_its_address_opens_nothing_else(served: Served, token: str, path: Path) -> None:
    own = {"Authorization": f"Bearer {token}"}
    for page in ("/accounts/acme", "/v1/accounts/acme/usage", "/v1/accounts/acme/events.csv"):
        assert served.get(page, headers=own).status_code == 403, page
    reader = create_token(path, "reader", "acme")
    for wrong in (reader, "x" * 43, f"{token}x"):
        assert served.get(f"/kiosk/{wrong}").status_code == 404


def test_an_address_that_was_taken_back_ends_what_it_opened(
    served: Served, token: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "AGAIN_S", 0.3)
    create_token(path, "another", "acme")
    with httpx.stream("GET", f"{served.url}/kiosk/{token}/live", timeout=20) as stream:
        events = read_events(stream.iter_lines())
        assert "acme" in next(events)["data"]
        revoke_token(path, "wall")
        for _ in events:  # it ends
            pass
    assert served.get(f"/kiosk/{token}").status_code == 404
    assert served.get(f"/kiosk/{token}/live").status_code == 404


def test_an_address_expires(path: Path) -> None:
    ended = create_token(path, "ended", "acme", (KIOSK,), expires=datetime.now(UTC))
    stands = create_token(path, "stands", "acme", (KIOSK,), expires=TOMORROW)
    tokens = Tokens(path)
    assert tokens.find(ended) is None
    known = tokens.find(stands)
    assert known is not None
    assert known.expires == TOMORROW.replace(microsecond=0)
    assert tokens.stands(known)


@pytest.mark.parametrize("expires", ['"tomorrow"', "2026-12-01", "2026-12-01T00:00:00", "1"])
def test_what_is_no_instant_is_refused(path: Path, token: str, expires: str) -> None:
    text = path.read_text()
    path.write_text(f"{text[: text.index('expires')]}expires = {expires}\n")
    with pytest.raises(TokensError, match="token wall expires at no instant"):
        load_tokens(path)


def test_a_display_shows_one_account(path: Path) -> None:
    with pytest.raises(TokensError, match="one account"):
        create_token(path, "wall", "*", (KIOSK,), expires=TOMORROW)


def test_without_tokens_there_is_no_display(filled: Filled) -> None:
    with Served(filled) as served:
        assert served.get(f"/kiosk/{'x' * 43}").status_code == 404


def test_the_command_makes_an_address_that_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATER_API_TOKENS_FILE", str(path))
    done = CliRunner().invoke(app, ["kiosk", "wall", "--account", "acme", "--days", "3"])
    assert done.exit_code == 0
    address = done.stdout.splitlines()[-1]
    known = Tokens(path).find(address.removeprefix("/kiosk/"))
    assert known is not None
    assert known[:2] == ("wall", "acme")
    assert known.expires is not None
    assert timedelta(days=2.9) < known.expires - datetime.now(UTC) <= timedelta(days=3)


def test_no_log_has_the_address(
    served: Served, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        served.get(f"/kiosk/{token}")
        served.get(f"/kiosk/{token}x")
    # Of libraries a process logs warnings and worse.
    told = [one for one in caplog.records if one.name[:7] == "streams" or one.levelno > 20]
    assert any("unknown token" in one.getMessage() for one in told)
    assert not [one for one in told if token in one.getMessage()]
