"""The page of prices: what it costs to call somewhere, and what a campaign will cost."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from streams.web.access import Access, same_site
from streams.web.forms import read_form
from streams.web.opened import Searched
from streams.web.page import page
from streams.web.views import Asked, Views

FORM_BYTES = 524_288  # ten thousand numbers, quoted


def price_routes(views: Views, access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    Account = Annotated[str, Depends(access.account)]

    @routes.get("/accounts/{account}/prices")
    async def prices(account: Account, q: Searched = "") -> Response:
        """What it costs to call a number or a place."""
        return await shown(Asked(account, "prices", None, words=q.strip()))

    @routes.post("/accounts/{account}/prices", dependencies=[Depends(same_site)])
    async def quote(account: Account, request: Request) -> Response:
        """What a campaign will cost: a list of numbers or prefixes with counts."""
        form = await read_form(request, FORM_BYTES)
        return await shown(Asked(account, "prices", None, quote=tuple(sorted(form.items()))))

    async def shown(asked: Asked) -> Response:
        return HTMLResponse(page("prices", await views.view(asked), views.frame(asked)))

    return routes
