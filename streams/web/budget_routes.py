"""The page of budgets, and the forms on it for who may manage them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from streams.web.access import Access, same_site
from streams.web.budgets import delete_budget, put_budget, wanted_budget
from streams.web.forms import read_form
from streams.web.page import page
from streams.web.reads import Reads
from streams.web.views import Asked, Views


def budget_page_routes(reads: Reads, views: Views, access: Access) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    Account = Annotated[str, Depends(access.account)]
    Managed = Annotated[str, Depends(access.managed)]

    @routes.get("/accounts/{account}/budgets")
    async def budgets(
        account: Account, manages: Annotated[bool, Depends(access.manages)]
    ) -> Response:
        """Budgets, how each stands, what was told of them."""
        asked = Asked(account, "budgets", None, manages=manages)
        return HTMLResponse(page("budgets", await views.view(asked), views.frame(asked)))

    @routes.post("/accounts/{account}/budgets", dependencies=[Depends(same_site)])
    async def change(account: Managed, request: Request) -> Response:
        """Sets the budget of a form, or deletes it."""
        form = await read_form(request)
        name = form.get("name", "").strip()
        if form.get("remove"):
            await reads.off_loop(account, delete_budget, reads, account, name)
        else:
            budget = wanted_budget(
                account,
                name,
                form.get("amount", "").strip(),
                lines=[one for one in form.get("lines", "").split(",") if one],
                campaign=form.get("campaign", "").strip(),
                user=form.get("user", "").strip(),
            )
            await reads.off_loop(account, put_budget, reads, budget)
        return RedirectResponse(views.frame(Asked(account, "budgets", None)).to("budgets"), 303)

    return routes
