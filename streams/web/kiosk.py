"""A display on a wall: one account's Overview at an address of its own, until it expires.

The address is the token: who has it sees the page, and nothing else opens by it. It is in no log of
ours; a proxy that logs addresses logs it.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, Response

from streams.web.access import Access
from streams.web.frame import with_query
from streams.web.live import EventStream, Live
from streams.web.page import page
from streams.web.tokens import Known
from streams.web.views import Asked, Views, shape_of

Address = Annotated[str, Path(max_length=128)]
Shape = Annotated[str, Query(max_length=32)]


def kiosk_routes(views: Views, live: Live, access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    Display = Annotated[Known, Depends(access.display)]

    @routes.get("/kiosk/{token}")
    async def display(display: Display, token: Address) -> Response:
        """The current month, with nothing around it."""
        asked = Asked(display.account, "overview", None)
        view = await views.view(asked)
        stream = with_query(f"/kiosk/{token}/live", {"shape": shape_of(view)})
        frame = views.frame(asked)
        return HTMLResponse(page("overview", view, frame, stream, alone=True))

    @routes.get("/kiosk/{token}/live")
    async def live_display(display: Display, shape: Shape = "") -> EventStream:
        """What changes on it, until the token is taken back or has expired."""
        watched = views.watched(Asked(display.account, "overview", None), shape)
        return await live.opened(watched, allowed=partial(access.stands, display))

    return routes
