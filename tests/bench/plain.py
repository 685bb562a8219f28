"""The plain way: one Faust agent for each kind with `take`, the same rating, the same insert.

Run as a process by `tests.bench.rivals`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust

from tests.bench.work import Work

TAKEN = 1_000
WITHIN_S = 0.2


def make_app() -> faust.App:
    """The app as the documentation of Faust has it: agents that take lists of values."""
    work = Work()
    settings = work.settings
    app = faust.App(
        settings.group,
        broker=f"kafka://{settings.kafka_bootstrap}",
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=16_384,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        autodiscover=False,
        datadir="/nonexistent",
        store="memory://",
    )
    offsets = iter(range(1 << 60))

    def agent(topic: str) -> Any:
        async def rate(stream: Any) -> AsyncIterator[None]:
            async for values in stream.take(TAKEN, within=WITHIN_S):
                now_ms = int(time.time() * 1000)
                records = [
                    SimpleNamespace(
                        offset=next(offsets), timestamp=now_ms, key=None, value=value, headers=()
                    )
                    for value in values
                ]
                work.take(topic, 0, records)
                work.rate_and_write()
                yield

        return rate

    for name in work.topics:
        topic = app.topic(name, key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=f"plain_{name}")(agent(name))
    return app


async def main() -> None:
    app = make_app()
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
