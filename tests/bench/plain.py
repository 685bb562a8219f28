"""The plain way: one Faust agent for each kind with `take`, the same rating, the same insert.

Run as a process by `tests.bench.line`; prints how many events have their rows, as they have them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust

from rater.events import KINDS, Kind
from rater.tariff_file import load_book
from streams.ledger import open_ledger
from streams.pipeline import Batch, add_records
from streams.settings import load_settings

TAKEN = 1_000
WITHIN_S = 0.2


def make_app() -> faust.App:
    """The app as the documentation of Faust has it: agents that take lists of values."""
    settings = load_settings()
    ledger = open_ledger(settings, migrate=True)
    book = load_book(settings.tariff)
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
    done = 0

    def agent(kind: Kind) -> Any:
        async def rate(stream: Any) -> AsyncIterator[None]:
            nonlocal done
            async for values in stream.take(TAKEN, within=WITHIN_S):
                now_ms = int(time.time() * 1000)
                records = [
                    SimpleNamespace(
                        offset=next(offsets), timestamp=now_ms, key=None, value=value, headers=()
                    )
                    for value in values
                ]
                batch = Batch()
                add_records(batch, kind, kind.topic, 0, records, book)
                ledger.write(batch)
                done += len(records)
                print(done, flush=True)
                yield

        return rate

    for kind in KINDS.values():
        topic = app.topic(settings.topic(kind.topic), key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=f"plain_{kind.name}")(agent(kind))
    return app


async def main() -> None:
    app = make_app()
    await app.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
