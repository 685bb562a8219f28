"""Sends what was told of budgets: on the topic, and to the webhook where one is set.

What is told stands in the ledger before it is sent, and what became of sending it after: a worker
that is killed between the two sends it again under the same id, and none is left out. Attempts are
bounded in number and time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from rater.charge import format_us
from rater.instants import to_us
from rater.money import format_nanos
from streams.rows.alert import AlertEvent, Answer
from streams.store.alerts import Attempt, Told, Tried, read_recent, write_attempts
from streams.store.ledger import Ledger

# After so many seconds each attempt follows the one before; then it is given up.
WAITS_S = (0, 5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600)
TRIED_FOR = timedelta(days=1)  # longer than all of them take
AT_ONCE = 50

Way = Callable[[Sequence[AlertEvent]], Awaitable[list[Answer]]]

log = structlog.get_logger()


class AlertsJob:
    """Sends by each way what is due there; one way holds up no other."""

    def __init__(self, ledger: Ledger, ways: Mapping[str, Way]) -> None:
        self._ledger = ledger
        self._ways = ways

    async def run(self) -> bool:
        """Raises one of StoreErrors."""
        since_us = to_us(datetime.now(UTC) - TRIED_FOR)
        recent = await asyncio.to_thread(read_recent, self._ledger, since_us)
        if recent:
            await asyncio.gather(*(self._send(name, recent) for name in self._ways))
        return True

    async def _send(self, name: str, recent: Sequence[tuple[Told, list[Tried]]]) -> None:
        now = datetime.now(UTC)
        due: list[tuple[Told, int]] = []
        for told, ways in recent:
            tried = next((one for one in ways if one.channel == name), None)
            if is_due(tried, now):
                due.append((told, 1 if tried is None else tried.attempts + 1))
        if not due:
            return
        due = due[:AT_ONCE]
        answers = await self._ways[name]([event_of(told) for told, _ in due])
        attempts = [
            Attempt(told.account_id, told.alert_id, name, attempt, answer.was_sent, answer.text)
            for (told, attempt), answer in zip(due, answers, strict=True)
        ]
        for one in attempts:
            if not one.was_sent:
                log.warning("alert_not_sent", way=name, attempt=one.attempt, answer=one.answer)
        await asyncio.to_thread(write_attempts, self._ledger, attempts, datetime.now(UTC))


def is_due(tried: Tried | None, now: datetime) -> bool:
    """Whether an alert is to be sent by a way now."""
    if tried is None:
        return True
    if tried.was_sent or tried.attempts >= len(WAITS_S):
        return False
    return now >= tried.last_at + timedelta(seconds=WAITS_S[tried.attempts])


def event_of(told: Told) -> AlertEvent:
    """An alert as it is sent; the same each time."""
    return AlertEvent(
        type=f"budget.{told.what}",  # type: ignore[arg-type]
        id=told.alert_id,
        timestamp=format_us(to_us(told.told_at)),
        account_id=told.account_id,
        month=f"{told.month:%Y-%m}",
        budget=told.budget,
        percent=told.percent,
        amount=format_nanos(told.amount),
        spent=format_nanos(told.spent),
        currency=told.currency,
        sentence=told.sentence,
    )
