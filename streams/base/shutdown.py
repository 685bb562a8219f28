"""How a process ends: by a signal that sets an event, and within a bound whatever hangs."""

import asyncio
import signal
from typing import Any

import structlog

from streams.base.errors import first_line

STOP_S = 2.0  # for each part that has to stop, after the drain

log = structlog.get_logger()


async def wait_briefly(*tasks: asyncio.Task[Any]) -> None:
    """For STOP_S at the most, whether they end or not: whoever hangs must not keep the process."""
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=STOP_S)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.debug("not_stopped", task=task.get_name(), error=first_line(error))


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set the event; a second one does nothing more."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
