"""The routes that begin and end a session."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.web.access import Access, same_site
from streams.web.forms import read_form
from streams.web.page import login_page


def sign_in_routes(access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/login")
    async def login_form() -> Response:
        return HTMLResponse(login_page("/"))

    @routes.post("/login", dependencies=[Depends(same_site)])
    async def login(request: Request) -> Response:
        """Begins a session for a known token."""
        form = await read_form(request)
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
