"""The routes of budgets below /v1: how each stands and what was told; set and deleted by a token
with the scope `manage`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from rater.lines import PRICED
from streams.web.access import Access, same_site
from streams.web.answers import PROBLEMS, BudgetStands, Declared, Exact
from streams.web.budgets import (
    NAME_MOST,
    TEXT_MOST,
    budget_json,
    delete_budget,
    put_budget,
    standings_json,
    wanted_budget,
)
from streams.web.etags import answer_once
from streams.web.reads import Reads
from streams.web.segments import unquote_part
from streams.web.v1 import UNCHANGED


class WantedBudget(BaseModel):
    """An amount a month, with tax; what is left out says nothing of which usage it is of."""

    model_config = ConfigDict(extra="forbid")

    amount: Exact = Field(max_length=32, examples=["250"])
    lines: list[str] = Field([], max_length=len(PRICED), examples=[["calls"]])
    campaign: str = Field("", max_length=TEXT_MOST)
    user: str = Field("", max_length=TEXT_MOST)


def name_of(name: Annotated[str, Path(max_length=9 * NAME_MOST)]) -> str:
    return unquote_part(name)


Name = Annotated[str, Depends(name_of)]


def budget_routes(reads: Reads, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/v1/accounts/{account}", tags=["budgets"], responses=PROBLEMS)
    Account = Annotated[str, Depends(access.asked)]
    Managed = Annotated[str, Depends(access.managed)]

    @routes.get("/budgets", response_model=BudgetStands, responses=UNCHANGED)
    async def budgets(account: Account, request: Request) -> Response:
        """Each budget and how it stands in the month under way, and what was told of them."""
        return answer_once(request, await reads.off_loop(account, standings_json, reads, account))

    @routes.put("/budgets/{name}", response_model=Declared, dependencies=[Depends(same_site)])
    async def put(account: Managed, name: Name, wanted: WantedBudget) -> Response:
        """Declares a budget, or changes the one of this name, which then tells anew."""
        budget = wanted_budget(
            account,
            name,
            wanted.amount,
            lines=wanted.lines,
            campaign=wanted.campaign,
            user=wanted.user,
        )
        await reads.off_loop(account, put_budget, reads, budget)
        return JSONResponse(budget_json(budget))

    @routes.delete("/budgets/{name}", status_code=204, dependencies=[Depends(same_site)])
    async def delete(account: Managed, name: Name) -> Response:
        """Takes a budget back; what was told of it stays."""
        await reads.off_loop(account, delete_budget, reads, account, name)
        return Response(status_code=204)

    return routes
