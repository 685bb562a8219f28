"""The routes of charges below /v1: by filters, page by page, and why one costs what it does."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import JSONResponse, Response

from streams.operations.explain import why_unknown
from streams.web.access import Access
from streams.web.answers import PROBLEMS, Charges, Explained
from streams.web.charges import Limit, WantedCharges, read_charges
from streams.web.filters import PageAfter
from streams.web.months import Month
from streams.web.reads import Reads
from streams.web.segments import EventId


def charge_routes(reads: Reads, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/v1/accounts/{account}", tags=["charges"], responses=PROBLEMS)
    Account = Annotated[str, Depends(access.asked)]

    @routes.get("/events", response_model=Charges)
    async def events(
        account: Account,
        month: Month,
        wanted: WantedCharges,
        cursor: PageAfter,
        limit: Limit = 50,
    ) -> Response:
        """Charges by a filter, the newest first, and what all of the filter's add up to."""
        found = await reads.off_loop(
            account,
            read_charges,
            reads,
            account,
            month,
            wanted=wanted,
            before=cursor,
            limit=limit,
        )
        return JSONResponse(found)

    @routes.get("/events/{event_id}/explain", response_model=Explained)
    async def explain(account: Account, event_id: EventId) -> Response:
        """Why an event costs what it does: each charge in a sentence, with all its facts.

        An event that waits for a price, or was refused, has its outcome.
        """
        explained = await reads.explain(account, event_id)
        if explained is None:
            raise HTTPException(404, why_unknown(event_id))
        return JSONResponse(explained)

    return routes
