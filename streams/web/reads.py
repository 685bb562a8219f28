"""Reads of the ledger for the web: off the loop, few at a time, with months in the account's zone.

A read blocks, so it runs in a thread. The threads are few and not asyncio's own: a crowd of
readers waits here and never takes the threads that the worker's loop needs.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from rater.charge import format_us
from rater.instants import to_us
from rater.lines import Tab
from rater.months import month_of, previous_month
from rater.statement import Basis, Statement, statement_to_json
from rater.tariff import Book
from streams.base.errors import first_line
from streams.operations.explain import explain_event
from streams.store import statements as usage
from streams.store.ledger import Ledger, StoreErrors
from streams.store.progress import Progress, read_progress, read_written
from streams.web.freshness import state_of
from streams.web.kept import KeptByKey
from streams.web.watched import Due, Watched

READS_AT_ONCE = 4
OF_ONE_ACCOUNT_AT_ONCE = 2
OF_ONE_ACCOUNT_WAITING = 50
# How long what was read is good enough: how far workers are, and what does not change by the tick.
PROGRESS_S = 0.4
WRITTEN_S = 10.0
BEFORE_S = 60.0
MONTHS_S = 1.5

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
        self.ledger = ledger
        self.book = book
        self._limiter = anyio.CapacityLimiter(READS_AT_ONCE)
        self._turns: dict[str, anyio.CapacityLimiter] = {}  # of accounts that read now
        self._watching = anyio.CapacityLimiter(1)  # one reads for all streams
        self._progress: KeptByKey[str, Progress | None] = KeptByKey(PROGRESS_S)
        self._written: KeptByKey[str, datetime | None] = KeptByKey(WRITTEN_S)
        self._before: KeptByKey[usage.Key, dict[str, Any] | None] = KeptByKey(BEFORE_S)
        self._months: KeptByKey[str, list[date]] = KeptByKey(MONTHS_S)

    def this_month(self, account: str) -> date:
        """The current month by the account's own calendar."""
        now_us = to_us(datetime.now(UTC))
        return month_of(now_us, self.book().account(account, now_us).zone)

    def first_account(self) -> str:
        """The first account that the tariff book names, for a visitor who named none."""
        return next((name for name in self.book().accounts if name != "default"), "default")

    async def statement(self, account: str, month: date | None) -> dict[str, Any]:
        """The statement with its products, as JSON; None is the current month.

        Raises NoStatementError where the account or the month never was.
        """
        return await self.off_loop(account, self.read_statement, account, month)

    async def live_statement(self, account: str, month: date | None) -> dict[str, Any]:
        """The same, and how many of the account's own events a second are rated."""
        return await self.off_loop(account, self.read_live_statement, account, month)

    async def months(self, account: str) -> list[date]:
        """The months in which the account has rows, newest first."""
        return await self.off_loop(account, usage.read_months, self.ledger, account)

    async def explain(self, account: str, event_id: str) -> dict[str, Any] | None:
        """Why an event costs what it does; None where the account has no such event."""
        return await self.off_loop(account, explain_event, self.ledger, account, event_id)

    # What follows blocks: it runs off the loop.

    def read_statement(self, account: str, month: date | None) -> dict[str, Any]:
        told = self.read_live_statement(account, month)
        del told["events_per_second"]
        return told

    def read_live_statement(self, account: str, month: date | None) -> dict[str, Any]:
        (told,) = self.read_live_statements([(account, month)])
        if isinstance(told, NoStatementError):
            raise told
        return told

    def read_live_statements(
        self, asked: Sequence[tuple[str, date | None]]
    ) -> list[dict[str, Any] | NoStatementError]:
        """The statements of several accounts' months, in as few questions as those of one."""
        progress = self._progress.get("", partial(read_progress, self.ledger))
        keys = [(account, month or self.this_month(account)) for account, month in asked]
        standing = usage.read_standing(self.ledger, self.book(), list(dict.fromkeys(keys)))
        now = datetime.now(UTC)
        if progress is not None:
            as_of = min(progress.as_of, now)
        else:
            as_of = self._written.get("", partial(read_written, self.ledger)) or now
        as_of_text = format_us(to_us(as_of) // 1000 * 1000)
        with_products = [key for key, one in standing.items() if has_products(one.statement)]
        products = usage.read_products_of(self.ledger, with_products)
        told: dict[usage.Key, dict[str, Any] | NoStatementError] = {}
        for key, (statement, per_second) in standing.items():
            if reason := usage.why_no_statement(self.ledger, self.book(), statement):
                told[key] = NoStatementError(reason)
                continue
            told[key] = statement_to_json(statement._replace(as_of=as_of_text)) | {
                "freshness": state_of(progress, key[1], statement.zone, now),
                "products": products.get(key, []),
                "events_per_second": round(per_second, 1),
            }
        return [told[key] for key in keys]

    def read_months_before(
        self, keys: Sequence[usage.Key]
    ) -> dict[usage.Key, dict[str, Any] | None]:
        """The statements of the months before, as they were within the last minute or so; None
        without one."""

        def read(missing: list[usage.Key]) -> dict[usage.Key, dict[str, Any] | None]:
            standing = usage.read_standing(self.ledger, self.book(), missing)
            return {
                key: None if statement.is_empty() else statement_to_json(statement)
                for key, (statement, _) in standing.items()
            }

        befores = {key: (key[0], previous_month(key[1])) for key in keys}
        told = self._before.get_all(befores.values(), read)
        return {key: told[before] for key, before in befores.items()}

    def read_basis(self, account: str, month: date | None) -> tuple[date, Basis]:
        """The month asked for, or the current one, and by what its charges were made."""
        month = month or self.this_month(account)
        return month, usage.read_basis(self.ledger, self.book(), account, month)

    def read_months(self, account: str) -> set[date]:
        """The months to choose from: those that have rows, and the current one."""
        return self.read_months_of([account])[account]

    def read_months_of(self, accounts: Sequence[str]) -> dict[str, set[date]]:
        """The same of several accounts, as they were some seconds ago."""
        months = self._months.get_all(accounts, partial(usage.read_months_of, self.ledger))
        return {one: {*months[one], self.this_month(one)} for one in accounts}

    async def read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
        """What stands now for each of what is watched; what is wrong with one is an exception in
        its place. In a turn of their own, beside all who ask. Raises StoreDownError.
        """
        return await self._in_thread(self._watching, self._read_watched, watched)

    def _read_watched(self, watched: Sequence[tuple[Watched[Any], Any]]) -> list[Any]:
        statements = self.read_live_statements([(one.account, one.month) for one, _ in watched])
        stood: list[Any] = list(statements)
        alike: defaultdict[Any, list[int]] = defaultdict(list)
        for index, (one, _) in enumerate(watched):
            if not isinstance(statements[index], NoStatementError):
                alike[one.make].append(index)
        for make, indexes in alike.items():
            due = [Due(watched[n][0].asked, stood[n], watched[n][1]) for n in indexes]
            for index, one in zip(indexes, make(due), strict=True):
                stood[index] = one
        return stood

    async def off_loop(
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
                return await self._in_thread(self._limiter, read, *args, **kwargs)
        finally:
            used = turns.statistics()
            if not used.borrowed_tokens and not used.tasks_waiting:
                self._turns.pop(account, None)

    async def _in_thread(
        self,
        limiter: anyio.CapacityLimiter,
        read: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            return await anyio.to_thread.run_sync(partial(read, *args, **kwargs), limiter=limiter)
        except StoreErrors as error:
            logger.warning("a read of the ledger failed: %s", first_line(error))
            raise StoreDownError("the store does not answer; try again in a moment") from error


def has_products(statement: Statement) -> bool:
    return any(line.form.kind.tab is Tab.PRODUCTS and line.whole.amount for line in statement.lines)
