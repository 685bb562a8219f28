"""Exports: a filter's charges or a statement as a file, in the formats of EXPORTERS.

A file is made in steps, each a read of one page in the account's turn, so that an export of a
million rows holds up no page and is in memory a page at a time. One that breaks ends its
connection: a file that arrived whole is whole.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from starlette.types import Send

from streams.web.reads import BusyError, Reads

EXPORTS_MOST = 4  # of an account at once


class Exports:
    """The exports under way."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._open: Counter[str] = Counter()

    async def response(
        self, account: str, pieces: Iterable[bytes], media_type: str, name: str
    ) -> "Download":
        """The file as it is made. What its first step raises is raised here, and BusyError."""
        if self._open[account] >= EXPORTS_MOST:
            raise BusyError(f"this account has {EXPORTS_MOST} exports under way already")
        made = self._made(account, pieces)
        await anext(made)  # the first step, before an answer begins
        return Download(made, media_type=media_type, headers=attachment(name))

    async def _made(self, account: str, pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Nothing once the first step is done; then each piece."""
        steps = _steps(pieces)
        self._open[account] += 1
        try:
            piece = await self._reads.off_loop(account, next, steps, None)
            yield b""
            while piece is not None:
                if piece:
                    yield piece
                piece = await self._reads.off_loop(account, next, steps, None)
        finally:
            steps.close()
            self._open[account] -= 1
            if not self._open[account]:
                del self._open[account]


class Download(StreamingResponse):
    """A file. When the client leaves, the making of it ends with the response."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._pieces):
            await super().stream_response(send)


def _steps(pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    yield from pieces


def attachment(name: str) -> dict[str, str]:
    """The header that names the file: `usage-acme-2026-11.csv`."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return {"Content-Disposition": f'attachment; filename="{safe}"'}
