"""What is measured: simulated traffic of every kind, on topics of its own."""

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from rater.kinds import KINDS
from streams.base.settings import Settings
from streams.kafka.produce import send_all
from streams.kafka.simulate import Simulated, Simulator
from streams.kafka.topics import create_topics

BEGAN = datetime(2026, 10, 5, tzinfo=UTC)
ACCOUNTS = 200
RECEIVED_MS = 1_793_534_400_000  # 2026-11-01, after every event


def make_events(count: int, seed: int, began: datetime = BEGAN) -> list[Simulated]:
    """Calls, texts, dials with AMD, recordings and numbers, as `rater simulate` mixes them.

    Ten events a second from `began` on.
    """
    simulator = Simulator(seed=seed, accounts=ACCOUNTS)
    events: list[Simulated] = []
    while len(events) < count:
        events += simulator.happen(began + timedelta(milliseconds=100) * len(events))
    return events[:count]


def make_copies(events: list[Simulated], seed: int, skip: int, count: int) -> list[Simulated]:
    """`count` events like the given ones, from number `skip` on, each with ids of its own.

    Making an event takes 70 us; a copy 8 us. The ids of a Simulator begin with its seed, and when.
    """
    ids = re.compile(rb"(?<!\d)%d-(?=\d{20}-)" % seed)
    copies = []
    for number in range(skip, skip + count):
        copy, index = divmod(number, len(events))
        event = events[index]
        copies.append(event._replace(value=ids.sub(b"%d.%d-" % (copy, seed), event.value)))
    return copies


def preload(settings: Settings, events: list[Simulated]) -> None:
    """Makes the topics and puts all events on them."""
    asyncio.run(create_topics(settings))
    asyncio.run(send_all(settings, events))


def mix(events: list[Simulated]) -> str:
    """How many of each kind, in words."""
    counts = Counter(event.kind for event in events)
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())


def records_of(
    events: list[Simulated], received_ms: int = RECEIVED_MS
) -> dict[str, list[SimpleNamespace]]:
    """The same events by kind, as a consumer would hand them out."""
    records: dict[str, list[SimpleNamespace]] = {name: [] for name in KINDS}
    for event in events:
        of_kind = records[event.kind]
        of_kind.append(
            SimpleNamespace(
                offset=len(of_kind),
                timestamp=received_ms,
                key=event.account_id.encode(),
                value=event.value,
                headers=(),
            )
        )
    return {kind: of_kind for kind, of_kind in records.items() if of_kind}
