"""Simulated traffic: reproducible, like a day's, and rated throughout."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import orjson
import pytest

from rater.decode import decode
from rater.event_rows import span
from rater.instants import to_us
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book
from streams.kafka.simulate import MIX, Simulated, Simulator, diurnal

NOW = datetime(2026, 8, 10, 15, tzinfo=UTC)
INSTANTS = [NOW + timedelta(seconds=7 * n, microseconds=n) for n in range(3_000)]


def traffic(simulator: Simulator) -> list[Simulated]:
    return [event for now in INSTANTS for event in simulator.happen(now)]


def read(simulated: Simulated, now: datetime) -> Event:
    event = decode(KINDS[simulated.kind], simulated.value, to_us(now))
    assert not isinstance(event, Reject), (event, simulated)
    return event


def test_the_same_seed_and_times_give_the_same_events() -> None:
    assert traffic(Simulator(seed=3)) == traffic(Simulator(seed=3))


def test_another_seed_gives_other_events() -> None:
    assert traffic(Simulator(seed=3)) != traffic(Simulator(seed=4))


def test_every_event_decodes_as_it_happens_and_has_its_price(book: Book) -> None:
    simulator = Simulator(seed=5, accounts=8)
    for simulated in simulator.opening():
        assert not isinstance(rate(read(simulated, NOW), book), Parked)
    for now in INSTANTS:
        for simulated in simulator.happen(now):
            event = read(simulated, now)
            outcome = rate(event, book)
            assert not isinstance(outcome, Parked), (outcome, event)
            assert event.account_id == simulated.account_id
            assert event.kind == simulated.kind
            if event.kind in ("call", "dial", "text", "recording"):
                assert timedelta(0) <= now - span(event)[1] <= timedelta(seconds=1)


def test_no_two_events_share_an_id() -> None:
    simulator = Simulator(seed=6)
    events = [*simulator.opening(), *traffic(simulator)]
    ids = Counter((e.kind, e.account_id, orjson.loads(e.value)["id"]) for e in events)
    assert ids.most_common(1)[0][1] == 1


def test_opening_is_the_same_each_time() -> None:
    simulator = Simulator(seed=3)
    assert list(simulator.opening()) == list(simulator.opening())
    assert list(Simulator(seed=3).opening()) == list(simulator.opening())


def test_a_second_start_of_the_demo_adds_nothing_to_what_stands() -> None:
    """Each start of the demo has a seed of its own; the numbers and subscriptions stay."""
    first, second = (list(Simulator(seed=seed).opening()) for seed in (3, 4))
    assert first == second


def test_every_account_opens_with_numbers_and_subscriptions() -> None:
    opened = Counter((e.account_id, e.kind) for e in Simulator(seed=1, accounts=7).opening())
    accounts = {account for account, _ in opened}
    assert len(accounts) == 7
    assert all(opened[account, "subscription"] == 2 for account in accounts)
    assert all(2 <= opened[account, "number"] <= 4 for account in accounts)


def test_the_mix_is_the_stated_one() -> None:
    kinds = Counter(simulated.kind for simulated in traffic(Simulator(seed=8)))
    assert kinds["amd"] == kinds["dial"]
    shares = dict(MIX)
    for kind, share in shares.items():
        assert kinds[kind] / len(INSTANTS) == pytest.approx(
            share / sum(shares.values()), abs=0.03
        ), kind


def test_most_dials_are_not_answered_and_each_has_its_detection() -> None:
    events = [(s.kind, orjson.loads(s.value)) for s in traffic(Simulator(seed=9))]
    dials = {event["id"]: event for kind, event in events if kind == "dial"}
    detections = {event["call_id"]: event for kind, event in events if kind == "amd"}
    assert dials.keys() == detections.keys()
    answered = [id_ for id_, dial in dials.items() if "answered_at" in dial]
    assert 0.25 < len(answered) / len(dials) < 0.45
    assert {id_ for id_, event in detections.items() if "answered_at" in event} == set(answered)


def test_short_calls_are_common_and_long_ones_rare() -> None:
    lasted = sorted(
        (event.ended_at - event.dialed_at).total_seconds()  # type: ignore[attr-defined]
        for event in (read(s, INSTANTS[-1]) for s in traffic(Simulator(seed=10)))
        if event.kind == "call"
    )
    median, longest = lasted[len(lasted) // 2], lasted[-1]
    assert 30 < median < 150
    assert 600 < longest <= 7_300
    assert sum(lasted) / len(lasted) > 1.2 * median


def test_traffic_follows_the_day() -> None:
    midnight = datetime(2026, 8, 10, tzinfo=UTC)
    hours = [diurnal(midnight + timedelta(hours=hour)) for hour in range(24)]
    assert max(hours) == hours[15] == pytest.approx(1)
    assert min(hours) == hours[3] == pytest.approx(0.15)
    assert all(a < b for a, b in pairwise(hours[3:16]))
    assert all(a > b for a, b in pairwise([*hours[15:], *hours[:4]]))
    assert diurnal(midnight) == pytest.approx(diurnal(midnight + timedelta(days=1)))
    steps = [diurnal(midnight + timedelta(minutes=m)) for m in range(24 * 60 + 1)]
    assert max(abs(a - b) for a, b in pairwise(steps)) < 0.005
