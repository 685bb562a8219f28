"""The routes of the page: the way in, one account's month, signing in and out."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.web.access import Access
from streams.web.frame import account_path
from streams.web.live import EventStream, Live
from streams.web.months import Month
from streams.web.page import bare
from streams.web.page import page as page_of
from streams.web.reads import Reads
from streams.web.tokens import EVERY_ACCOUNT
from streams.web.views import Asked, Views, shape_of

Tab = Annotated[str, Query(max_length=16)]
Exact = Annotated[str, Query(max_length=1)]
Page = Annotated[Literal["overview", "usage"], Query()]
After = Annotated[str, Query(max_length=256)]
Shape = Annotated[str, Query(max_length=32)]


def page_routes(reads: Reads, views: Views, live: Live, access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    Account = Annotated[str, Depends(access.account)]

    @routes.get("/")
    async def home(granted: Annotated[str, Depends(access.granted)]) -> Response:
        """To the token's account; where it may see all, to the first that the book names."""
        account = reads.first_account() if granted == EVERY_ACCOUNT else granted
        return RedirectResponse(account_path(account), 303)

    @routes.get("/accounts", dependencies=[Depends(access.operates)])
    async def accounts(after: After = "") -> Response:
        """All accounts at a glance, a page by name."""
        return HTMLResponse(bare("Accounts", await views.accounts(after)))

    @routes.get("/accounts/{account}")
    async def overview(account: Account, month: Month) -> Response:
        """What was spent, what it will come to, and why it is more."""
        return await shown(Asked(account, "overview", month), "overview")

    @routes.get("/accounts/{account}/usage")
    async def usage(account: Account, month: Month, tab: Tab = "", exact: Exact = "") -> Response:
        """The statement of a month."""
        return await shown(Asked(account, "usage", month, tab, bool(exact)), "usage")

    @routes.get("/accounts/{account}/live")
    async def live_view(
        account: Account,
        month: Month,
        page: Page,
        shape: Shape = "",
        tab: Tab = "",
        exact: Exact = "",
    ) -> EventStream:
        """What changes in a page that is open, as fragments of it."""
        asked = Asked(account, page, month, tab, bool(exact))
        return await live.opened(views.watched(asked, shape))

    async def shown(asked: Asked, title: str) -> Response:
        view, frame = await views.view(asked), views.frame(asked)
        stream = frame.live(asked.page, shape=shape_of(view), **asked.query())
        return HTMLResponse(page_of(title, view, frame, stream))

    return routes
