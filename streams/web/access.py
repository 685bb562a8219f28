"""Access: the account that a request may read. It comes from the token, never the path alone."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from streams.web.tokens import EVERY_ACCOUNT, Tokens

COOKIE = "rater_token"

bearer = HTTPBearer(auto_error=False, description="a token of RATER_API_TOKENS_FILE")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class Access:
    """Decides by the tokens of RATER_API_TOKENS_FILE; without them everything is open.

    Open means: to this machine. Settings bind such a server to loopback, and it answers to a
    loopback name only (`hosts.py`).
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens

    async def granted(self, request: Request, credentials: Bearer) -> str:
        """What the token grants: an account, or `*`. Raises 401 without a known token."""
        if self.tokens is None:
            return EVERY_ACCOUNT
        token = credentials.credentials if credentials else request.cookies.get(COOKIE, "")
        granted = self.tokens.account_of(token)
        if granted is None:
            raise HTTPException(401, "a token is needed", headers={"WWW-Authenticate": "Bearer"})
        return granted

    async def account(self, account: str, request: Request, credentials: Bearer) -> str:
        """The account of the path, if the token grants it. Raises 401 or 403."""
        if await self.granted(request, credentials) not in (EVERY_ACCOUNT, account):
            raise HTTPException(403, "the token is for another account")
        return account
