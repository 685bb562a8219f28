"""Reads of the ledger for the web: off the loop, few at a time, with months in the account's zone.

A read blocks, so it runs in a thread. The threads are few and not asyncio's own: a crowd of
readers waits here and never takes the threads that the worker's loop needs.
"""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from rater.instants import to_us
from rater.lines import Tab
from rater.months import month_of
from rater.statement import statement_to_json
from rater.tariff import Book
from streams.base.errors import first_line
from streams.store import statements as usage
from streams.store.ledger import Ledger, StoreErrors

READS_AT_ONCE = 4
OF_ONE_ACCOUNT_AT_ONCE = 2
OF_ONE_ACCOUNT_WAITING = 50

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


class StoreDownError(RuntimeError):
    """The store did not answer a read. The message is for the reader; the log has the cause."""


class BusyError(StoreDownError):
    """An account has too many reads waiting. The message is for the reader."""


class NoStatementError(LookupError):
    """The account or the month never was. The message says which, and is for the reader."""


class Reads:
    """What the web asks of the ledger. Each raises StoreDownError when the store is away."""

    def __init__(self, ledger: Ledger, book: Callable[[], Book]) -> None:
        self._ledger = ledger
        self._book = book
        self._limiter = anyio.CapacityLimiter(READS_AT_ONCE)
        self._turns: dict[str, anyio.CapacityLimiter] = {}  # of accounts that read now

    def this_month(self, account: str) -> date:
        """The current month by the account's own calendar."""
        now_us = to_us(datetime.now(UTC))
        return month_of(now_us, self._book().account(account, now_us).zone)

    def first_account(self) -> str:
        """The first account that the tariff book names, for a visitor who named none."""
        return next((name for name in self._book().accounts if name != "default"), "default")

    async def statement(self, account: str, month: date | None) -> dict[str, Any]:
        """The statement with its products, as JSON; None is the current month.

        Raises NoStatementError where the account or the month never was.
        """
        return await self._off_loop(account, self._statement, account, month)

    async def live_statement(self, account: str, month: date | None) -> dict[str, Any]:
        """The same, and how many of the account's own events a second are rated."""
        return await self._off_loop(account, self._live_statement, account, month)

    async def months(self, account: str) -> list[date]:
        """The months in which the account has rows, newest first."""
        return await self._off_loop(account, usage.read_months, self._ledger, account)

    async def charge(self, account: str, event_id: str) -> list[dict[str, Any]]:
        """Every row of one event; none where the account has no such event."""
        return await self._off_loop(account, usage.read_charge, self._ledger, account, event_id)

    def _statement(self, account: str, month: date | None) -> dict[str, Any]:
        month = month or self.this_month(account)
        statement = usage.read_statement(self._ledger, self._book(), account, month)
        if reason := usage.why_no_statement(self._ledger, self._book(), statement):
            raise NoStatementError(reason)
        has_products = any(
            line.form.kind.tab is Tab.PRODUCTS and line.whole.amount for line in statement.lines
        )
        products = usage.read_products(self._ledger, account, month) if has_products else []
        return statement_to_json(statement) | {"products": products}

    def _live_statement(self, account: str, month: date | None) -> dict[str, Any]:
        month = month or self.this_month(account)
        rate = usage.read_traffic(self._ledger, account, month)
        return self._statement(account, month) | {"events_per_second": round(rate, 1)}

    async def _off_loop(
        self, account: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs a read in a thread, in its account's turn. Raises BusyError and StoreDownError.

        An account stands at most twice in the queue that all share, so whatever one of them asks
        for, another's read waits for two of its reads and no more.
        """
        turns = self._turns.setdefault(account, anyio.CapacityLimiter(OF_ONE_ACCOUNT_AT_ONCE))
        if turns.statistics().tasks_waiting >= OF_ONE_ACCOUNT_WAITING:
            raise BusyError("this account has too many requests under way; try again in a moment")
        try:
            async with turns:
                return await anyio.to_thread.run_sync(
                    partial(read, *args, **kwargs), limiter=self._limiter
                )
        except StoreErrors as error:
            logger.warning("a read of the ledger failed: %s", first_line(error))
            raise StoreDownError("the store does not answer; try again in a moment") from error
        finally:
            used = turns.statistics()
            if not used.borrowed_tokens and not used.tasks_waiting:
                self._turns.pop(account, None)
