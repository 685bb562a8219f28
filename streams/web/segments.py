"""Parts of a path as they were sent: a slash or a line end inside an id is no end of it.

A server decodes a whole path before it is matched, so that `/accounts/a%2Fb` reads as two parts.
"""

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends
from fastapi import Path as Part
from starlette.types import ASGIApp, Receive, Scope, Send


class Segments:
    """Matches routes by the path as it was sent, each part quoted in one way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (raw := scope.get("raw_path")):
            parts = raw.decode("ascii", "replace").split("/")
            scope = dict(scope) | {
                "path": "/".join(quote(unquote(part), safe="") for part in parts)
            }
        await self._app(scope, receive, send)


def unquote_part(part: str) -> str:
    """A part of a path as it was meant."""
    return unquote(part)


def account_of(account: Annotated[str, Part()]) -> str:
    return unquote(account)


def event_of(event_id: Annotated[str, Part()]) -> str:
    return unquote(event_id)


AccountId = Annotated[str, Depends(account_of)]
EventId = Annotated[str, Depends(event_of)]
