"""The app of the page and the API: routes put together, errors as one clear message."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles

from rater import __version__
from rater.tariff import Book
from streams.base.settings import Settings
from streams.store.ledger import Ledger
from streams.store.touched import read_touched
from streams.web.access import Access
from streams.web.budget_routes import budget_page_routes
from streams.web.headers import Headers
from streams.web.history import Histories
from streams.web.hosts import Hosts
from streams.web.kiosk import kiosk_routes
from streams.web.live import Live, TooManyStreamsError
from streams.web.news import News
from streams.web.opened import opened_routes
from streams.web.page import STATIC, login_page, message_page
from streams.web.pages import page_routes
from streams.web.price_routes import price_routes
from streams.web.reads import BusyError, NoStatementError, Reads, StoreDownError
from streams.web.segments import Segments
from streams.web.sign_in import sign_in_routes
from streams.web.tokens import Tokens
from streams.web.v1 import statement_routes
from streams.web.v1_budgets import budget_routes
from streams.web.v1_charges import charge_routes
from streams.web.v1_exports import export_routes
from streams.web.v1_quote import quote_routes
from streams.web.views import Views


def create_app(ledger: Ledger, book: Callable[[], Book], settings: Settings) -> FastAPI:
    """The page and the API. Raises TokensError when the file of tokens can't be used.

    Before the server stops, `await app.state.live.close()` ends the live streams.
    """
    path = settings.api_tokens_file
    access = Access(Tokens(path) if path else None)
    reads = Reads(ledger, book)
    live = Live(News(partial(read_touched, ledger)))
    views = Views(reads, Histories(ledger), can_sign_out=access.tokens is not None)
    app = FastAPI(title="rater", version=__version__, docs_url=None, redoc_url=None)
    app.state.live = live
    app.include_router(statement_routes(reads, live, access))
    app.include_router(charge_routes(reads, access))
    app.include_router(export_routes(reads, access))
    app.include_router(budget_routes(reads, access))
    app.include_router(quote_routes(reads, access))
    app.include_router(sign_in_routes(access))
    app.include_router(opened_routes(views, access))
    app.include_router(kiosk_routes(views, live, access))
    app.include_router(price_routes(views, access))
    app.include_router(budget_page_routes(reads, views, access))
    app.include_router(page_routes(reads, views, live, access))
    app.mount("/static", StaticFiles(directory=STATIC))
    app.add_middleware(Segments)
    app.add_middleware(Hosts, listens_on=settings.web_host, names=settings.hosts)
    app.add_middleware(Headers)
    app.add_exception_handler(StarletteHTTPException, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(StoreDownError, _answer_store_down)
    app.add_exception_handler(BusyError, _answer_too_many)
    app.add_exception_handler(TooManyStreamsError, _answer_too_many)
    app.add_exception_handler(NoStatementError, _answer_no_statement)
    return app


async def _answer_error(request: Request, error: Exception) -> Response:
    """The message as problem+json (RFC 9457); to a browser that asked for a page, as a page."""
    assert isinstance(error, StarletteHTTPException)
    status, text, headers = error.status_code, str(error.detail), error.headers
    if not _wants_page(request):
        problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": text}
        return JSONResponse(problem, status, headers, "application/problem+json")
    if status == 401:
        return HTMLResponse(login_page(_target(request)), status, headers=headers)
    return HTMLResponse(message_page(text), status, headers=headers)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """What of the address is wrong, by name; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    said = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
    return await _answer_error(request, HTTPException(422, "; ".join(said)))


async def _answer_store_down(request: Request, error: Exception) -> Response:
    return await _answer_error(request, HTTPException(503, str(error), {"Retry-After": "5"}))


async def _answer_too_many(request: Request, error: Exception) -> Response:
    return await _answer_error(request, HTTPException(429, str(error), {"Retry-After": "5"}))


async def _answer_no_statement(request: Request, error: Exception) -> Response:
    return await _answer_error(request, HTTPException(404, str(error)))


def _wants_page(request: Request) -> bool:
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get(
        "accept", ""
    )


def _target(request: Request) -> str:
    """Where the reader wanted to go, with the month asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    return str(request.scope["path"]) + query
