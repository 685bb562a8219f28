"""The pages that a number opens: a line, the charges of a filter, one event; and the search."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.web.access import Access
from streams.web.filters import PageAfter, WantedFilter
from streams.web.months import Month
from streams.web.page import page
from streams.web.segments import EventId
from streams.web.views import Asked, Views

LineName = Annotated[str, Path(max_length=64)]
Searched = Annotated[str, Query(max_length=256)]


def opened_routes(views: Views, access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    Account = Annotated[str, Depends(access.account)]

    @routes.get("/accounts/{account}/activity")
    async def activity(
        account: Account, month: Month, wanted: WantedFilter, cursor: PageAfter
    ) -> Response:
        """Each charge, newest first, by filters."""
        asked = Asked(account, "activity", month, wanted=wanted, cursor=cursor)
        return await still(asked, "activity")

    @routes.get("/accounts/{account}/lines/{name}")
    async def line(
        account: Account, name: LineName, month: Month, wanted: WantedFilter
    ) -> Response:
        """A line of the statement by day, and by all that may have run it up."""
        wanted = replace(wanted, line=name)
        return await still(Asked(account, "line", month, wanted=wanted), wanted.line)

    @routes.get("/accounts/{account}/events/{event_id}")
    async def event(account: Account, event_id: EventId) -> Response:
        """Why an event costs what it does, or why it has no price."""
        return await still(Asked(account, "event", None, event=event_id), event_id)

    @routes.get("/accounts/{account}/campaigns")
    async def campaigns(account: Account, month: Month) -> Response:
        """Each campaign of a month: what it reached, and for how much."""
        return await still(Asked(account, "campaigns", month), "campaigns")

    @routes.get("/accounts/{account}/numbers")
    async def numbers(account: Account, month: Month) -> Response:
        """Each number of a month, and which of them nobody used."""
        return await still(Asked(account, "numbers", month), "numbers")

    @routes.get("/accounts/{account}/recordings")
    async def recordings(account: Account, month: Month) -> Response:
        """What is stored, by when it was made, and what deleting it saves."""
        return await still(Asked(account, "recordings", month), "recordings")

    @routes.get("/accounts/{account}/search")
    async def search(account: Account, q: Searched = "") -> Response:
        """To what the words name: an event, a number, a campaign."""
        return RedirectResponse(await views.find(account, q.strip()), 303)

    async def still(asked: Asked, title: str) -> Response:
        """A page that does not change while it is open."""
        return HTMLResponse(page(title, await views.view(asked), views.frame(asked)))

    return routes
