"""Endless seeded traffic of every kind, with what real traffic has besides: repeats and rubbish."""

import asyncio
import json
import random
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from streams.base.settings import Settings
from streams.kafka.clients import BrokerErrors
from streams.kafka.produce import Sender
from streams.kafka.simulate import MIX, Simulated, Simulator
from tests.support.broker import BAD

MONTHS = (date(2026, 8, 1), date(2026, 9, 1), date(2026, 10, 1))
START = datetime(2026, 8, 31, 20, tzinfo=UTC)
EDGE = datetime(2026, 10, 1, tzinfo=UTC)
TICK_S = 0.1
REMEMBERED = 500  # events that may be sent again


def events(seed: int, accounts: int = 7) -> Iterator[Simulated]:
    """Events of September and October 2026 without end; the same seed gives the same ones.

    Among them: month edges, re-sends, a second content for an id, ids twice in two months, AMD
    told twice, numbers given back, corrections (which are parked), and records that can't be read.
    """
    chance = random.Random(seed)
    simulator = Simulator(seed=seed, accounts=accounts)
    yield from simulator.opening()
    recent: deque[Simulated] = deque(maxlen=REMEMBERED)
    while True:
        at = START + timedelta(seconds=chance.random() * 61 * 86_400)
        if chance.random() < 0.05:
            ms = chance.choice((-1, 0, 1, 400))
            at = EDGE + timedelta(hours=chance.choice((0, 4)), milliseconds=ms)
        for event in simulator.happen(at):
            recent.append(event)
            yield event
        roll = chance.random()
        if roll < 0.12:
            yield again(chance, chance.choice(recent))
        elif roll < 0.14:
            correction = json.loads(chance.choice(recent).value) | {"revision": 1}
            yield _simulated(correction)
        elif roll < 0.16:
            kind = chance.choice(MIX)[0]
            yield Simulated(kind, chance.choice(simulator.accounts), chance.choice(BAD))


def again(chance: random.Random, event: Simulated) -> Simulated:
    """An event once more: as it was, or as senders distort it."""
    told = json.loads(event.value)
    if event.kind == "call" and chance.random() < 0.3:
        told["to"] = "+442079460999"
    elif event.kind == "call" and chance.random() < 0.4:  # a twin in another month
        for name in ("dialed_at", "answered_at", "ended_at"):
            if name in told:
                told[name] = (datetime.fromisoformat(told[name]) - timedelta(days=30)).isoformat()
    elif event.kind == "text":
        told["status"] = "delivered"
    elif event.kind == "amd":
        told["id"] += "-again"
        if chance.random() < 0.5:
            told.pop("answered_at", None)
    elif event.kind == "number" and "released_at" not in told:
        told |= {"id": told["id"] + "-end", "released_at": "2026-11-01T00:00:00Z"}
    return _simulated(told)


def _simulated(told: dict[str, object]) -> Simulated:
    return Simulated(str(told["kind"]), str(told["account_id"]), json.dumps(told).encode())


class Traffic:
    """Sends from a thread at a steady rate. A broker that is away is waited for."""

    def __init__(self, settings: Settings, seed: int, rate: int) -> None:
        self._settings = settings
        self._events = events(seed)
        self._rate = rate
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.sent = 0

    def send(self, count: int) -> None:
        """Sends so many events at once; the broker has to be there."""
        asyncio.run(self._send(count))

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    async def _send(self, count: int) -> None:
        async with Sender(self._settings) as sender:
            for event in islice(self._events, count):
                await sender.send(event)
            await sender.flush()
        self.sent += count

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with Sender(self._settings) as sender:
                    while not self._stop.is_set():
                        for event in islice(self._events, round(self._rate * TICK_S)):
                            await sender.send(event)
                            self.sent += 1
                        await sender.flush()
                        await asyncio.sleep(TICK_S)
            except BrokerErrors:  # what the log has of it is read from the log
                await asyncio.sleep(5 * TICK_S)
