"""One account's token never gets a byte of another's: every route that the API's document names."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from streams.web.tokens import create_token
from tests.streams.test_exports import rows_of
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

AT = datetime(2026, 1, 10, 15, tzinfo=UTC)
FIRST_BYTES = 200_000


class Doors(NamedTuple):
    served: Served
    tokens: dict[str, str]

    def ask(self, path: str, token: str) -> tuple[int, bytes]:
        """The answer, or the beginning of a stream."""
        headers = {"Authorization": f"Bearer {self.tokens[token]}"} if token else {}
        with httpx.stream(
            "GET",
            self.served.url + path,
            headers=headers,
            params={"month": MONTH, "by": "user"},
            timeout=30,
        ) as answer:
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if "event-stream" in answer.headers["content-type"] and b"data:" in body:
                    break
                assert len(body) < FIRST_BYTES
        return answer.status_code, body


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("others")
    with filled_ledger(folder / "store") as filled:
        for account in ("acme", "other"):
            fill(filled, account)
        path = folder / "tokens.toml"
        tokens = {
            name: create_token(path, name, name, ("read", "manage")) for name in ("acme", "other")
        }
        settings = filled.settings.model_copy(update={"api_tokens_file": Path(path)})
        with Served(filled, settings) as served:
            yield Doors(served, tokens)


def fill(filled: Filled, account: str) -> None:
    """An event of one id in both accounts, and all else of the account's own name."""
    of: dict[str, Any] = {"account_id": account, "user_id": f"user-of-{account}"}
    filled.call(AT, id="shared", **of)
    filled.text(AT, id=f"text-of-{account}", campaign_id=f"campaign-of-{account}", **of)
    filled.park(AT, id="waits", **of)


def unpacked(path: str, body: bytes) -> bytes:
    """What a reader of the file sees."""
    ending = path.rpartition(".")[2]
    return str(rows_of(ending, body)).encode() if ending in ("xlsx", "parquet") else body


def paths(served: Served, *methods: str) -> list[tuple[str, str]]:
    """The document's operations of these methods, by path."""
    found = served.get("/openapi.json").json()["paths"]
    assert all(path.startswith("/v1/accounts/{account}/") for path in found)
    return [
        (path, method)
        for path, operations in found.items()
        for method in operations
        if method in methods
    ]


def test_every_route_refuses_another_accounts_token_and_shows_its_own_alone(doors: Doors) -> None:
    walked = paths(doors.served, "get")
    assert len(walked) > 12
    for event in ("shared", "waits"):
        for path, _ in walked:
            path = path.replace("{event_id}", event)
            of_acme, of_other = (path.replace("{account}", name) for name in ("acme", "other"))
            assert doors.ask(of_acme, "")[0] == 401, path
            status, body = doors.ask(of_acme, "other")
            assert status == 403, path
            assert b"of-acme" not in body, path
            status, body = doors.ask(of_other, "other")
            assert status == 200, path
            assert b"acme" not in unpacked(path, body), path


# What a route that changes or reckons something is sent, and what it answers its own account.
SENT: dict[tuple[str, str], tuple[object, int]] = {
    ("/budgets/{name}", "put"): ({"amount": "5", "user": "user-of-other"}, 200),
    ("/budgets/{name}", "delete"): (None, 204),
    ("/quote", "post"): ({"numbers": [{"to": "+1415", "dials": 3}], "answer_percent": "50",
                          "minutes_per_dial": "2"}, 200),
}  # fmt: skip


def test_nothing_is_changed_or_reckoned_of_another_account(doors: Doors) -> None:
    walked = paths(doors.served, "put", "delete", "post", "patch")
    assert {(path.partition("{account}")[2], method) for path, method in walked} == SENT.keys()
    acme = doors.ask("/v1/accounts/acme/budgets", "acme")
    for path, method in walked:
        body, status = SENT[path.partition("{account}")[2], method]
        for account, token, expected in (
            ("acme", "", 401),
            ("acme", "other", 403),
            ("other", "other", status),
        ):
            headers = {"Authorization": f"Bearer {doors.tokens[token]}"} if token else {}
            url = doors.served.url + path.replace("{account}", account).replace("{name}", "b")
            answer = httpx.request(method.upper(), url, json=body, headers=headers, timeout=30)
            assert answer.status_code == expected, (path, method, account)
            assert b"acme" not in answer.content, path
    assert doors.ask("/v1/accounts/acme/budgets", "acme") == acme


@pytest.mark.parametrize("path", ["events/text-of-acme/explain", "events/text-1/explain"])
def test_anothers_event_is_not_known(doors: Doors, path: str) -> None:
    status, body = doors.ask(f"/v1/accounts/other/{path}", "other")
    assert status == 404
    assert b"of this account is known" in body


def test_a_cursor_of_another_account_leads_to_ones_own_rows(doors: Doors) -> None:
    headers = {"Authorization": f"Bearer {doors.tokens['acme']}"}
    query = {"month": MONTH, "limit": 1}
    path = "/v1/accounts/%s/events"
    cursor = doors.served.get(path % "acme", params=query, headers=headers).json()["next"]
    headers = {"Authorization": f"Bearer {doors.tokens['other']}"}
    answer = doors.served.get(
        path % "other", params=query | {"cursor": cursor, "limit": 500}, headers=headers
    )
    assert answer.status_code == 200
    assert {row["account_id"] for row in answer.json()["rows"]} <= {"other"}
