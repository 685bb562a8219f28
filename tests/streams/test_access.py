"""Attacks on the doors for tokens, over real HTTP: guesses, revoked tokens, forged forms."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from streams.web import limits
from streams.web.limits import BUCKETS_MOST, REQUESTS_MOST, REQUESTS_PER_S, Buckets
from streams.web.sessions import (
    ADDRESSES_MOST,
    FAILURES_MOST,
    FAILURES_S,
    SESSION_S,
    SESSIONS_MOST,
    Attempts,
    Sessions,
)
from streams.web.tokens import (
    Known,
    Tokens,
    TokensError,
    create_token,
    hash_of,
    load_tokens,
    revoke_token,
)
from tests.streams.test_web import Filled, Served, filled_ledger

USAGE = "/v1/accounts/acme/usage?month=2026-01"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("access") / "store") as filled:
        yield filled


class Door(NamedTuple):
    """A guarded server of a test's own, its file of tokens, and the token of acme."""

    served: Served
    path: Path
    token: str

    def ask(self, token: str, **headers: str) -> httpx.Response:
        return self.served.get(USAGE, headers={"Authorization": f"Bearer {token}"} | headers)

    def sign_in(self, **headers: str) -> httpx.Response:
        form = {"token": self.token, "next": "/accounts/acme"}
        return httpx.post(self.served.url + "/login", data=form, headers=headers)


@pytest.fixture
def door(filled: Filled, tmp_path: Path) -> Iterator[Door]:
    path = tmp_path / "tokens.toml"
    token = create_token(path, "acme", "acme")
    update = {"api_tokens_file": path, "hosts": ["rater.example"]}
    settings = filled.settings.model_copy(update=update)
    with Served(filled, settings, trusted_proxies=["127.0.0.1"]) as served:
        yield Door(served, path, token)


# ------------------------------------------------------------------ tokens at rest


def test_a_token_is_long_and_kept_as_its_hash_in_a_file_of_its_owners(door: Door) -> None:
    text = door.path.read_text()
    assert door.token not in text
    assert len(door.token) >= 40
    assert door.path.stat().st_mode & 0o777 == 0o600
    assert load_tokens(door.path) == [Known("acme", "acme", hash_of(door.token))]


def test_a_short_token_opens_nothing_whatever_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'[tokens.a]\naccount = "*"\nsha256 = "{hash_of("x")}"\n')
    assert Tokens(path).find("x") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(door: Door, mode: int) -> None:
    assert door.ask(door.token).status_code == 200
    door.path.chmod(mode)
    with pytest.raises(TokensError, match="may be written by others: chmod go-w"):
        load_tokens(door.path)
    assert door.ask(door.token).status_code == 401
    door.path.chmod(0o600)
    assert door.ask(door.token).status_code == 200


def test_a_revoked_token_and_its_sessions_stop_at_once_and_a_new_one_works(door: Door) -> None:
    create_token(door.path, "second", "acme")
    cookies = dict(door.sign_in().cookies)
    assert door.served.get(USAGE, cookies=cookies).status_code == 200
    revoke_token(door.path, "acme")
    assert door.ask(door.token).status_code == 401
    assert door.served.get(USAGE, cookies=cookies).status_code == 401
    assert door.ask(create_token(door.path, "acme", "acme")).status_code == 200
    assert door.served.get(USAGE, cookies=cookies).status_code == 401


def test_a_file_that_has_gone_opens_nothing(door: Door) -> None:
    door.path.unlink()
    assert door.ask(door.token).status_code == 401


# ------------------------------------------------------------------ scopes


def test_a_token_reads_only_with_the_scope_for_it(door: Door) -> None:
    manages = create_token(door.path, "manages", "acme", ("manage", "operate"))
    refused = door.ask(manages)
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "the token has not the scope read",
    )
    assert (
        door.served.get(
            "/accounts/acme", headers={"Authorization": f"Bearer {manages}"}
        ).status_code
        == 403
    )
    both = create_token(door.path, "both", "acme", ("read", "manage"))
    assert door.ask(both).status_code == 200
    assert [one.scopes for one in load_tokens(door.path)] == [
        ("read",), ("manage", "operate"), ("read", "manage"),
    ]  # fmt: skip


def test_a_token_of_a_file_without_scopes_reads(door: Door) -> None:
    lines = [line for line in door.path.read_text().splitlines() if not line.startswith("scopes")]
    door.path.write_text("\n".join(lines))
    assert [one.scopes for one in load_tokens(door.path)] == [("read",)]
    assert door.ask(door.token).status_code == 200


@pytest.mark.parametrize("scopes", ['"read"', "[]", '["write"]', "[1]", "[[]]"])
def test_what_is_no_scope_opens_nothing(door: Door, scopes: str) -> None:
    text = door.path.read_text().replace('["read"]', scopes)
    door.path.write_text(text)
    with pytest.raises(TokensError, match="the scopes of token acme are not of read, manage"):
        load_tokens(door.path)
    assert door.ask(door.token).status_code == 401
    with pytest.raises(TokensError, match="scopes are of read, manage, operate"):
        create_token(door.path.with_name("new.toml"), "a", "acme", ("write",))


# ------------------------------------------------------------------ how often


def test_a_token_asks_so_often_and_no_other_waits_for_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_MOST", 2)
    monkeypatch.setattr(limits, "REQUESTS_PER_S", 0.01)
    other = create_token(door.path, "second", "acme")
    answers = [door.ask(door.token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert 0 < int(answers[2].headers["retry-after"]) <= 100
    assert door.ask(other).status_code == 200


def test_a_bucket_fills_again_evenly_and_memory_is_bounded() -> None:
    buckets = Buckets()
    assert [buckets.take("a", 0) for _ in range(REQUESTS_MOST)] == [0] * REQUESTS_MOST
    assert buckets.take("a", 0) == 1
    assert [buckets.take("a", 1) for _ in range(REQUESTS_PER_S)] == [0] * REQUESTS_PER_S
    assert buckets.take("a", 1) == 1
    assert [buckets.take("a", 1e6) for _ in range(REQUESTS_MOST + 1)][-2:] == [0, 1]
    for n in range(BUCKETS_MOST + 10):
        buckets.take(f"token-{n}", 0)
    assert len(buckets._left) == BUCKETS_MOST


# ------------------------------------------------------------------ guesses


def test_guesses_are_paused_by_address_and_logged_without_the_token(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    forwarded = {"X-Forwarded-For": "10.0.0.7"}
    guess = "guess-" + "g" * 40
    with caplog.at_level(logging.WARNING):
        statuses = [door.ask(guess, **forwarded).status_code for _ in range(FAILURES_MOST + 5)]
    assert statuses == [401] * FAILURES_MOST + [429] * 5
    paused = door.ask(door.token, **forwarded)
    assert paused.status_code == 429
    assert 0 < int(paused.headers["retry-after"]) <= FAILURES_S
    assert door.ask(door.token, **{"X-Forwarded-For": "10.0.0.8"}).status_code == 200
    said = [r.getMessage() for r in caplog.records if r.name == "streams.web.access"]
    assert said == [f"unknown token from 10.0.0.7, {n} within a minute" for n in (1, FAILURES_MOST)]
    assert guess not in caplog.text


def test_who_is_no_trusted_proxy_does_not_choose_his_address(filled: Filled, door: Door) -> None:
    settings = filled.settings.model_copy(update={"api_tokens_file": door.path})
    with Served(filled, settings) as served:
        for n in range(FAILURES_MOST + 1):
            headers = {"Authorization": "Bearer " + "g" * 40, "X-Forwarded-For": f"10.0.0.{n}"}
            status = served.get(USAGE, headers=headers).status_code
    assert status == 429


def test_a_pause_ends_and_memory_is_bounded() -> None:
    attempts = Attempts()
    for n in range(FAILURES_MOST):
        assert attempts.wait_s("2001:db8::1", n) == 0
        attempts.fail("2001:db8::1", n)
    assert attempts.wait_s("2001:db8::ffff", 10) == FAILURES_S - 10 + 1  # the same subscriber
    assert attempts.wait_s("2001:db8:0:1::1", 10) == 0
    assert attempts.wait_s("2001:db8::1", FAILURES_S) == 0
    for n in range(ADDRESSES_MOST + 10):
        attempts.fail(f"host-{n}", 100)
    assert len(attempts._failed) == ADDRESSES_MOST


# ------------------------------------------------------------------ sessions and forms


def test_a_session_ends_and_sessions_are_bounded(door: Door) -> None:
    tokens = Tokens(door.path)
    known = tokens.find(door.token)
    assert known is not None
    sessions = Sessions(tokens)
    secret = sessions.begin(known, 0)
    assert sessions.find(secret, SESSION_S - 1) == known
    assert sessions.find(secret, SESSION_S) is None
    assert sessions.find("", 0) is None
    for _ in range(SESSIONS_MOST + 1):
        sessions.begin(known, 0)
    assert len(sessions._open) == SESSIONS_MOST


def test_behind_a_proxy_with_tls_the_cookie_is_this_hosts_and_secure(door: Door) -> None:
    headers = {"Host": "rater.example", "X-Forwarded-Proto": "https"}
    cookie = door.sign_in(**headers).headers["set-cookie"]
    assert cookie.startswith("__Host-rater=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    plain = door.sign_in().headers["set-cookie"]
    assert plain.startswith("rater_session=")
    assert "Secure" not in plain


# what the browser says                                                   | status
FORMS = [
    ({},                                                                    303),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://rater.example"},   303),
    ({"Sec-Fetch-Site": "none"},                                            303),
    ({"Sec-Fetch-Site": "cross-site"},                                      403),
    ({"Sec-Fetch-Site": "same-site"},                                       403),
    ({"Origin": "https://evil.example"},                                    403),
    ({"Origin": "http://rater.example:8080"},                               403),
    ({"Origin": "null"},                                                    403),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "status"), FORMS)
def test_no_other_site_signs_a_reader_in_or_out(
    door: Door, headers: dict[str, str], status: int
) -> None:
    headers = {"Host": "rater.example"} | headers
    assert door.sign_in(**headers).status_code == status
    out = httpx.post(door.served.url + "/logout", headers=headers)
    assert out.status_code == status
