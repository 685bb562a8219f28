"""One Faust agent for each kind of event. An agent hands over; it neither rates nor waits."""

from collections.abc import AsyncIterator
from typing import Any

import faust

from rater.kinds import KINDS
from rater.kinds.kind import Kind
from streams.base.settings import Settings
from streams.ingest.stretch import Stretch
from streams.ingest.writer import Writer


def add_agents(app: faust.App, settings: Settings, writer: Writer) -> None:
    """Registers an agent for each kind of the registry, on its topic."""
    for kind in KINDS.values():
        topic = app.topic(
            settings.topic(kind.topic),
            key_serializer="raw",
            value_serializer="raw",
            acks=True,
        )
        # One instance: what a partition delivers reaches the writer in order.
        app.agent(topic, name=f"rate_{kind.name}", concurrency=1)(_agent(kind, writer))


def _agent(kind: Kind, writer: Writer) -> Any:
    async def hand_over(stream: Any) -> AsyncIterator[None]:
        # noack: Faust acknowledges in `finally`, before the rows are stored. The writer does it.
        async for event in stream.noack().events():
            message, records = event.message, event.value
            await writer.put(
                Stretch(kind, message.topic, message.partition, records, event.ack, records.skipped)
            )
            yield

    return hand_over
