"""The demo's days before: the same at each start, like weeks of an office, all with their price."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import orjson
import pytest

from rater.decode import decode
from rater.event_rows import span
from rater.instants import to_us
from rater.kinds import KINDS
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book
from streams.kafka.history import DAYS_MAX, past_days
from streams.kafka.simulate import CAMPAIGNS, CARRIERS, USERS, Simulated, Simulator

NOW = datetime(2026, 8, 12, 15, 30, tzinfo=UTC)  # a Wednesday
OPENED = len(list(Simulator().opening()))


def happened(days: int, now: datetime = NOW) -> list[Simulated]:
    """What happened; without what stood before."""
    return list(islice(past_days(days, now), OPENED, None))


def days_of(events: list[Simulated]) -> Counter[date]:
    ids = (orjson.loads(event.value)["id"] for event in events if event.kind != "amd")
    return Counter(datetime.strptime(id_.split("-")[1], "%Y%m%d").date() for id_ in ids)


def test_the_same_days_are_the_same_whenever_they_are_made() -> None:
    today = happened(8)
    assert today == happened(8)
    # A start on the next day sends what it sent before, and more.
    tomorrow = {event.value for event in happened(8, NOW + timedelta(days=1))}
    first_day = min(days_of(today))
    later = [event for event in today if days_of([event]).keys() != {first_day}]
    assert {event.value for event in later if event.kind != "amd"} <= tomorrow
    assert len(tomorrow) > len(later)


def test_every_weekday_has_its_share_and_weekends_are_quiet() -> None:
    counts = days_of(happened(56))
    assert min(counts) == NOW.date() - timedelta(days=56)
    assert max(counts) == NOW.date()
    whole = {day: count for day, count in counts.items() if day < NOW.date()}
    assert len(whole) == 56
    office = [count for day, count in whole.items() if day.weekday() < 5]
    weekend = [count for day, count in whole.items() if day.weekday() >= 5]
    assert min(office) > 2 * max(weekend)
    assert min(weekend) > 50
    assert counts[NOW.date()] < min(office)  # today so far
    assert len(set(office)) > 30  # no two days are alike


def test_every_past_event_is_over_by_then_and_has_its_price(book: Book) -> None:
    seen = Counter[str]()
    for simulated in past_days(20, NOW):
        event = decode(KINDS[simulated.kind], simulated.value, to_us(NOW))
        assert not isinstance(event, Reject), (event, simulated)
        assert not isinstance(rate(event, book), Parked), event
        assert span(event)[1] <= NOW
        facts = orjson.loads(simulated.value)
        seen.update(str(facts.get(name)) for name in ("user_id", "team", "campaign_id", "carrier"))
    assert set(CARRIERS) | set(USERS) <= seen.keys()
    assert {f"campaign-{nth}" for nth in range(1, len(CAMPAIGNS) + 1)} <= seen.keys()


def test_the_days_are_bounded() -> None:
    for days in (-1, 0, DAYS_MAX + 1):
        with pytest.raises(ValueError, match=f"1 to {DAYS_MAX}"):
            next(past_days(days, NOW))
