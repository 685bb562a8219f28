"""The month of a request: `?month=YYYY-MM`, or none for the current one."""

import re
from datetime import date
from typing import Annotated

from fastapi import Depends, HTTPException, Query

from rater.months import parse_month

# What the ledger's Date can hold, in whole years.
FIRST_YEAR, LAST_YEAR = 1970, 2148


def requested_month(
    month: Annotated[
        str | None, Query(description="YYYY-MM; the account's current month when absent")
    ] = None,
) -> date | None:
    """Raises 422 for what is no month."""
    if not month:
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", month):
            raise ValueError(f"month {month[:20]!r} is not YYYY-MM, for example 2026-11")
        day = parse_month(month)
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise ValueError(f"month {month!r} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    return day


Month = Annotated[date | None, Depends(requested_month)]
