"""The routes below /v1: one account's usage as JSON and as a live stream."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from streams.web.access import Access
from streams.web.answers import PROBLEMS, Months, Statement, UsageGroups
from streams.web.charges import By, WantedCharges, read_usage_groups
from streams.web.etags import answer_once
from streams.web.live import EventStream, Live
from streams.web.months import Month
from streams.web.reads import Reads
from streams.web.watched import Due, Reader, Told, Watched

UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The reader's If-None-Match names this answer"}
}


def statement_routes(reads: Reads, live: Live, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/v1/accounts/{account}", tags=["usage"], responses=PROBLEMS)
    Account = Annotated[str, Depends(access.asked)]

    @routes.get("/usage", response_model=Statement | UsageGroups, responses=UNCHANGED)
    async def usage(
        account: Account, month: Month, wanted: WantedCharges, by: By, request: Request
    ) -> Response:
        """The statement of a month; with a grouping, range or filter, sums by line and group."""
        if by or wanted.items():
            groups = await reads.off_loop(
                account, read_usage_groups, reads, account, month, wanted=wanted, by=by
            )
            return answer_once(request, groups)
        return answer_once(request, await reads.statement(account, month))

    @routes.get("/usage/months", response_model=Months, responses=UNCHANGED)
    async def months(account: Account, request: Request) -> Response:
        """The months that have usage, newest first."""
        found: list[date] = await reads.months(account)
        told = {"account_id": account, "months": [f"{month:%Y-%m}" for month in found]}
        return answer_once(request, told)

    @routes.get(
        "/live",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def live_usage(account: Account, month: Month) -> EventStream:
        """Server-sent events `statement`: the statement now, and each time it changed."""
        return await live.opened(watched_statement(reads, account, month))

    return routes


def watched_statement(reads: Reader, account: str, month: date | None) -> Watched[dict[str, Any]]:
    """A statement as a stream: told whole, whenever more than its as-of has changed."""

    def tell(before: dict[str, Any] | None, after: dict[str, Any]) -> Told | None:
        same = before is not None and before | {"as_of": ""} == after | {"as_of": ""}
        return None if same else Told("statement", after)

    return Watched(
        account,
        month,
        ("statement", month),
        reader=reads,
        make=_as_they_are,
        tell=tell,
        as_of=lambda statement: str(statement["as_of"]),
    )


def _as_they_are(due: Sequence[Due[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [one.statement for one in due]
