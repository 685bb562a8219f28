"""The routes of files below /v1: a statement, or the charges of any filter, in each format."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from streams.formats.registry import EXPORTERS, Exporter
from streams.web.access import Access
from streams.web.answers import PROBLEMS
from streams.web.charges import WantedCharges, export_charges
from streams.web.export import Download, Exports
from streams.web.months import Month
from streams.web.reads import Reads


def export_routes(reads: Reads, access: Access) -> APIRouter:
    routes = APIRouter(
        prefix="/v1/accounts/{account}",
        tags=["files"],
        default_response_class=StreamingResponse,
        responses=PROBLEMS,
    )
    exports = Exports(reads)
    for ending, exporter in EXPORTERS.items():
        _add(routes, reads, access, exports, ending, exporter)
    return routes


def _add(
    routes: APIRouter,
    reads: Reads,
    access: Access,
    exports: Exports,
    ending: str,
    exporter: Exporter,
) -> None:
    Account = Annotated[str, Depends(access.asked)]
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {exporter.media_type: {"schema": {"type": "string", "format": "binary"}}}}
    }

    @routes.get(f"/usage.{ending}", name=f"usage_{ending}", responses=answers)
    async def usage(account: Account, month: Month) -> Download:
        statement = await reads.statement(account, month)
        name = f"usage-{account}-{statement['month']}.{ending}"
        made = exporter.statement(statement)
        return await exports.response(account, made, exporter.media_type, name)

    @routes.get(f"/events.{ending}", name=f"events_{ending}", responses=answers)
    async def events(account: Account, month: Month, wanted: WantedCharges) -> Download:
        days = wanted.day or "-".join(filter(None, (wanted.first, wanted.last)))
        of = days or f"{month or reads.this_month(account):%Y-%m}"
        made = export_charges(reads, account, month, wanted=wanted, exporter=exporter)
        name = f"events-{account}-{of}.{ending}"
        return await exports.response(account, made, exporter.media_type, name)

    usage.__doc__ = f"The statement of a month as a file: {exporter.title}."
    events.__doc__ = f"All charges of a filter as a file: {exporter.title}."
