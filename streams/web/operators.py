"""The routes of /ops on the operators' door: what is ill, and what to do about dead letters.

It shows records, so it asks for a token with the scope `operate` (as the password of HTTP Basic, or
as a bearer) where RATER_API_TOKENS_FILE is set, and without one opens on loopback alone.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import anyio.to_thread
import structlog
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from rater.decode import decode
from rater.instants import to_us
from rater.kinds import KINDS
from rater.reject import Reject
from streams.base.errors import first_line
from streams.base.settings import Settings, is_loopback
from streams.operations.letters import send_fixed
from streams.store.ledger import Ledger, StoreErrors
from streams.store.letters import Content, Letter, read_letter
from streams.store.operators import (
    dismiss,
    read_letter_groups,
    read_letter_places,
    read_pace,
    read_partitions,
    read_waiting_groups,
)
from streams.store.parked import count_parked
from streams.store.walks import read_walk
from streams.web.access import Access, same_site
from streams.web.forms import read_form
from streams.web.ops_view import Overall, letter_page, letters_page, ops_page
from streams.web.page import STATIC
from streams.web.tokens import Tokens

SHOWN_MOST = 50
FORM_BYTES = 524_288  # a record of 64 KiB, quoted
log = structlog.get_logger()

Answer = Callable[[Request], Awaitable[Response]]


class Operators:
    """The pages over a ledger, for who may operate."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        path = settings.api_tokens_file
        self._access = Access(Tokens(path) if path else None)

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/ops", self._guarded(self._overall)),
            Route("/ops/letters", self._guarded(self._letters)),
            Route("/ops/letter", self._guarded(self._letter)),
            Route("/ops/dismiss", self._guarded(self._dismiss), methods=["POST"]),
            Route("/ops/send", self._guarded(self._send), methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def _guarded(self, answer: Answer) -> Answer:
        async def guarded(request: Request) -> Response:
            self._let_in(request)
            if request.method == "POST":
                await same_site(request)
            try:
                return await answer(request)
            except StoreErrors as error:
                log.warning("ops_read_failed", error=first_line(error))
                raise HTTPException(503, "the store does not answer") from None

        return guarded

    def _let_in(self, request: Request) -> None:
        """Raises 401, 403 or 429."""
        if self._access.tokens is None:
            if not is_loopback(self._settings.ops_host):
                raise HTTPException(403, "/ops beyond loopback: set RATER_API_TOKENS_FILE")
            return
        token = token_of(request.headers.get("authorization", ""))
        known = self._access.known(request, token) if token else None
        if known is None:
            raise HTTPException(
                401,
                "a token is needed",
                {"WWW-Authenticate": 'Basic realm="rater"'},
            )
        self._access.check_operates(known)

    async def _overall(self, _: Request) -> Response:
        now = datetime.now(UTC)

        def read() -> Overall:
            audited = read_walk(self._ledger, "audit").position
            return Overall(
                read_pace(self._ledger, now),
                read_partitions(self._ledger),
                read_letter_groups(self._ledger, now),
                read_waiting_groups(self._ledger, SHOWN_MOST),
                count_parked(self._ledger),
                datetime.fromisoformat(audited) if audited else None,
            )

        return HTMLResponse(ops_page(await anyio.to_thread.run_sync(read), now))

    async def _letters(self, request: Request) -> Response:
        reason = request.query_params.get("reason", "")
        places = await anyio.to_thread.run_sync(
            read_letter_places, self._ledger, reason, SHOWN_MOST
        )
        return HTMLResponse(letters_page(reason, places))

    async def _letter(self, request: Request) -> Response:
        letter, content = await self._find(dict(request.query_params))
        return HTMLResponse(letter_page(letter, content))

    async def _dismiss(self, request: Request) -> Response:
        """Lays one letter aside, or all of a reason."""
        form = await read_form(request)
        if "topic" in form:
            letter, _ = await self._find(form)
            place = letter.topic, letter.partition, letter.offset
            await anyio.to_thread.run_sync(dismiss, self._ledger, letter.reason, place)
        else:
            await anyio.to_thread.run_sync(dismiss, self._ledger, form.get("reason", ""))
        return RedirectResponse("/ops", 303)

    async def _send(self, request: Request) -> Response:
        """Sends what an operator made of a record, if it is an event now."""
        form = await read_form(request, FORM_BYTES)
        letter, content = await self._find(form)
        text = form.get("text", "")
        problem = _why_not(letter, text)
        if not problem:
            fixed = Content(content.key, text.encode(), content.headers)
            problem = await send_fixed(self._settings, self._ledger, letter, fixed)
        if problem:
            return HTMLResponse(letter_page(letter, content, text=text, problem=problem), 422)
        place = letter.topic, letter.partition, letter.offset
        await anyio.to_thread.run_sync(dismiss, self._ledger, letter.reason, place)
        return RedirectResponse("/ops", 303)

    async def _find(self, named: dict[str, str]) -> tuple[Letter, Content]:
        """Raises 404 for what is no letter."""
        try:
            place = named["topic"], int(named["partition"]), int(named["offset"])
            if not 0 <= place[1] < 2**31 or not 0 <= place[2] < 2**63:
                raise ValueError
        except (KeyError, ValueError):
            raise HTTPException(404, "there is no such dead letter") from None
        found = await anyio.to_thread.run_sync(read_letter, self._ledger, place)
        if found is None:
            raise HTTPException(404, "there is no such dead letter")
        return found


def token_of(header: str) -> str:
    """The token of an Authorization header: a bearer's, or the password of Basic."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _why_not(letter: Letter, text: str) -> str:
    """Why a text is no event of the letter's kind still; "" where it is one."""
    if letter.kind not in KINDS:
        return "its topic is of no kind that is known"
    read = decode(KINDS[letter.kind], text.encode(), to_us(datetime.now(UTC)))
    return f"{read.reason.value}: {read.message}" if isinstance(read, Reject) else ""
