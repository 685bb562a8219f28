"""Nothing lost, nothing twice: thousands of schedules of the real code, in virtual time.

The log, the group, the store and the clock are ours (`tests.faults.world`); the schedule says what
happens next: a fetch, a write that fails in the middle, a crash, a zombie's late write, a commit.
At each commit and whenever everything rests, the laws are checked against the independent oracle.
A failure prints the seed, or the steps that hypothesis found the fewest of.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from rater.kinds import KINDS
from streams.rows.changed import Changed
from streams.rows.log_position import Span
from streams.store.ledger import Ledger
from streams.store.outcomes import NEVER
from tests.conftest import LOGGED_MS
from tests.faults.engine import EngineStore
from tests.faults.seed import SEED, fresh_seed
from tests.faults.store import FAULTS, Store
from tests.faults.store import SHAPES as SHAPES_OF
from tests.faults.world import (
    ACCOUNTS,
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
    zone_changed_anew,
)

SCHEDULES = 1_000
ON_THE_ENGINE = 3
SAME_ANSWERS = (1, 2)


def run_schedules(count: int, store: Callable[[], Any] = lambda: None) -> int:
    """Schedules of the seeds from a fresh one on; their steps. A failure names its seed."""
    first, steps = fresh_seed(), 0
    for seed in range(first, first + count):
        try:
            steps += run_schedule(seed, store=store())
        except BaseException as error:
            error.add_note(f"see it again with {SEED}={seed}")
            raise
    return steps


def test_a_thousand_schedules_lose_nothing_and_charge_nothing_twice() -> None:
    steps = run_schedules(SCHEDULES)
    print(f"{SCHEDULES} schedules, {steps} steps")
    assert steps > 20 * SCHEDULES


def test_a_zone_that_changes_between_a_crash_and_the_second_reading_charges_nothing_twice() -> None:
    zone_changed_anew()


def test_some_schedules_on_the_engine(ledger: Ledger) -> None:
    """The same laws where the store is the engine itself."""
    batch_cut_anew(EngineStore(ledger))
    zone_changed_anew(EngineStore(ledger))
    run_schedules(ON_THE_ENGINE, lambda: EngineStore(ledger))


THINGS = [(ACCOUNTS[0], name) for name in ("R0", "R1", "R9", "+12125550100", "+12125550109")]
FIRST_RECORDS = Span(LOGGED_MS, LOGGED_MS + 20)
# A topic that was made anew after some records, and all partitions of all topics as they are.
LIVES = [("usage.call.v1", 0, LOGGED_MS + 10, 3, 50)] + [
    (kind.topic, partition, 0, 0, 1_000) for kind in KINDS.values() for partition in range(4)
]
PARAMETERS: list[dict[str, Any]] = [
    {
        "months": months, "before": datetime(2026, 9, 2, tzinfo=UTC),
        "prefix": "usage.", "topic": "", "partition": -1, "offset": -1, "record_hash": 0,
        "most": 1_000, "lives": LIVES,
        "reason": "conflict", "since": since, "until": NEVER, "reach_from": since,
        "reach_to": NEVER,
        **span.parameters(), "rows": [], "records": 1_000,
        "after": "", "last": "",
        **Changed(set(things), set(accounts)).parameters(),
    }
    for months, things, accounts, since, span in (
        ([], [], ["acme"], datetime(1970, 1, 1, tzinfo=UTC), Span(0, 2 * LOGGED_MS)),
        ([date(2026, 8, 1)], THINGS, [], datetime(2026, 8, 1, tzinfo=UTC), FIRST_RECORDS),
    )
]  # fmt: skip


def test_the_store_in_memory_answers_each_query_as_the_engine_does(ledger: Ledger) -> None:
    """The same inserts into both: or the simulation would prove what is not so."""
    answered = 0
    for seed in SAME_ANSWERS:
        store = Store()
        run_schedule(seed, steps=150, store=store)
        engine = EngineStore(ledger)
        for table, rows in store.inserts:
            names = [name for name in SHAPES_OF[table].columns if name in rows[0]]
            values = [[row[name] for name in names] for row in rows]
            ledger._writer.insert(table, values, column_names=names)
        assert engine.outcomes == {
            place: kept for place, found in store.outcomes.items() if (kept := found - {"conflict"})
        }
        for table in ("rated", "states", "parked", "rejected"):  # some queries read copies
            store.merge(table)
            engine.merge(table)
        engine.merge("accepted")  # in memory it is a set
        for sql in store.queries():
            for more in PARAMETERS:
                parameters = {name: more[name] for name in more if f"{{{name}:" in sql}
                rows_in_memory = comparable(store.query(sql, parameters), sql)
                assert rows_in_memory == comparable(ledger.query(sql, parameters), sql), sql
                answered += bool(rows_in_memory)
    assert answered > 20


def comparable(rows: list[tuple[Any, ...]], sql: str) -> list[str]:
    """Rows in one order, without the clock of reading."""
    if "now64" in sql:
        rows = [row[:-1] for row in rows]
    return sorted(repr([_plain(value) for value in row]) for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, Decimal):
        return value.normalize()
    return int(value) if isinstance(value, bool) else value


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

    @rule()
    def move(self) -> None:
        self.world.move()

    @rule(table=st.sampled_from(["rated", "states", "parked"]))
    def merge(self, table: str) -> None:
        self.world.merge(table)


def test_no_order_of_steps_breaks_a_law() -> None:
    run_state_machine_as_test(
        Schedules,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
