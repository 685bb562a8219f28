"""ETags: a reader that has an answer already is told so, and is sent nothing twice."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import JSONResponse, Response

# What moves on its own while nothing else has changed.
_MOVING = ("as_of", "behind_s")


def answer_once(request: Request, data: Mapping[str, Any]) -> Response:
    """The data with a weak ETag, or 304 where the reader's `If-None-Match` names it.

    Weak: an as-of that moved on, with the same figures and the same state, is the same answer.
    """
    said = {name: value for name, value in data.items() if name not in _MOVING}
    if isinstance(fresh := said.get("freshness"), dict):
        said["freshness"] = {name: value for name, value in fresh.items() if name not in _MOVING}
    digest = hashlib.blake2b(orjson.dumps(said), digest_size=16).hexdigest()
    headers = {"ETag": f'W/"{digest}"'}
    named = request.headers.get("if-none-match", "").split(",")
    known = [one.strip().removeprefix("W/") for one in named]
    if f'"{digest}"' in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return JSONResponse(data, headers=headers)
