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
    of_statement, of_charges = _answers(exporter, "object"), _answers(exporter, "array")

    @routes.get(f"/usage.{ending}", name=f"usage_{ending}", responses=of_statement)
    async def usage(account: Account, month: Month) -> Download:
        statement = await reads.statement(account, month)
        name = f"usage-{account}-{statement['month']}.{ending}"
        made = exporter.statement(statement)
        return await exports.response(account, made, exporter.media_type, name)

    @routes.get(f"/events.{ending}", name=f"events_{ending}", responses=of_charges)
    async def events(account: Account, month: Month, wanted: WantedCharges) -> Download:
        days = wanted.day or "-".join(filter(None, (wanted.first, wanted.last)))
        of = days or f"{month or reads.this_month(account):%Y-%m}"
        made = export_charges(reads, account, month, wanted=wanted, exporter=exporter)
        name = f"events-{account}-{of}.{ending}"
        return await exports.response(account, made, exporter.media_type, name)

    usage.__doc__ = f"The statement of a month as a file: {exporter.title}."
    events.__doc__ = f"All charges of a filter as a file: {exporter.title}."


def _answers(exporter: Exporter, json_type: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    if exporter.media_type.endswith("json"):
        schema = {"type": json_type}
    return {200: {"content": {exporter.media_type: {"schema": schema}}}}
