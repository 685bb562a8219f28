"""Access: the account that a request may read. It comes from the token, never the path alone."""

import logging
import time
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from streams.web.limits import Buckets
from streams.web.segments import AccountId
from streams.web.sessions import FAILURES_MOST, SESSION_S, Attempts, Sessions
from streams.web.tokens import EVERY_ACCOUNT, KIOSK, MANAGE, OPERATE, READ, Known, Tokens

bearer = HTTPBearer(auto_error=False, description="a token of RATER_API_TOKENS_FILE")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]

log = logging.getLogger(__name__)


class Access:
    """Decides by the tokens of RATER_API_TOKENS_FILE; without them everything is open.

    Open means: to this machine. Settings bind such a server to loopback, and it answers to a
    loopback name only (`hosts.py`).
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens
        self._sessions = None if tokens is None else Sessions(tokens)
        self._attempts = Attempts()
        self._buckets = Buckets()

    async def granted(self, request: Request, credentials: Bearer) -> str:
        """What the token lets read: an account, or `*`.

        Raises 401 without a known token, 403 for one that may not read, or 429.
        """
        known = self._token(request, credentials)
        if known is None:
            return EVERY_ACCOUNT
        if READ not in known.scopes:
            raise HTTPException(403, f"the token has not the scope {READ}")
        return known.account

    async def account(self, account: AccountId, request: Request, credentials: Bearer) -> str:
        """The account of the path, if the token grants it. Raises 401, 403 or 429."""
        if await self.granted(request, credentials) not in (EVERY_ACCOUNT, account):
            raise HTTPException(403, "the token is for another account")
        return account

    async def managed(self, account: AccountId, request: Request, credentials: Bearer) -> str:
        """The account of the path, if the token may change what is declared there.

        Raises 401, 403 or 429.
        """
        known = self._token(request, credentials)
        self._wait_turn(known)
        if known is not None and MANAGE not in known.scopes:
            raise HTTPException(403, f"the token has not the scope {MANAGE}")
        if known is not None and known.account not in (EVERY_ACCOUNT, account):
            raise HTTPException(403, "the token is for another account")
        return account

    async def operates(self, request: Request, credentials: Bearer) -> None:
        """Raises 401, or 403 for a token that may not see all accounts."""
        self.check_operates(self._token(request, credentials))

    def check_operates(self, known: Known | None) -> None:
        """Raises 403."""
        if known is not None and (OPERATE not in known.scopes or known.account != EVERY_ACCOUNT):
            raise HTTPException(403, f"the token has not the scope {OPERATE} for every account")

    async def manages(self, request: Request, credentials: Bearer) -> bool:
        """Whether the reader is shown what `managed` lets through."""
        known = self._token(request, credentials)
        return known is None or MANAGE in known.scopes

    async def asked(self, account: AccountId, request: Request, credentials: Bearer) -> str:
        """The same for the API, where a token asks only so often. Raises 401, 403 or 429."""
        self._wait_turn(self._token(request, credentials))
        return await self.account(account, request, credentials)

    def _wait_turn(self, known: Known | None) -> None:
        if known and (wait_s := self._buckets.take(known.name, time.monotonic())):
            raise HTTPException(429, "this token asks too often", {"Retry-After": str(wait_s)})

    async def display(self, token: str, request: Request) -> Known:
        """The token of a display, by its address. Raises 404 where there is none, or 429."""
        known = self.known(request, token) if self.tokens is not None else None
        if known is None or KIOSK not in known.scopes:
            raise HTTPException(404, "no display has this address, or it has expired")
        return known

    def stands(self, known: Known) -> bool:
        return self.tokens is not None and self.tokens.stands(known)

    def _token(self, request: Request, credentials: Bearer) -> Known | None:
        """The token of a request or of its session; None where none is needed."""
        if self._sessions is None:
            return None
        known = None
        if credentials:
            known = self.known(request, credentials.credentials)
        elif secret := request.cookies.get(cookie_of(request)):
            known = self._sessions.find(secret, time.monotonic())
        if known is None:
            raise HTTPException(401, "a token is needed", headers={"WWW-Authenticate": "Bearer"})
        return known

    def known(self, request: Request, token: str) -> Known | None:
        """The known token, or None; raises 429 where the address has failed too often.

        A log line for the first failure and for the last before the pause: no flood, no token.
        """
        address = request.client.host if request.client else ""
        now_s = time.monotonic()
        if wait_s := self._attempts.wait_s(address, now_s):
            raise HTTPException(
                429, "too many unknown tokens from this address", {"Retry-After": str(wait_s)}
            )
        assert self.tokens is not None
        known = self.tokens.find(token)
        if known is None:
            failed = self._attempts.fail(address, now_s)
            if failed in (1, FAILURES_MOST):
                log.warning("unknown token from %s, %d within a minute", address, failed)
        return known

    def sign_in(self, request: Request, response: Response, known: Known) -> None:
        """Begins a session: a cookie that no script reads and no other site sends."""
        assert self._sessions is not None
        response.set_cookie(
            cookie_of(request),
            self._sessions.begin(known, time.monotonic()),
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=_is_secure(request),
        )

    def sign_out(self, request: Request, response: Response) -> None:
        """Ends the session, so that a copy of the cookie opens nothing, either."""
        name = cookie_of(request)
        if self._sessions is not None:
            self._sessions.end(request.cookies.get(name, ""))
        secure = _is_secure(request)
        response.delete_cookie(name, httponly=True, samesite="strict", secure=secure)


def cookie_of(request: Request) -> str:
    """The cookie's name. Browsers take `__Host-` from this very host over TLS alone."""
    return "__Host-rater" if _is_secure(request) else "rater_session"


async def same_site(request: Request) -> None:
    """Raises 403 where a browser says that another site sent the form.

    Programs say nothing of a site and pass: what they send is not by somebody else's hand.
    """
    sent_from = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if sent_from not in ("same-origin", "none") or not ours:
        raise HTTPException(403, "the form was sent by another site")


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"
