"""The route of quotes below /v1: what a campaign will cost before it is dialed."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from rater.quote import DIALS_MOST, LINES_MOST, QuoteError, add_dials
from streams.web.access import Access
from streams.web.answers import PROBLEMS, Exact, Quoted
from streams.web.quotes import MINUTES_MOST, quote_json, ratio_of
from streams.web.reads import Reads


class Dials(BaseModel):
    """So many dials to a number, or to numbers of a prefix."""

    model_config = ConfigDict(extra="forbid")

    to: str = Field(pattern=r"^\+?[0-9]{1,15}$", examples=["+44"])
    dials: int = Field(1, ge=0, le=DIALS_MOST)


class WantedQuote(BaseModel):
    """A campaign. Without a rate and minutes, the account's own of the last eight weeks."""

    model_config = ConfigDict(extra="forbid")

    numbers: list[Dials] = Field(min_length=1, max_length=LINES_MOST)
    answer_percent: Exact | None = Field(None, max_length=12)
    minutes_per_dial: Exact | None = Field(None, max_length=12)
    detection: bool = Field(True, description="A.I. voice detection on each that is answered")


def quote_routes(reads: Reads, access: Access) -> APIRouter:
    routes = APIRouter(prefix="/v1/accounts/{account}", tags=["quote"], responses=PROBLEMS)
    Account = Annotated[str, Depends(access.asked)]

    @routes.post("/quote", response_model=Quoted)
    async def quote(account: Account, wanted: WantedQuote) -> Response:
        """What dials by today's prices will cost: a range, and its parts by price."""
        dials: dict[str, int] = {}
        try:
            for one in wanted.numbers:
                add_dials(dials, one.to, one.dials)
        except QuoteError as error:
            raise HTTPException(422, str(error)) from None
        answer = await reads.off_loop(
            account,
            quote_json,
            reads,
            account,
            dials,
            answered=ratio_of("answer_percent", wanted.answer_percent or "", 100, 100),
            minutes=ratio_of("minutes_per_dial", wanted.minutes_per_dial or "", MINUTES_MOST),
            detection=wanted.detection,
        )
        return JSONResponse(answer)

    return routes
