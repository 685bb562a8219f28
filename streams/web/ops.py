"""The operators' door: /livez, /healthz, /readyz, /metrics, which ask no token and name no account;
and a worker's /ops, which may ask for one.

Metrics tell of the whole platform, money among it, so they have a port of their own, on loopback
unless RATER_OPS_HOST says otherwise; the page's port has none of these.
"""

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from streams.base.settings import Settings
from streams.web.headers import Headers
from streams.web.health import Health
from streams.web.hosts import Hosts
from streams.web.operators import Operators


def create_ops_app(
    health: Health, settings: Settings, operators: Operators | None = None
) -> Starlette:
    async def livez(_: Request) -> Response:
        return _verdict(None)  # whoever has this answer has seen the loop turn

    async def healthz(_: Request) -> Response:
        return _verdict(health.alive())

    async def readyz(_: Request) -> Response:
        return _verdict(await anyio.to_thread.run_sync(health.ready))

    async def metrics(_: Request) -> Response:
        # Off the loop: whether the store answers is asked of it.
        said = await anyio.to_thread.run_sync(generate_latest)
        return Response(said, headers={"Content-Type": CONTENT_TYPE_LATEST})

    doors = {"/livez": livez, "/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    routes: list[Route | Mount] = [Route(path, door) for path, door in doors.items()]
    if operators is not None:
        routes += operators.routes()
    hosts = Middleware(Hosts, listens_on=settings.ops_host, names=settings.hosts)
    return Starlette(routes=routes, middleware=[Middleware(Headers), hosts])


def _verdict(reason: str | None) -> Response:
    return JSONResponse({"status": reason or "ok"}, status_code=503 if reason else 200)
