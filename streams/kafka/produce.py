"""Onto the topics: files of events, and simulated traffic at a stated rate."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import aiokafka

from rater.kinds import KINDS
from streams.base.settings import Settings
from streams.kafka.clients import make_producer
from streams.kafka.simulate import Simulated, Simulator, diurnal

TICK_S = 0.05
IN_FLIGHT_MAX = 5_000


class Sender:
    """Sends events to their topics, keyed by account; at most IN_FLIGHT_MAX unanswered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: aiokafka.AIOKafkaProducer = make_producer(settings)
        self._sent: list[asyncio.Future[object]] = []
        self.count = 0

    async def __aenter__(self) -> "Sender":
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, event: Simulated) -> None:
        """Hands an event over; raises KafkaError when an earlier one was refused."""
        topic = self._settings.topic(KINDS[event.kind].topic)
        self._sent.append(
            await self._producer.send(topic, event.value, key=event.account_id.encode())
        )
        self.count += 1
        if len(self._sent) >= IN_FLIGHT_MAX:
            await self.flush()

    async def flush(self) -> None:
        """Returns once every event is in the log."""
        sent, self._sent = self._sent, []
        await asyncio.gather(*sent)


async def send_all(settings: Settings, events: Iterable[Simulated]) -> int:
    """Sends events and returns how many, once all are in the log."""
    async with Sender(settings) as sender:
        for event in events:
            await sender.send(event)
        await sender.flush()
        return sender.count


async def send_traffic(
    settings: Settings,
    simulator: Simulator,
    *,
    rate: float,
    steady: bool = False,
    stop: asyncio.Event,
    on_tick: Callable[[int, float], None] = lambda sent, rate: None,
) -> int:
    """Sends `rate` events a second at the day's peak until `stop` is set; returns how many.

    The rate follows the hour of the day unless `steady`. `on_tick` is told what was sent and the
    rate just now.
    """
    async with Sender(settings) as sender:
        for event in simulator.opening():
            await sender.send(event)
        owed, before = 0.0, time.monotonic()
        while not stop.is_set():
            now, instant = time.monotonic(), datetime.now(UTC)
            rate_now = rate if steady else rate * diurnal(instant)
            owed += (now - before) * rate_now
            before = now
            while owed >= 1:
                happened = simulator.happen(instant)
                owed -= len(happened)
                for event in happened:
                    await sender.send(event)
            await sender.flush()
            on_tick(sender.count, rate_now)
            await asyncio.sleep(TICK_S)
        return sender.count
