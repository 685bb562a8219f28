"""A small form that was sent: its fields, within bounds."""

import asyncio
from urllib.parse import parse_qs

from fastapi import HTTPException, Request

FORM_MAX_BYTES = 8192
FORM_S = 10.0


async def read_form(request: Request, max_bytes: int = FORM_MAX_BYTES) -> dict[str, str]:
    """The fields of a small urlencoded form, read here to spare a dependency."""
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise HTTPException(413, "the form is too large")
    except TimeoutError:
        raise HTTPException(408, "the form took too long", {"Connection": "close"}) from None
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in fields.items()}
