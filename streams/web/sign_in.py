"""The routes that begin and end a session."""

import asyncio
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.web.access import Access, same_site
from streams.web.page import login_page

FORM_MAX_BYTES = 8192
FORM_S = 10.0


def sign_in_routes(access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/login")
    async def login_form() -> Response:
        return HTMLResponse(login_page("/"))

    @routes.post("/login", dependencies=[Depends(same_site)])
    async def login(request: Request) -> Response:
        """Begins a session for a known token."""
        form = await _form(request)
        token = form.get("token", "").strip()
        target = _local_path(form.get("next", "/"))
        response = RedirectResponse(target, 303)
        if access.tokens is None:
            return response
        known = access.known(request, token)
        if known is None:
            return HTMLResponse(login_page(target, "This token is not known."), 401)
        access.sign_in(request, response, known)
        return response

    @routes.post("/logout", dependencies=[Depends(same_site)])
    async def logout(request: Request) -> Response:
        response = RedirectResponse("/login", 303)
        access.sign_out(request, response)
        return response

    return routes


def _local_path(target: str) -> str:
    """The page to go to after signing in; never another site."""
    return target if target.startswith("/accounts/") else "/"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small urlencoded form, read here to spare a dependency."""
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for part in request.stream():
                body += part
                if len(body) > FORM_MAX_BYTES:
                    raise HTTPException(413, "the form is too large")
    except TimeoutError:
        raise HTTPException(408, "the form took too long", {"Connection": "close"}) from None
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}
