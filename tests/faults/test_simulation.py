"""Nothing lost, nothing twice: thousands of schedules of the real code, in virtual time.

The log, the group, the store and the clock are ours (`tests.faults.world`); the schedule says what
happens next: a fetch, a write that fails in the middle, a crash, a zombie's late write, a commit.
At each commit and whenever everything rests, the laws are checked against the independent oracle.
A failure prints the seed, or the steps that hypothesis found the fewest of.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from streams.ledger import Ledger
from tests.faults.engine import EngineStore
from tests.faults.store import FAULTS
from tests.faults.world import (
    HOUSEHOLD,
    INSTANTS,
    KIND_NAMES,
    SHAPES,
    WORKERS,
    Sent,
    World,
    batch_cut_anew,
    choose,
    run_schedule,
)

SCHEDULES = 1_000
ON_THE_ENGINE = 3
SEED = "RATER_TEST_SEED"  # of the first schedule, to see a failure again


def test_thousands_of_schedules_lose_nothing_and_charge_nothing_twice() -> None:
    first = int(os.environ.get(SEED) or int.from_bytes(os.urandom(4)))
    steps = 0
    for seed in range(first, first + SCHEDULES):
        try:
            steps += run_schedule(seed)
        except BaseException as error:
            error.add_note(f"see it again with {SEED}={seed}")
            raise
    print(f"{SCHEDULES} schedules from {SEED}={first}, {steps} steps")
    assert steps > 20 * SCHEDULES


def test_some_schedules_on_the_engine(ledger: Ledger) -> None:
    """The same laws where the store is the engine itself."""
    batch_cut_anew(EngineStore(ledger))
    for _ in range(ON_THE_ENGINE):
        seed = int.from_bytes(os.urandom(4))
        try:
            run_schedule(seed, store=EngineStore(ledger))
        except BaseException as error:
            error.add_note(f"on the engine: {SEED}={seed}")
            raise


# ------------------------------------------------------------------ found and made small

slots = st.integers(0, WORKERS - 1)


class Schedules(RuleBasedStateMachine):
    """The steps of a world, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def teardown(self) -> None:
        try:
            self.world.rest()
        finally:
            self.world.close()

    @rule(
        sent=st.builds(
            choose,
            st.sampled_from(KIND_NAMES),
            st.integers(0, 1),
            st.integers(0, 4),
            st.integers(0, 2),
            st.sampled_from(sorted(INSTANTS)),
            st.sampled_from(["good"] * 6 + list(SHAPES)),
        ),
        astray=st.booleans(),
        later_ms=st.integers(0, 2),
    )
    def send(self, sent: Sent, astray: bool, later_ms: int) -> None:
        self.world.send(sent, astray=astray, later_ms=later_ms)

    @rule(slot=slots, which=st.integers(0, 6), most=st.integers(1, 5))
    def fetch(self, slot: int, which: int, most: int) -> None:
        self.world.fetch(slot, which, most)

    @rule(slot=slots, jobs=st.integers(1, 4))
    def work(self, slot: int, jobs: int) -> None:
        for _ in range(jobs):
            self.world.work(slot)
            self.world.tick()

    @rule(slot=slots)
    def commit(self, slot: int) -> None:
        self.world.commit(slot)

    @rule()
    def tick(self) -> None:
        self.world.tick()

    @rule(how=st.sampled_from(FAULTS), after=st.integers(0, 4))
    def break_store(self, how: str, after: int) -> None:
        self.world.break_store(how, after)

    @rule(down=st.booleans())
    def outage(self, down: bool) -> None:
        self.world.outage(down=down)

    @rule(slot=slots)
    def crash(self, slot: int) -> None:
        self.world.crash(slot)

    @rule(noticed=st.lists(st.booleans(), min_size=WORKERS, max_size=WORKERS))
    def rebalance(self, noticed: list[bool]) -> None:
        self.world.rebalance(noticed)

    @rule(what=st.sampled_from(HOUSEHOLD))
    def keep_house(self, what: str) -> None:
        self.world.keep_house(what)

    @rule()
    def arrive(self) -> None:
        self.world.arrive()

    @rule(table=st.sampled_from(["rated", "states", "parked"]))
    def merge(self, table: str) -> None:
        self.world.merge(table)


def test_no_order_of_steps_breaks_a_law() -> None:
    run_state_machine_as_test(
        Schedules,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
