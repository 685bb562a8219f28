"""The host check of a door: it answers only to the names it is known by.

A page elsewhere that gives its own name the address of this machine (DNS rebinding) would read a
door on loopback in its visitor's browser. The browser still tells that name as the host.
"""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.base.settings import is_loopback


class Hosts:
    """Answers 421 to a request for a name that is none of this door's.

    Loopback names are always known. A door that listens beyond loopback is known by any address,
    too: what a person typed, and never a name that somebody else can point here. `names` are more.
    """

    def __init__(self, app: ASGIApp, listens_on: str, names: Collection[str] = ()) -> None:
        self._app = app
        self._any_address = not is_loopback(listens_on)
        self._names = {name.lower() for name in names} | {listens_on.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._knows(_host_name(Headers(scope=scope))):
            await self._app(scope, receive, send)
            return
        problem = {
            "title": "Misdirected Request",
            "status": 421,
            "detail": "this server is not known by that name; RATER_HOSTS lists more",
        }
        answer = JSONResponse(problem, 421, media_type="application/problem+json")
        await answer(scope, receive, send)

    def _knows(self, host: str) -> bool:
        return is_loopback(host) or host in self._names or (self._any_address and _is_address(host))


def _host_name(headers: Headers) -> str:
    """The host that the client named, in small letters, without its port."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
