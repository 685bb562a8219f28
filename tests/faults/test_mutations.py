"""The suite catches mistakes: each of these, put into the product, turns a check of it red.

The check is the suite's own: schedules of the simulation, the agent on Faust's real stream, a test
of the ledger on the real engine. Each passes without the mistake, in the same test.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pyarrow as pa
import pytest
from faust.types import TP, ConsumerMessage

import schemas
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.tariff import Book
from streams.base.settings import Settings, load_settings
from streams.ingest import agents
from streams.ingest.agents import _agent
from streams.ingest.app import make_app
from streams.ingest.stretch import Stretch
from streams.ingest.transport import BatchConsumer
from streams.ingest.writer import StoreDownError, Writer
from streams.kafka.record_batches import Records
from streams.maintenance import conflicts
from streams.rows import batch as pipeline
from streams.rows import identity
from streams.rows.batch import Batch
from streams.store import ledger
from streams.store.ledger import Ledger, StoreErrors
from tests.conftest import LOGGED_MS, Logged, MakeLedger
from tests.faults import store
from tests.faults.engine import EngineStore
from tests.faults.world import (
    BrokenLawError,
    Consumer,
    Group,
    batch_cut_anew,
    run_schedule,
    zone_changed_anew,
)
from tests.streams import test_ledger, test_transport

Mutate = Callable[[pytest.MonkeyPatch], None]
SEEDS = 400  # until which a mistake has to show


# ------------------------------------------------------------------ mistakes the simulation sees


def ack_before_insert(patch: pytest.MonkeyPatch) -> None:
    write = Writer._write

    async def acknowledge_first(self: Writer, stretches: list[Stretch], batch: Batch) -> None:
        for stretch in stretches:
            stretch.acknowledge()
        await write(self, stretches, batch)

    patch.setattr(Writer, "_write", acknowledge_first)


def a_swallowed_store_error(patch: pytest.MonkeyPatch) -> None:
    insert = Ledger._insert

    def swallow(self: Ledger, table: str, columns: Any) -> None:
        with contextlib.suppress(*StoreErrors):
            insert(self, table, columns)

    patch.setattr(Ledger, "_insert", swallow)


def an_agent_that_acknowledges(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agents, "_agent", events_agent)


def the_last_written_wins(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(store.SHAPES, "rated", store.SHAPES["rated"]._replace(version="logged_at"))


def rejects_that_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "_rejected_columns", lambda rows, now: None)


def a_row_named_by_its_offset(patch: pytest.MonkeyPatch) -> None:
    block = pipeline._block

    def by_offset(usage: Any, lines: Any, places: Any) -> pipeline.Block:
        named = replace(
            usage, identities=pa.array(map(str, places.offsets), size=len(places.offsets))
        )
        return block(named, lines, places)

    patch.setattr(pipeline, "_block", by_offset)


def of_one_version_all_months_stand(patch: pytest.MonkeyPatch) -> None:
    superseded = identity.superseded_rows

    def only_of_other_versions(rows: Any, standing: Any) -> Any:
        return [row for row in superseded(rows, standing) if row.version != standing.version]

    patch.setattr(conflicts, "superseded_rows", only_of_other_versions)


SIMULATED: list[Mutate] = [
    of_one_version_all_months_stand,
    ack_before_insert,
    a_swallowed_store_error,
    an_agent_that_acknowledges,
    the_last_written_wins,
    rejects_that_are_not_kept,
    a_row_named_by_its_offset,
]


@pytest.mark.parametrize("mutate", SIMULATED, ids=lambda mutate: mutate.__name__)
def test_the_simulation_sees(mutate: Mutate) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        seed = next((seed for seed in range(SEEDS) if breaks_a_law(seed)), None)
    assert seed is not None, f"{SEEDS} schedules passed with the mistake in the product"
    run_schedule(seed)  # and it is the mistake that the schedule shows


def test_a_search_among_accepted_records_alone_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an insert that broke in the middle they know nothing."""
    zone_changed_anew()
    monkeypatch.setattr(conflicts, "read_rows_of_records", lambda ledger, where: [])
    with pytest.raises(BrokenLawError):
        zone_changed_anew()


def breaks_a_law(seed: int) -> bool:
    try:
        run_schedule(seed)
    except BrokenLawError:
        return True
    return False


# ------------------------------------------------------------------ what is committed


def a_commit_over_a_gap(patch: pytest.MonkeyPatch) -> None:
    def new_offset(self: BatchConsumer, tp: TP) -> int | None:
        acked = [message.offset + 1 for message in self._delivered[tp] if message.acked]
        return max(acked, default=None)

    patch.setattr(BatchConsumer, "_new_offset", new_offset)


def test_a_commit_over_a_gap_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer acknowledges in order, so that no schedule of it leaves a gap; others may."""
    check: Any = test_transport.test_a_commit_goes_up_to_the_last_batch_acknowledged_without_a_gap
    orders: list[Any] = [order for order in test_transport.ORDERS if order[1] != sorted(order[1])]
    for order in orders:
        check(*order)
    a_commit_over_a_gap(monkeypatch)
    for order in orders:
        with pytest.raises(AssertionError):
            check(*order)


# ------------------------------------------------------------------ Faust's own acknowledging


def take_agent(kind: Kind, writer: Writer) -> Any:
    """An agent as Faust's manual shows it: `take` acknowledges in `finally`."""

    async def hand_over(stream: Any) -> AsyncIterator[None]:
        async for values in stream.take(10, within=0.01):
            for records in values:
                await writer.put(Stretch(kind, kind.topic, 0, records, lambda: None))
            yield

    return hand_over


def events_agent(kind: Kind, writer: Writer) -> Any:
    """The product's agent without `noack`."""

    async def hand_over(stream: Any) -> AsyncIterator[None]:
        async for event in stream.events():
            await writer.put(
                Stretch(kind, event.message.topic, event.message.partition, event.value, event.ack)
            )
            yield

    return hand_over


class Refuses:
    """A store that takes nothing."""

    def write(self, _: Batch) -> None:
        raise OSError("connection refused")


async def check_nothing_is_acknowledged(agent: Any, book: Book) -> None:
    """The suite's check: on Faust's real stream, a store that refuses leaves nothing to commit."""
    settings = load_settings(batch_wait_s=0, store_outage_max_s=0.2)
    writer = Writer(Refuses(), lambda: book, no_letters, settings)  # type: ignore[arg-type]
    kind = KINDS["call"]
    tp = TP(kind.topic, 0)
    app = make_app(Settings())
    consumer = app.consumer = Consumer(Group())
    app.flow_control.resume()
    app.consumer_generation_id = 1
    channel = app.channel().clone(is_iterator=True)
    for offset in range(2):
        records = Records([SimpleNamespace(**Logged(offset, LOGGED_MS, b"a", b"{")._asdict())])
        records[0].timestamp_type = 1
        message: ConsumerMessage = consumer._to_batch_message(tp, records, 1)
        consumer._delivered[tp].append(message)
        message.incref()
        channel.queue.put_nowait(faust.Event(app, b"a", message.value, {}, message))
    with pytest.raises(StoreDownError):
        await run_agent(agent(kind, writer), app.stream(channel), writer)
    assert consumer.committable() == {}, "acknowledged, and the store has nothing of it"


async def run_agent(agent: Any, stream: Any, writer: Writer) -> None:
    async def exhaust() -> None:
        async for _ in agent(stream):
            pass

    reading = asyncio.create_task(exhaust())
    try:
        await asyncio.wait_for(writer.run(), 20)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await stream.stop()
        writer.close()


async def no_letters(_: object) -> None:
    """The store refuses before any is sent."""


async def test_the_agent_acknowledges_nothing_that_the_store_refused(book: Book) -> None:
    await check_nothing_is_acknowledged(_agent, book)


@pytest.mark.parametrize("agent", [take_agent, events_agent])
async def test_an_agent_that_lets_faust_acknowledge_is_seen(agent: Any, book: Book) -> None:
    with pytest.raises(AssertionError, match="acknowledged, and the store has nothing"):
        await check_nothing_is_acknowledged(agent, book)


# ------------------------------------------------------------------ the engine

SUMMING_VIEW = """
DROP VIEW statement_lines;
CREATE MATERIALIZED VIEW statement_lines
ENGINE = SummingMergeTree ORDER BY (account_id, month, line, direction, media, registered, currency)
AS SELECT account_id, month, line, direction, media, registered, toUInt64(1) AS row_count,
    toUInt64(billed) AS billed, toUInt64(billed_seconds) AS billed_seconds,
    toUInt64(segments) AS segments, charge, tax_federal + tax_state + tax_local AS tax,
    toUInt64(tax != 0) AS taxed_count, currency
FROM rated;
"""


def test_a_summing_view_is_seen(make_ledger: MakeLedger, book: Book) -> None:
    test_ledger.test_a_batch_written_twice_changes_nothing(make_ledger(), book)
    mutated = make_ledger()
    for statement in SUMMING_VIEW.split(";\n"):
        if statement.strip():
            mutated._writer.command(statement)
    with pytest.raises(AssertionError):
        test_ledger.test_a_batch_written_twice_changes_nothing(mutated, book)


def test_a_summing_ledger_is_seen(
    make_ledger: MakeLedger, book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_migrations(
        monkeypatch,
        tmp_path,
        "ReplacingMergeTree(version)\nPARTITION BY toYYYYMM(month)\n"
        "ORDER BY (account_id, month, line, identity, revision)\n-- A statement",
        "SummingMergeTree\nPARTITION BY toYYYYMM(month)\n"
        "ORDER BY (account_id, month, line, identity, revision)\n-- A statement",
    )
    with pytest.raises(AssertionError):
        test_ledger.test_a_batch_written_twice_changes_nothing(make_ledger(), book)


def tokens(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The engine leaves out an insert whose token it has seen; a token is where a batch begins."""
    change_migrations(
        patch,
        folder,
        "SETTINGS index_granularity = 2048;",
        "SETTINGS index_granularity = 2048, non_replicated_deduplication_window = 1000;",
    )

    insert = Ledger._insert

    def with_token(self: Ledger, table: str, columns: Any) -> None:
        if columns is None or table != "rated":
            insert(self, table, columns)
            return
        first = "-".join(str(columns[name][0]) for name in ("topic", "partition", "offset"))
        settings = {"insert_deduplicate": 1, "insert_deduplication_token": first}
        self._writer.insert_arrow(table, pa.table(columns), settings=settings)

    patch.setattr(Ledger, "_insert", with_token)


def test_insert_tokens_are_seen(
    make_ledger: MakeLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_cut_anew(EngineStore(make_ledger()))
    tokens(monkeypatch, tmp_path)
    mutated = make_ledger()
    with pytest.raises(BrokenLawError):
        batch_cut_anew(EngineStore(mutated))


def change_migrations(patch: pytest.MonkeyPatch, folder: Path, old: str, new: str) -> None:
    """The product's tables with a mistake in them."""
    changed = folder / "migrations"
    changed.mkdir()
    found = 0
    for path in schemas.MIGRATIONS.glob("*.sql"):
        text = path.read_text("utf-8")
        found += text.count(old)
        (changed / path.name).write_text(text.replace(old, new), "utf-8")
    assert found == 1, "the migrations have changed: bring the mistake up to date"
    patch.setattr(schemas, "MIGRATIONS", changed)
