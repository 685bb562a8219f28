"""The routes of operators: /healthz, /readyz, /metrics. Open, and without any account in them."""

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streams.web.health import Health


def ops_routes(health: Health) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return _verdict(health.alive())

    async def readyz(_: Request) -> Response:
        return _verdict(await anyio.to_thread.run_sync(health.ready))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def _verdict(reason: str | None) -> Response:
    return JSONResponse({"status": reason or "ok"}, status_code=503 if reason else 200)
