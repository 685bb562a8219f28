"""A world for the writer, the pipeline and the ledger: a log, a group, workers, and a store.

Everything of the product is real: the agents' code, `BatchConsumer`, `Writer`, `add_columns`,
`Ledger`, the makers of months, conflicts and parked events. What is not: the broker, the store's
engine (`tests.faults.store`) and the passing of time. Each method of World is one step of a
schedule; a step that breaks a law raises BrokenLawError.
"""

import asyncio
import shutil
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, NamedTuple

import faust.transport.drivers.aiokafka
import orjson
import pytest
from faust.types import TP, ConsumerMessage

import schemas
from rater.kinds import KINDS
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.ingest import agents, writer
from streams.ingest.transport import BatchConsumer, Owed
from streams.ingest.writer import StoreDownError, Writer
from streams.kafka.record_batches import Records
from streams.maintenance import conflicts, parked
from streams.maintenance import recurring as monthly
from streams.maintenance.audit import audit_ledger
from streams.rows.batch import RejectedRow
from streams.rows.log_position import Span
from streams.store import ledger
from streams.store.ledger import Ledger
from tests import oracle
from tests.conftest import LOGGED_MS, SAMPLES, Event, Logged, Rows, rows_by_oracle, rows_of
from tests.faults.store import FAULTS, MONTHLY_LINES, Crashed, Fault, Store
from tests.faults.virtual import Job, VirtualLoop, VirtualTime

ACCOUNTS = ("acme", "someone")  # New York and UTC
ZONES = ("America/New_York", "UTC")  # of the first account, which moves now and then
MONTHS = (date(2009, 3, 1), date(2026, 8, 1), date(2026, 9, 1))
AS_OF = datetime(2026, 11, 2, tzinfo=UTC)
PARTITIONS = 2
WORKERS = 2
SETTINGS = Settings(store_outage_max_s=2.0, queue_batches=4, batch_rows=12)

# Where an event can lie: in August, in September, in both by the zone, and before any price.
INSTANTS = {"august": "2026-08-10T12:", "september": "2026-09-20T12:", "edge": "2026-09-01T02:"}
TOO_EARLY = "2009-03-10T12:"
EARLY_KINDS = ("call", "dial", "text", "amd")
EARLY_ID = 4
SHAPES = ("good", "revised", "bad bytes", "empty", "wrong")

# The price that arrives for what was parked.
ARRIVES = """
[[tariff]]
name = "standard"
valid_from = 2000-01-01T00:00:00Z
[[tariff.price]]
line = "calls"
unit = "minute"
rate = 0.017
[[tariff.price]]
line = "video_calls"
unit = "minute"
rate = 0.013
[[tariff.price]]
line = "campaign_calls"
unit = "minute"
rate = 0.019
[[tariff.price]]
line = "texts"
unit = "segment"
rate = 0.023
[[tariff.price]]
line = "carrier_fees"
unit = "segment"
rate = 0.0029
[[tariff.price]]
line = "ai_voice_detection"
unit = "call"
rate = 0.031
"""


class BrokenLawError(AssertionError):
    """A law of the design does not hold; the message says which and where."""


def law(holds: object, message: str) -> None:
    if not holds:
        raise BrokenLawError(message)


class Books(NamedTuple):
    """The sample tariff, and the same as the oracle reads it."""

    book: Book
    oracle: oracle.Book


@cache
def books(price_arrived: bool, zone: str) -> Books:
    """Before or after the price arrived, the first account being in a zone."""
    sample = schemas.SAMPLE_TARIFF
    lives = f'[accounts.{ACCOUNTS[0]}]\nzone = "America/New_York"'
    text = sample.read_text("utf-8")
    assert lives in text
    text = text.replace(lives, f'[accounts.{ACCOUNTS[0]}]\nzone = "{zone}"')
    with TemporaryDirectory() as folder:
        for path in sample.parent.glob("*.csv"):
            shutil.copy(path, folder)
        tariff = Path(folder) / sample.name
        tariff.write_text(text + (ARRIVES if price_arrived else ""), "utf-8")
        return Books(load_book(tariff), oracle.load_book(tariff))


# ------------------------------------------------------------------ what is sent


class Sent(NamedTuple):
    """A choice of an event. The same choice is the same event, to the byte."""

    kind: str
    account: int = 0
    id: int = 0
    content: int = 0
    instant: str = "august"
    shape: str = "good"

    def value(self) -> bytes | None:
        if self.shape == "empty":
            return None
        value = orjson.dumps(self.event())
        return value[: len(value) // 2] if self.shape == "bad bytes" else value

    def event(self) -> Event:
        at = TOO_EARLY if self.shape == "early" else INSTANTS[self.instant]
        event: Event = SAMPLES[self.kind](
            id=f"{self.kind}-{self.id}", account_id=ACCOUNTS[self.account], **self._content(at)
        )
        if self.shape == "revised":
            event["revision"] = 1
        if self.shape == "wrong":
            event["account_id"] = self.id
        return event

    def _content(self, at: str) -> Event:
        n = self.content
        if self.kind in ("call", "dial"):
            more = {"media": "video"} if self.kind == "call" and n == 2 else {}
            return {
                "dialed_at": f"{at}00:00Z",
                "answered_at": f"{at}00:10Z",
                "ended_at": f"{at}{n + 1:02}:01Z",
            } | more
        if self.kind == "text":  # of 0 and 1 only the status differs: no conflict
            return {
                "sent_at": f"{at}00:00Z",
                "status": ("sent", "delivered", "sent")[n],
                "segments": (1, 1, 3)[n],
            }
        if self.kind == "amd":  # in some calls two detections of one call, answered or not
            return {
                "call_id": f"dial-{self.id // 2}",
                "dialed_at": f"{at}00:00Z",
                "answered_at": f"{at}00:10Z" if n else None,
                "verdict": ("unknown", "human", "machine")[n],
            }
        if self.kind == "recording":
            return {
                "recording_id": f"R{self.id // 2 if n < 2 else 9}",
                "stored_at": f"{at}00:00Z",
                "duration_s": 60 * (n + 1),
            } | ({"deleted_at": "2026-09-25T00:00:00Z"} if self.id % 2 else {})
        if self.kind == "number":
            return {
                "number": f"+1212555010{self.id // 2 if n < 2 else 9}",
                "acquired_at": f"{at}00:00Z",
                # One number has one type: two that stand at one instant have no first.
                "number_type": "tollfree" if self.id // 2 == 1 and n < 2 else "local",
            } | ({"released_at": f"2026-09-2{n + 2}T00:00:00Z"} if self.id % 2 or n == 1 else {})
        if self.kind == "campaign":
            return {
                "campaign_id": f"C{self.id // 2}",
                "name": ("Spring", "Spring", "Fall")[n],
                "effective_at": f"{at}00:00Z",
            }
        return {
            "subscription_id": f"S{self.id // 2}",
            "started_at": f"{at}00:00Z",
        } | ({"ended_at": f"2026-09-2{n + 2}T00:00:00Z"} if self.id % 2 else {})

    def outcomes(self, *, price_arrived: bool) -> set[str]:
        """What may have become of it."""
        if self.shape in ("bad bytes", "empty", "wrong"):
            return {"rejected"}
        if self.shape == "revised":
            return {"parked"}
        if self.shape == "early":
            return {"parked", "rated"} if price_arrived else {"parked"}
        return {"states"} if KINDS[self.kind].monthly else {"rated"}


# ------------------------------------------------------------------ the log and the group


class Group:
    """The broker: partitions with their records, and one consumer group."""

    def __init__(self) -> None:
        self.records: dict[TP, list[tuple[Logged, Sent]]] = {
            TP(kind.topic, partition): []
            for kind in KINDS.values()
            for partition in range(PARTITIONS)
        }
        self.committed: dict[TP, int] = dict.fromkeys(self.records, 0)
        self.generation = 0
        self.assigned: dict[int, set[TP]] = {}
        self.logged_ms = LOGGED_MS

    def append(self, sent: Sent, tp: TP, *, later_ms: int) -> None:
        """The broker's clock runs on within a partition; another's may be behind or level."""
        records = self.records[tp]
        self.logged_ms += later_ms
        skewed_ms = self.logged_ms - 2 * tp.partition
        logged_ms = max(skewed_ms, records[-1][0].timestamp if records else 0)
        key = ACCOUNTS[sent.account].encode()
        records.append((Logged(len(records), logged_ms, key, sent.value()), sent))

    def rebalance(self, workers: Sequence[int]) -> None:
        self.generation += 1
        shares: dict[int, set[TP]] = {worker: set() for worker in workers}
        for tp in self.records:
            shares[workers[tp.partition % len(workers)]].add(tp)
        self.assigned = shares


# ------------------------------------------------------------------ a worker


class _Bottom(faust.transport.drivers.aiokafka.Consumer):  # type: ignore[misc]
    """Faust's consumer where it meets the broker."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self._committed_offset.pop(tp, None)


class Consumer(BatchConsumer, _Bottom):
    """The product's consumer on the log of this world."""

    should_stop = False
    flow_active = True

    def __init__(self, group: Group) -> None:
        self.group = group
        self.generation = -1
        self.positions: dict[TP, int] = {}
        self.app = SimpleNamespace(consumer_generation_id=-1)
        self._delivered = defaultdict(deque)
        self._owed: dict[TP, Owed] = {}
        self._buffered_partitions: set[TP] = set()
        self._unacked_messages: set[ConsumerMessage] = set()
        self._n_acked = 0
        self._waiting_for_ack = None
        self._read_offset: dict[TP, int | None] = {}
        self._committed_offset: defaultdict[TP, int | None] = defaultdict(lambda: None)
        self._next: dict[TP, list[Logged]] = {}

    async def join(self, slot: int) -> None:
        """The group's new generation, with which the old one's work is forgotten."""
        assigned = self.group.assigned.get(slot, set())
        await self.on_partitions_revoked(set(self.positions))
        self.generation = self.app.consumer_generation_id = self.group.generation
        self.positions = dict.fromkeys(assigned, 0)
        await self.perform_seek()

    async def seek_to_committed(self) -> dict[TP, int]:
        self.positions = {tp: self.group.committed[tp] for tp in self.positions}
        return dict(self.positions)

    async def fetch(self, tp: TP, most: int) -> AsyncIterator[ConsumerMessage]:
        records = self.group.records[tp][self.positions[tp] :][:most]
        if not records:
            return
        self.positions[tp] += len(records)
        self._next = {tp: [record for record, _ in records]}
        async for _, message in self.getmany(0.0):
            yield message

    async def _wait_next_records(self, _: float) -> tuple[dict[TP, list[Records]], set[TP]]:
        records = {
            tp: [Records(SimpleNamespace(**one._asdict(), timestamp_type=1) for one in records)]
            for tp, records in self._next.items()
        }
        return records, set(self.positions)

    def committable(self) -> dict[TP, int]:
        offsets: dict[TP, int] = self._filter_committable_offsets(
            list(self._filter_tps_with_pending_acks())
        )
        return offsets


class Stream:
    """Faust's stream as far as an agent may use it; it acknowledges where Faust's does."""

    def __init__(self) -> None:
        self.events_in: asyncio.Queue[Any] = asyncio.Queue()
        self._acks = True

    def noack(self) -> "Stream":
        self._acks = False
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            event = await self.events_in.get()
            try:
                yield event
            finally:
                if self._acks:
                    event.ack()


class Worker:
    """A process: its ledger, writer, consumer and agents."""

    def __init__(self, world: "World", slot: int) -> None:
        self.slot = slot
        self.world = world
        self.ledger = world.make_ledger()
        self.writer = Writer(self.ledger, lambda: world.book, self._letters, world.settings)
        self.unsettled: list[Span | None] = [None]
        self.consumer = Consumer(world.group)
        self.streams = {kind.topic: Stream() for kind in KINDS.values()}
        loop = world.loop
        self.run = loop.create_task(self.writer.run())
        self.agents = [
            loop.create_task(_exhaust(agents._agent(kind, self.writer)(self.streams[kind.topic])))
            for kind in KINDS.values()
        ]

    async def _letters(self, rows: Sequence[RejectedRow]) -> None:
        """Sending is a step, too: a crash may come before the broker has them."""
        sent = [(row.place.topic, row.place.partition, row.place.offset) for row in rows]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.writer._writing, self.world.letters.update, sent)

    async def take(self, tp: TP, most: int) -> None:
        async for message in self.consumer.fetch(tp, most):
            event = SimpleNamespace(
                message=message,
                value=message.value,
                ack=lambda message=message: self.consumer.ack(message),
            )
            self.streams[tp.topic].events_in.put_nowait(event)

    def job(self) -> bool:
        """Runs what waits for a thread; whether anything did. The store may kill the worker."""
        loop = self.world.loop
        job = next((job for job in loop.jobs if self._owns(job)), None)
        if job is None:
            return False
        loop.jobs.remove(job)
        try:
            result = job.call()
        except Crashed:
            self.world.bury(self)
            return True
        except Exception as error:
            job.done.set_exception(error)
        else:
            if not job.done.cancelled():
                job.done.set_result(result)
        return True

    def _owns(self, job: Job) -> bool:
        return job.executor in (self.writer._rating, self.writer._writing)

    def stop(self) -> None:
        """The process ends here and now: what it was about to do is never done."""
        loop = self.world.loop
        loop.jobs = [job for job in loop.jobs if not self._owns(job)]
        for task in (self.run, *self.agents):
            task.cancel()
        self.writer.close()


async def _exhaust(agent: AsyncIterator[None]) -> None:
    async for _ in agent:
        pass


class _Quiet:
    def warning(self, *_: object, **__: object) -> None:
        """A store that is down is what these schedules are made of."""


# ------------------------------------------------------------------ the world


class _Beside:
    """The thread that writes states: in turns before the rated rows, and after them."""

    def __init__(self, *_: object, **__: object) -> None:
        self._first = False

    def submit(self, write: Callable[..., None], *args: Any) -> "_Beside":
        self._first = not self._first
        self._write = partial(write, *args)
        self._error = self._run() if self._first else None
        return self

    def exception(self) -> BaseException | None:
        return self._error if self._first else self._run()

    def _run(self) -> BaseException | None:
        try:
            self._write()
        except BaseException as error:
            return error
        return None

    def shutdown(self) -> None:
        """It is no thread."""


class World:
    """Steps, and the laws that hold at each of them."""

    def __init__(self, store: Any = None) -> None:
        self.store = store or Store()
        self.store.meanwhile = self._meanwhile
        self.group = Group()
        self.loop = VirtualLoop()
        self.settings = SETTINGS
        self.price_arrived = False
        self.zone = ZONES[0]
        self.letters: set[tuple[str, int, int]] = set()
        self.steps = 0
        self._patch = pytest.MonkeyPatch()
        clock = VirtualTime(self.loop, LOGGED_MS / 1000)
        self._patch.setattr(writer, "time", clock)
        self._patch.setattr(writer, "log", _Quiet())
        self._patch.setattr(ledger, "_connect", lambda *_, **__: self.store.client())
        self._patch.setattr(ledger, "ThreadPoolExecutor", _Beside)
        self.keeper = self.make_ledger()
        self.workers = [Worker(self, slot) for slot in range(WORKERS)]
        self.rebalance(noticed=(True,) * WORKERS)

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()
        self.loop.settle()
        self.loop.close()
        self._patch.undo()

    def make_ledger(self) -> Ledger:
        return Ledger(self.settings)

    @property
    def book(self) -> Book:
        return books(self.price_arrived, self.zone).book

    # -------------------------------------------------------------- steps

    def send(self, sent: Sent, *, astray: bool = False, later_ms: int = 1) -> None:
        """A producer sends; astray: on another partition than the account's."""
        tp = TP(KINDS[sent.kind].topic, (sent.account + astray) % PARTITIONS)
        self.group.append(sent, tp, later_ms=later_ms)

    def fetch(self, slot: int, which: int, most: int) -> None:
        """A worker takes some records of one of its partitions. It may be a zombie."""
        worker = self.workers[slot]
        waiting = [
            tp
            for tp, position in sorted(worker.consumer.positions.items())
            if position < len(self.group.records[tp])
        ]
        if waiting:
            self._do(worker.take(waiting[which % len(waiting)], most))

    def work(self, slot: int) -> bool:
        """What a worker's thread has to do: rate, write, or send dead letters."""
        worked = self.workers[slot].job()
        self._settle()
        return worked

    def break_store(self, how: str, after: int) -> None:
        """Something will befall one of the next inserts."""
        self.store.fault = Fault(how, after)

    def outage(self, *, down: bool) -> None:
        self.store.down = down

    def tick(self) -> None:
        self.loop.tick()
        self._settle()

    def commit(self, slot: int) -> None:
        """The worker's timer: what it may commit. The group refuses an old generation."""
        worker = self.workers[slot]
        offsets = worker.consumer.committable()
        if worker.consumer.generation != self.group.generation:
            self._do(worker.consumer.join(slot))
            return
        for tp, offset in offsets.items():
            self._check_commit(tp, offset)
            self.group.committed[tp] = offset
            worker.consumer._committed_offset[tp] = offset
            worker.consumer._owed.pop(tp, None)

    def crash(self, slot: int) -> None:
        self.bury(self.workers[slot])
        self._settle()

    def bury(self, worker: Worker) -> None:
        """Another process takes the slot; the group hears of it sooner or later."""
        worker.stop()
        self.workers[worker.slot] = Worker(self, worker.slot)

    def rebalance(self, noticed: Sequence[bool]) -> None:
        """A new generation. Who does not notice is a zombie until it commits."""
        self.group.rebalance(range(WORKERS))
        for worker, notices in zip(self.workers, noticed, strict=True):
            if notices:
                self._do(worker.consumer.join(worker.slot))
        self._settle()

    def arrive(self) -> None:
        """The price of what was parked."""
        self.price_arrived = True

    def move(self) -> None:
        """The first account has another zone from now on: an edge in time has another month."""
        self.zone = ZONES[1 - ZONES.index(self.zone)]

    def keep_house(self, what: str) -> None:
        """What a worker does by the clock; a store that does not take it is tried again."""
        try:
            if what == "parked":
                parked.retry_parked(self.keeper, self.book)
            elif what == "conflicts":
                self._settle_conflicts()
            else:
                monthly.make_months(self.keeper, self.book, MONTHS, as_of=AS_OF)
        except (OSError, Crashed):
            pass

    def _settle_conflicts(self) -> None:
        """Of what each worker wrote; of all, where one has begun."""
        for worker in self.workers:
            worker.unsettled += worker.ledger.take_written() + self.keeper.take_written()
            while worker.unsettled:
                conflicts.resolve_conflicts(self.keeper, worker.unsettled[0])
                worker.unsettled.pop(0)

    def _meanwhile(self) -> None:
        """While one is between two tables, the others write."""
        for worker in list(self.workers):
            worker.job()

    def merge(self, table: str) -> None:
        self.store.merge(table)

    def _do(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self._settle()
        law(task.done(), "a step waits for ever")
        task.result()

    def _settle(self) -> None:
        self.steps += 1
        self.loop.settle()
        for worker in self.workers:
            for task in (worker.run, *worker.agents):
                if task.done() and not task.cancelled():
                    error = task.exception()
                    if not isinstance(error, StoreDownError):
                        raise error or BrokenLawError("a task of a worker came to an end")
                    self.bury(worker)
                    break

    # -------------------------------------------------------------- laws

    def _check_commit(self, tp: TP, offset: int) -> None:
        """Law 1: each record below the committed offset has one outcome, and the store has it."""
        records = self.group.records[tp]
        first = self.group.committed[tp]
        law(first <= offset <= len(records), f"{tp} commits {offset} after {first}")
        for record, sent in records[first:offset]:
            self._check_outcome(tp, record, sent)

    def _check_outcome(self, tp: TP, record: Logged, sent: Sent) -> None:
        place = (tp.topic, tp.partition, record.offset)
        found = self.store.outcomes.get(place, set()) - {"conflict"}
        allowed = sent.outcomes(price_arrived=self.price_arrived)
        law(found, f"{place} is acknowledged and the store has nothing of it: {sent}")
        law(found <= allowed, f"{place} became {sorted(found)}, not {sorted(allowed)}: {sent}")
        if "rejected" in found:
            law(place in self.letters, f"{place} is rejected, and no dead letter was sent")

    def rest(self) -> None:
        """Everything calms down; then the ledger is what the log says, to the last decimal."""
        self.store.fault, self.store.down = None, False
        self.rebalance(noticed=(True,) * WORKERS)
        ends = {tp: len(records) for tp, records in self.group.records.items()}
        for _ in range(20 + sum(ends.values())):
            if self.group.committed == ends:
                break
            for slot in range(WORKERS):
                for which in range(len(ends)):
                    self.fetch(slot, which, 100)
                while self.work(slot):
                    pass
                self.commit(slot)
            self.tick()
        law(self.group.committed == ends, f"no progress: {self.group.committed} of {ends}")
        for what in ("parked", "months", "conflicts"):
            self.keep_house(what)
        self._check_rest()

    def _check_rest(self) -> None:
        in_order = sorted(
            (
                (record.timestamp, tp.partition, record.offset, tp, sent)
                for tp, records in self.group.records.items()
                for record, sent in records
            ),
            key=lambda item: item[:3],
        )
        for _, _, offset, tp, sent in in_order:
            self._check_outcome(tp, self.group.records[tp][offset][0], sent)
        accepted = [
            sent.event() for *_, sent in in_order if sent.shape in ("good", "early", "revised")
        ]
        expected = self._expected(accepted)
        _same(rows_of(self.keeper), expected)
        committed = {tuple(tp): offset for tp, offset in self.group.committed.items() if offset}
        audit = audit_ledger(self.keeper, [], committed=committed)
        law(not audit.findings, f"the audit finds {audit.findings}")

    def _expected(self, accepted: Sequence[Event]) -> Rows:
        """What the oracle charges. Recurring charges are those of the zone now; of an event's row
        the oracle says all but the month, which has to be the first of those that the record that
        stands was ever rated to."""
        months = [month.isoformat()[:7] for month in MONTHS]
        by_zone = {
            zone: rows_by_oracle(
                oracle.rate_lines(accepted, books(self.price_arrived, zone).oracle),
                ACCOUNTS,
                months,
            )
            for zone in ZONES
        }
        written = self.store.months_of_rows()
        expected: Rows = {
            name: row for name, row in by_zone[self.zone].items() if name[2] in MONTHLY_LINES
        }
        for rows in by_zone.values():
            for (account, month, *name), row in rows.items():
                versions = written.get((account, *name), {})
                if name[0] in MONTHLY_LINES:
                    continue
                law(versions, f"nothing was ever written of {account} {name}")
                if month == min(versions[max(versions)]):
                    expected[account, month, *name] = row
        charged = {(name[0], *name[2:]) for rows in by_zone.values() for name in rows}
        kept = {(name[0], *name[2:]) for name in expected}
        lost = {name for name in charged - kept if name[1] not in MONTHLY_LINES}
        law(not lost, f"of {sorted(lost)[:3]} the record that stands was rated to a strange month")
        return expected


def _same(rows: Rows, expected: Rows) -> None:
    differ = [
        name for name in rows.keys() | expected.keys() if rows.get(name) != expected.get(name)
    ]
    shown = [(name, rows.get(name), expected.get(name)) for name in sorted(differ)[:3]]
    law(not differ, f"{len(differ)} rows differ (name, ledger, oracle): {shown}")


@contextmanager
def a_world(store: Any = None) -> Iterator[World]:
    world = World(store)
    try:
        yield world
    finally:
        world.close()


def batch_cut_anew(store: Any = None) -> None:
    """A schedule: a crash after the rows and before the rest, then the next batch is longer."""
    with a_world(store) as world:
        world.send(Sent("call", id=0))
        world.fetch(0, 0, 10)
        world.tick()
        world.work(0)
        world.break_store("crash after", 0)
        world.work(0)
        law(world.store.fault is None, "nothing was written, so nothing crashed")
        world.send(Sent("call", id=1))
        world.rest()


def zone_changed_anew(store: Any = None) -> None:
    """A schedule: a crash in the middle of an insert, and a zone that changes before the record is
    read again. Rows of two months stand, and of the first no view has heard."""
    with a_world(store) as world:
        world.send(Sent("call", instant="edge"))
        world.fetch(0, 0, 10)
        world.tick()
        world.work(0)
        world.break_store("crash torn", 0)
        world.work(0)
        law(world.store.fault is None, "nothing was written, so nothing crashed")
        world.move()
        world.rest()


# ------------------------------------------------------------------ schedules by a seed

KIND_NAMES = tuple(sorted(KINDS))
HOUSEHOLD = ("parked", "months", "conflicts")


def run_schedule(seed: int, *, steps: int = 60, store: Any = None) -> int:
    """One schedule, all of it drawn from the seed; the number of steps it took."""
    random = Random(seed)
    with a_world(store) as world:
        for _ in range(steps):
            random_step(world, random)
        world.rest()
        return world.steps


def random_step(world: World, random: Random) -> None:
    slot = random.randrange(WORKERS)
    what = random.choices(
        ("send", "fetch", "work", "commit", "tick", "break", "crash", "rebalance", "house",
         "arrive", "move", "merge", "outage"),
        (30, 25, 40, 12, 12, 8, 3, 4, 8, 0.5, 2, 3, 3),
    )[0]  # fmt: skip
    if what == "send":
        world.send(
            random_sent(random),
            astray=random.random() < 0.25,
            later_ms=random.randrange(3),
        )
    elif what == "fetch":
        world.fetch(slot, random.randrange(20), random.randrange(1, 6))
    elif what == "work":
        world.work(slot)
    elif what == "commit":
        world.commit(slot)
    elif what == "tick":
        world.tick()
    elif what == "break":
        world.break_store(random.choice(FAULTS), random.randrange(4))
    elif what == "crash":
        world.crash(slot)
    elif what == "rebalance":
        world.rebalance([random.random() < 0.6 for _ in range(WORKERS)])
    elif what == "house":
        world.keep_house(random.choice(HOUSEHOLD))
    elif what == "arrive":
        world.arrive()
    elif what == "move":
        world.move()
    elif what == "merge":
        world.merge(random.choice(("rated", "states", "parked")))
    else:
        world.outage(down=random.random() < 0.5)


def random_sent(random: Random) -> Sent:
    return choose(
        random.choice(KIND_NAMES),
        random.randrange(2),
        random.randrange(5),
        random.choice((0, 0, 0, 1, 2)),
        random.choice(("august", "august", "august", "september", "edge")),
        random.choices(SHAPES, (10, 0.5, 1, 0.5, 0.5))[0],
    )


def choose(kind: str, account: int, id: int, content: int, instant: str, shape: str) -> Sent:
    """An event; of the last id's, those that are priced one by one came before any price."""
    if shape == "good" and id == EARLY_ID and kind in EARLY_KINDS:
        shape = "early"
    return Sent(kind, account, id, content, instant, shape)
