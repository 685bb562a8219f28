"""What faults in the data share: a log over partitions, its way in, and what holds at rest.

A test makes a log, feeds it through the real writer into the real engine, and then asks
`Rest.check` whether everything that can be read of it says the same as the oracle.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import orjson
from fastapi import FastAPI

from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.months import parse_month
from rater.statement import statement_to_json
from rater.tariff import Book
from streams.base.settings import load_settings
from streams.ingest.stretch import Stretch
from streams.ingest.writer import Writer
from streams.maintenance.audit import audit_ledger
from streams.maintenance.conflicts import find_conflicts, resolve_written
from streams.maintenance.recurring import make_months
from streams.rows.batch import RejectedRow
from streams.rows.log_position import Place, place_of_version
from streams.store.ledger import Ledger
from streams.store.statements import read_statement
from streams.web.app import create_app
from streams.web.reads import Reads
from streams.web.v1 import watched_statement
from tests import oracle
from tests.conftest import Event, Logged, assert_rows, comparable, rows_by_oracle, rows_of
from tests.support.readings import csv_differences, page_differences

PARTITIONS = 3
Spot = tuple[str, int, int]  # topic, partition, offset
Name = tuple[str, str, str]  # account, kind, event id


class Entry(NamedTuple):
    """An event of the log: where it lies, and which of its id's contents it has."""

    place: Place
    event: Event
    content: str


@dataclass
class PartitionedLog:
    """Records of every topic over several partitions, by a broker's clock that often stands."""

    chance: random.Random
    clock_ms: int
    entries: list[Entry] = field(default_factory=list)
    records: dict[tuple[str, int], list[Logged]] = field(default_factory=dict)

    def append(self, event: Event, content: str = "", partition: int | None = None) -> Spot:
        """An event on its account's partition, or on another one."""
        if partition is None:
            partition = sum(event["account_id"].encode()) % PARTITIONS
        kind = KINDS[event["kind"]]
        place = self._append(kind, partition, event["account_id"].encode(), orjson.dumps(event))
        self.entries.append(Entry(place, event, content))
        return place[:3]

    def append_bytes(self, kind: Kind, value: bytes | None, partition: int) -> Spot:
        """A record that may be anything."""
        return self._append(kind, partition, b"key", value)[:3]

    def _append(self, kind: Kind, partition: int, key: bytes, value: bytes | None) -> Place:
        self.clock_ms += self.chance.choice((0, 0, 1, 900))
        records = self.records.setdefault((kind.name, partition), [])
        records.append(Logged(len(records), self.clock_ms, key, value))
        return Place(kind.topic, partition, len(records) - 1, self.clock_ms)

    def events(self) -> list[Event]:
        """The events in the order of the log."""
        return [e.event for e in sorted(self.entries, key=lambda e: e.place.position())]

    def spots(self) -> set[Spot]:
        return {
            (KINDS[kind].topic, partition, record.offset)
            for (kind, partition), records in self.records.items()
            for record in records
        }

    def ends(self) -> dict[tuple[str, int], int]:
        """What a group has committed that has read all of it."""
        return {
            (KINDS[kind].topic, partition): len(records)
            for (kind, partition), records in self.records.items()
        }

    def conflicts(self) -> dict[Name, set[Spot]]:
        """The conflicts that were planted: of each id with two contents, the records that lose."""
        by_name: dict[Name, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda e: e.place.position()):
            event = entry.event
            by_name.setdefault((event["account_id"], event["kind"], event["id"]), []).append(entry)
        lost = {}
        for name, entries in by_name.items():
            stands = max(entries, key=_rank)  # the first of those that are furthest along
            lost[name] = {e.place[:3] for e in entries if e.content != stands.content}
        return {name: spots for name, spots in lost.items() if spots}

    def accounts(self) -> list[str]:
        return sorted({entry.event["account_id"] for entry in self.entries})


def _rank(entry: Entry) -> int:
    event = entry.event
    return oracle.FURTHER[event["status"]] if event["kind"] == "text" else 0


async def _nothing() -> None:
    pass


async def feed(
    log: PartitionedLog,
    ledger: Ledger,
    book: Callable[[], Book],
    *,
    again: float = 0.15,
    between: Callable[[], Awaitable[None]] = _nothing,
) -> list[RejectedRow]:
    """Puts the whole log through a writer, in stretches cut at random, partitions in any order.

    Some stretches are read again later, as after a kill. Each stretch is acknowledged, in order.
    Returns the dead letters.
    """
    chance = log.chance
    letters: list[RejectedRow] = []

    async def send(rows: Any) -> None:
        letters.extend(rows)

    settings = load_settings(batch_wait_s=0.002, batch_rows=chance.randrange(60, 300))
    writer = Writer(ledger, book, send, settings)
    running = asyncio.create_task(writer.run())
    put: dict[tuple[str, int], list[int]] = {place: [] for place in log.records}
    acknowledged: dict[tuple[str, int], list[int]] = {place: [] for place in log.records}
    at = dict.fromkeys(log.records, 0)
    try:
        while left := [place for place in at if at[place] < len(log.records[place])]:
            place = chance.choice(left)
            until = at[place] + chance.randrange(1, 60)
            records = log.records[place][at[place] : until]
            at[place] += len(records)
            if chance.random() < again:  # a rebalance: back to what was committed some time ago
                at[place] -= chance.randrange(len(records) + 1)
            kind, partition = KINDS[place[0]], place[1]
            last = records[-1].offset

            def acknowledge(place: tuple[str, int] = place, last: int = last) -> None:
                acknowledged[place].append(last)

            put[place].append(last)
            await writer.put(Stretch(kind, kind.topic, partition, [*records], acknowledge))
            await between()
        drained = asyncio.create_task(writer.drain())
        await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        writer.close()
    assert acknowledged == put
    return letters


# ------------------------------------------------------------------ at rest


@dataclass
class Rest:
    """A ledger to which nothing more comes, and all that must agree on it."""

    ledger: Ledger
    book: Book
    oracle_book: oracle.Book
    log: PartitionedLog
    months: tuple[str, ...]  # beside those of events, the months of what stands

    def keep_house(self) -> None:
        """What the worker does by the clock: monthly lines and conflicts."""
        as_of = datetime.fromtimestamp(self.log.clock_ms / 1000, UTC)
        months = [parse_month(month) for month in self.all_months()]
        made = make_months(self.ledger, self.book, months, as_of=as_of)
        assert not made.unpriced, "things without a price"
        resolve_written(self.ledger)

    def expected(self) -> oracle.Ledger:
        return oracle.rate_lines(self.log.events(), self.oracle_book)

    def all_months(self) -> list[str]:
        return sorted({name.month for name in self.expected().rows} | set(self.months))

    async def check(self, bad: set[Spot] = frozenset()) -> None:  # type: ignore[assignment]
        """Rows, statements, live totals and exports equal the oracle; the audit says no more than
        what was planted; each record has one outcome, `bad` ones a dead letter."""
        expected, accounts, months = self.expected(), self.log.accounts(), self.all_months()
        rows = {name: row for name, row in rows_of(self.ledger).items() if name[0] in accounts}
        assert_rows(rows, rows_by_oracle(expected, accounts, months))
        statements = {
            (account, month): statement_to_json(
                read_statement(self.ledger, self.book, account, parse_month(month))
            )
            for account in accounts
            for month in months
        }
        for (account, month), statement in statements.items():
            assert comparable(statement) == expected.statement(account, month), (account, month)
        self.check_outcomes(bad)
        self.check_audit()
        await self.check_readers(statements)

    def check_outcomes(self, bad: set[Spot]) -> None:
        """Each record of the log is in exactly one of the tables that hold outcomes."""
        rated = {
            place_of_version(topic, version)[:3]
            for topic, version in self.ledger.query("SELECT topic, version FROM accepted")
        }
        waiting = "SELECT topic, partition, offset FROM parked FINAL WHERE resolved = 0"
        letters = "SELECT topic, partition, offset FROM rejected FINAL WHERE reason != 'conflict'"
        parked, rejected = set(self.ledger.query(waiting)), set(self.ledger.query(letters))
        outcomes = Counter([*rated, *parked, *rejected])
        assert {spot: count for spot, count in outcomes.items() if count != 1} == {}
        assert outcomes.keys() == self.log.spots()
        assert bad <= rejected
        assert not rejected & {entry.place[:3] for entry in self.log.entries}

    def check_audit(self) -> None:
        """Clean, but for the conflicts that were planted; each loser has its letter."""
        planted = self.log.conflicts()
        found = find_conflicts(self.ledger).conflicts
        lost = {
            (c.account_id, c.kind, c.event_id): {one.place[:3] for one in c.lost}
            for c in found
            if c.lost  # a call that was detected in two months has one content
        }
        assert lost == planted
        letters = self.ledger.query(
            "SELECT topic, partition, offset FROM rejected FINAL WHERE reason = 'conflict'"
        )
        assert set(letters) == set().union(*planted.values())
        audit = audit_ledger(self.ledger, [], committed=self.log.ends())
        assert audit.findings == []
        assert audit.figures["conflicts"] == len(found)
        assert audit.figures["records"] == len(self.log.spots())

    async def check_readers(self, statements: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """The live stream, the API and both exports show the statement digit for digit."""
        app = create_app(self.ledger, lambda: self.book, load_settings())
        reads = Reads(self.ledger, lambda: self.book)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for (account, month), statement in statements.items():
                want = comparable(statement)
                path = f"/v1/accounts/{account}/usage"
                if not any(line["amount"] for line in want["lines"]):
                    continue  # there may be no bill: a month before the first
                for suffix in ("", ".json"):
                    answer = await client.get(f"{path}{suffix}?month={month}")
                    got = comparable(answer.json())
                    assert got == want, (account, month, suffix)
                live = await live_statement(app, reads, account, month)
                assert comparable(live) == want, (account, month, "live")
                export = (await client.get(f"{path}.csv?month={month}")).text
                assert list(csv_differences(export, want)) == []
                page = (await client.get(f"/accounts/{account}/usage?month={month}&exact=1")).text
                assert list(page_differences(page, want)) == []
        await app.state.live.close()


async def live_statement(app: FastAPI, reads: Reads, account: str, month: str) -> dict[str, Any]:
    """The first statement that a viewer of the live stream is told."""
    stream = app.state.live.response(watched_statement(reads, account, parse_month(month)))
    try:
        async with aclosing(stream.body_iterator) as events:
            async for event in events:
                if event.startswith(b"event: statement"):
                    told: dict[str, Any] = orjson.loads(event.split(b"data: ")[1])
                    return told
    finally:
        stream.on_end()  # as when a server has sent it
    raise AssertionError("the live stream ended without a statement")
