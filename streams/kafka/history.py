"""The simulated days before now: what the accounts of the demo did, day by day.

A day is drawn by the seed and its date alone, so a second start sends copies of it, which change
nothing, and the days since. Each weekday has its own share; weekends are quiet.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from streams.kafka.simulate import Simulated, Simulator, diurnal

DAYS_MAX = 400
A_DAY = 1_000  # calls, dials and texts of a usual weekday
WEEK = (0.95, 1.1, 1.15, 1.05, 0.85, 0.25, 0.15)  # Monday first
UNEVEN = 0.15  # a day is by so much above or below its weekday
HOURS = [diurnal(datetime(2026, 1, 1, hour, 30, tzinfo=UTC)) for hour in range(24)]


def past_days(days: int, now: datetime, *, seed: int = 1, accounts: int = 3) -> Iterator[Simulated]:
    """What stands already, then the events of the last days, oldest first, until now.

    Raises ValueError for no days, and for more than DAYS_MAX.
    """
    if not 1 <= days <= DAYS_MAX:
        raise ValueError(f"{days} days: 1 to {DAYS_MAX} can be made")
    simulator = Simulator(seed=seed, accounts=accounts)
    yield from simulator.opening()
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(days, -1, -1):
        day = midnight - timedelta(days=back)
        draw = f"{seed}-{day:%Y%m%d}"
        simulator.draw_by(draw)
        for at in _instants(day, random.Random(draw)):
            if at > now:
                return
            yield from simulator.happen(at)


def _instants(day: datetime, chance: random.Random) -> list[datetime]:
    """When something happens on a day, in order."""
    count = round(A_DAY * WEEK[day.weekday()] * chance.uniform(1 - UNEVEN, 1 + UNEVEN))
    seconds = [
        3600 * (hour + chance.random()) for hour in chance.choices(range(24), HOURS, k=count)
    ]
    return [day + timedelta(seconds=second) for second in sorted(seconds)]
