"""The client. It needs the standard library alone, and keeps exact decimals as the text they are.

    client = Client("https://usage.example", token, account="acme")
    client.statement("2026-11")["total"]            # "1204.50"
    for charge in client.charges(month="2026-11", user="u-17"):
        print(charge["occurred_at"], charge["charge"])

Answers are the objects that `/openapi.json` describes. Not safe for several threads at once.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

TIMEOUT_S = 60.0
PIECE_BYTES = 1 << 16
PAGE_ROWS = 500

Answer = dict[str, Any]


class ProblemError(Exception):
    """The API said no: `status`, `detail` for people, and when to ask again, where it told."""

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class Client:
    """One account's usage. Each method raises ProblemError, and OSError where nobody answers.

    A filter is by the names of the API; `from_` and `to` are days of the account's zone.
    """

    def __init__(
        self, url: str, token: str = "", *, account: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an API; write https://HOST[:PORT]")
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._root = f"{parts.path.rstrip('/')}/v1/accounts/{quote(account, safe='')}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        self._tags: dict[str, tuple[str, Answer]] = {}

    def statement(self, month: str = "") -> Answer:
        """The statement of a month, such as 2026-11; the current one without."""
        return self._get("/usage", {"month": month})

    def months(self) -> list[str]:
        """The months that have usage, newest first."""
        found: list[str] = self._get("/usage/months", {})["months"]
        return found

    def groups(self, *by: str, **chosen: str) -> Answer:
        """Sums of a filter's charges by line and one or two groupings."""
        return self._get("/usage", {"by": ",".join(by)} | chosen)

    def charges(self, **chosen: str) -> Iterator[Answer]:
        """Every charge of a filter, newest first, a page at a time."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": str(PAGE_ROWS), "cursor": cursor} | chosen
            page = self._get("/events", query)
            yield from page["rows"]
            cursor = page["next"]

    def explain(self, event_id: str) -> Answer:
        """Why an event costs what it does, or why it has no price."""
        return self._get(f"/events/{quote(event_id, safe='')}/explain", {})

    def file(self, what: str, ending: str, **chosen: str) -> Iterator[bytes]:
        """`usage` or `events` as a file: csv, json, xlsx, parquet, piece by piece.

        Raises OSError for one that breaks off.
        """
        with closing(self._connection()) as connection:
            answer = self._ask(connection, f"/{what}.{ending}", chosen, {})
            try:
                while piece := answer.read(PIECE_BYTES):
                    yield piece
            except IncompleteRead as error:
                raise OSError("the file broke off") from error

    def _get(self, path: str, query: dict[str, str]) -> Answer:
        """An answer; one that has not changed since is not sent again."""
        key = f"{path}?{sorted(query.items())}"
        tag, known = self._tags.get(key, ("", {}))
        with closing(self._connection()) as connection:
            answer = self._ask(connection, path, query, {"If-None-Match": tag} if tag else {})
            if answer.status == 304:
                return known
            found: Answer = json.loads(answer.read())
        if tag := answer.headers.get("ETag", ""):
            self._tags = {key: (tag, found)}  # the last one alone: who asks again asks the same
        return found

    def _connection(self) -> HTTPConnection:
        kind = HTTPSConnection if self._is_secure else HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)

    def _ask(
        self, connection: HTTPConnection, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> HTTPResponse:
        named = {name.rstrip("_"): value for name, value in query.items() if value}
        address = f"{self._root}{path}?{urlencode(named)}"
        connection.request("GET", address, headers=self._headers | headers)
        answer = connection.getresponse()
        if answer.status not in (200, 304):
            raise _problem(answer)
        return answer


def _problem(answer: HTTPResponse) -> ProblemError:
    """The problem as the API tells it; of what stands before it, the status alone."""
    try:
        detail = str(json.loads(answer.read())["detail"])
    except (ValueError, KeyError, TypeError):
        detail = answer.reason
    wait = answer.headers.get("Retry-After", "")
    return ProblemError(answer.status, detail, int(wait) if wait.isdigit() else None)
