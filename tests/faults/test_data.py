"""Faults in the data: whatever producers send, the ledger equals the oracle and nothing is lost.

Each test prints its seed; RATER_CHAOS_SEED runs it again. The real pipeline, writer and engine.
"""

import asyncio
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

import schemas
from rater.kinds import KINDS
from rater.reject import Reason
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.kafka.simulate import Simulator
from streams.maintenance.audit import audit_lately, audit_ledger
from streams.maintenance.conflicts import find_conflicts
from streams.maintenance.parked import retry_parked
from streams.maintenance.recurring import open_months
from streams.rows.kept import KEPT_BYTES
from streams.store.ledger import Ledger
from streams.store.parked import count_parked
from tests import oracle
from tests.conftest import Event, amd, call, dial, number, recording, rows_of, subscription, text
from tests.faults.at_rest import PARTITIONS, PartitionedLog, Rest, feed
from tests.faults.seed import fresh_seed

TIMES = sorted({name for kind in KINDS.values() for name in kind.instants})
NOW = datetime(2026, 11, 20, tzinfo=UTC)  # after every event, where a test says nothing else


@pytest.fixture
def chance() -> random.Random:
    return random.Random(fresh_seed())


def new_log(chance: random.Random, now: datetime = NOW) -> PartitionedLog:
    return PartitionedLog(chance, int(now.timestamp() * 1000))


def traffic(
    chance: random.Random,
    count: int,
    first: datetime = datetime(2026, 9, 25, tzinfo=UTC),
    hours: int = 14 * 24,
) -> list[Event]:
    """What stands, and simulated events of every kind over some days, a month's edge among them."""
    simulator = Simulator(seed=chance.randrange(2**32))
    events = [orjson.loads(event.value) for event in simulator.opening()]
    while len(events) < count:
        at = first + timedelta(seconds=chance.randrange(hours * 3_600))
        events += [orjson.loads(event.value) for event in simulator.happen(at)]
    return events


def shifted(event: Event, by: timedelta) -> Event:
    """The event as a producer tells it whose clock is off."""
    return event | {
        name: (datetime.fromisoformat(event[name]) + by).isoformat()
        for name in TIMES
        if event.get(name)
    }


# ------------------------------------------------------------------ 7. sent again


def with_other_content(event: Event, chance: random.Random) -> Event:
    """A record with the id of another and not its content; of every second, the month differs."""
    if chance.random() < 0.5:
        return shifted(event, timedelta(days=chance.choice((-400, -62, -31, 31))))
    other: dict[str, Any] = {
        "call": {"to": "+442079460999"},
        "dial": {"campaign_id": "another"},
        "text": {"media": "mms", "segments": 7},
        "amd": {"campaign_id": "another"},
        "recording": {"duration_s": event.get("duration_s", 0) % 100 + 1},
        "number": {
            "number_type": "local" if event.get("number_type") == "tollfree" else "tollfree"
        },
        "subscription": {"product": "office-phone", "started_at": "2026-09-03T00:00:00Z"},
        "campaign": {"name": "another"},
    }
    twin: Event = event | other[event["kind"]]
    if event["kind"] == "call" and chance.random() < 0.5:  # on another line
        twin["media"] = "voice" if event.get("media") == "video" else "video"
    return twin


def in_any_order(event: Event, chance: random.Random) -> list[tuple[Event, str]]:
    """One event as it is sent k times, with the name of each record's content."""
    sends = [(event, "")] * chance.choice((1, 1, 2, 3, 5))
    if event["kind"] == "text":  # its status alone is no other content
        sends = [(event | {"status": chance.choice(("sent", "delivered"))}, "")] * len(sends)
    if event["kind"] == "amd" and chance.random() < 0.3:  # its call told again, in another month
        sibling = shifted(event, timedelta(days=chance.choice((-31, 31))))
        sends += [(sibling | {"id": event["id"] + "-again"}, "")]
    elif chance.random() < 0.25:
        sends += [(with_other_content(event, chance), "other")] * chance.choice((1, 2))
    return sends


async def test_an_event_sent_again_anywhere_and_with_anything_is_charged_once_as_first_told(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, chance: random.Random
) -> None:
    sends = [send for event in traffic(chance, 200) for send in in_any_order(event, chance)]
    chance.shuffle(sends)
    log = new_log(chance)
    for event, content in sends:
        partition = chance.randrange(PARTITIONS) if chance.random() < 0.5 else None
        log.append(event, content, partition)
    await feed(log, ledger, lambda: book)
    rest = Rest(ledger, book, oracle_book, log, ("2026-09", "2026-10"))
    rest.keep_house()
    assert len(log.conflicts()) > 10
    await rest.check()


# ------------------------------------------------------------------ 8. times

NEW_YORK_NIGHTS = [
    # what            dialed                         ended                       minutes, month
    ("skipped hour",  "2027-03-14T01:59:59-05:00",   "2027-03-14T03:00:00-04:00",  1, "2027-03"),
    ("through it",    "2027-03-14T01:30:00-05:00",   "2027-03-14T03:30:01-04:00", 61, "2027-03"),
    ("hour twice",    "2026-11-01T01:30:00-04:00",   "2026-11-01T01:30:00-05:00", 60, "2026-11"),
    ("and a second",  "2026-11-01T01:30:00-04:00",   "2026-11-01T01:30:01-05:00", 61, "2026-11"),
    ("October's end", "2026-11-01T03:59:59.999Z",    "2026-11-01T04:00:00.999Z",   1, "2026-10"),
    ("November",      "2026-11-01T04:00:00Z",        "2026-11-01T04:01:00.999Z",   1, "2026-11"),
    ("and later",     "2026-11-01T04:00:00.001Z",    "2026-11-01T04:01:01.001Z",   2, "2026-11"),
    ("its end",       "2026-12-01T04:59:59.999Z",    "2026-12-01T05:00:59.999Z",   1, "2026-11"),
    ("December",      "2026-12-01T05:00:00.001Z",    "2026-12-01T05:01:00.002Z",   1, "2026-12"),
    ("into the 29th", "2028-02-28T23:59:00-05:00",   "2028-02-29T00:00:01-05:00",  2, "2028-02"),
    ("its last",      "2028-02-29T23:59:59-05:00",   "2028-03-01T00:00:59-05:00",  1, "2028-02"),
    ("March",         "2028-03-01T00:00:00-05:00",   "2028-03-01T00:01:00-05:00",  1, "2028-03"),
]  # fmt: skip
EDGES = [
    datetime.fromisoformat(edge)
    for edge in (
        "2026-10-01T00:00:00+00:00", "2026-10-01T00:00:00-04:00",
        "2026-11-01T00:00:00+00:00", "2026-11-01T00:00:00-04:00",
        "2026-11-01T06:00:00+00:00",  # New York's clocks go back
        "2026-12-01T00:00:00+00:00", "2026-12-01T00:00:00-05:00",
        "2027-03-14T07:00:00+00:00",  # and forth
        "2028-02-29T00:00:00+00:00", "2028-02-29T00:00:00-05:00",
        "2028-03-01T00:00:00+00:00", "2028-03-01T00:00:00-05:00",
    )
]  # fmt: skip
LONG_AFTER = datetime(2028, 3, 20, tzinfo=UTC)


def at_an_edge(chance: random.Random, n: int) -> Event:
    """An event of some kind within a few milliseconds of a month's, a night's or a day's edge."""
    at = chance.choice(EDGES) + timedelta(milliseconds=chance.choice((-1, 0, 1)))
    later = at + timedelta(seconds=chance.choice((0, 1, 59, 60, 61, 3599, 3600, 3601)))
    account = chance.choice(("acme", "globex"))
    own: Event = {"id": f"edge-{n}", "account_id": account}
    stands = own | {
        "number": f"+1212555{n:04}",
        "recording_id": f"R{n}",
        "subscription_id": f"S{n}",
    }
    made: list[Event] = [
        call(**own, dialed_at=at, answered_at=None, ended_at=later),
        dial(**own, dialed_at=at, answered_at=at, ended_at=later),
        text(**own, sent_at=at),
        amd(**own, call_id=f"C{n}", dialed_at=at, answered_at=chance.choice((at, later, None))),
        recording(**own, recording_id=stands["recording_id"], stored_at=at, deleted_at=later),
        number(**own, number=stands["number"], acquired_at=at, released_at=later),
        subscription(**own, subscription_id=stands["subscription_id"], started_at=at),
    ]
    told: Event = orjson.loads(orjson.dumps(chance.choice(made)))
    return told


async def test_late_events_at_the_edges_of_months_nights_and_leap_days_are_where_the_oracle_says(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, chance: random.Random
) -> None:
    log = new_log(chance, LONG_AFTER)
    nights = [
        call(id=what, dialed_at=dialed, answered_at=None, ended_at=ended)
        for what, dialed, ended, _, _ in NEW_YORK_NIGHTS
    ]
    events = nights + [at_an_edge(chance, n) for n in range(250)]
    chance.shuffle(events)
    for event in events:
        log.append(event)
    await feed(log, ledger, lambda: book)
    months = ("2026-09", "2026-10", "2026-11", "2026-12", "2027-03", "2028-02", "2028-03")
    rest = Rest(ledger, book, oracle_book, log, months)
    rest.keep_house()
    await rest.check()
    rows = rows_of(ledger)
    for what, _, _, minutes, month in NEW_YORK_NIGHTS:
        assert rows["acme", month, "calls", what, 0][1] == minutes, what


async def test_a_producers_clock_a_day_off_changes_no_charge_and_what_is_ahead_is_refused(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, chance: random.Random
) -> None:
    first = datetime(2026, 11, 5, tzinfo=UTC)  # no price and no tax changes near it
    told = [
        event
        for event in traffic(chance, 150, first + timedelta(hours=2), hours=20)
        if KINDS[event["kind"]].topic and first.isoformat()[:7] in str(event)
    ]
    log = new_log(chance, first + timedelta(hours=23))
    ahead = set()
    for event in told:
        for name, by in (("", 0), ("-behind", -1), ("-ahead", 1)):
            event_now = shifted(event, timedelta(days=by)) | {"id": event["id"] + name}
            for thing in ("call_id", "recording_id"):
                if thing in event:
                    event_now[thing] = event[thing] + name
            if event["kind"] == "number":
                continue
            if by == 1:
                value = orjson.dumps(event_now)
                partition = chance.randrange(PARTITIONS)
                ahead.add(log.append_bytes(KINDS[event["kind"]], value, partition))
            else:
                log.append(event_now)
    letters = await feed(log, ledger, lambda: book)
    rest = Rest(ledger, book, oracle_book, log, ("2026-11",))
    rest.keep_house()
    await rest.check(bad=ahead)
    assert {row.reject.reason for row in letters} == {Reason.IN_FUTURE}
    rows = rows_of(ledger)
    right = {n: row for n, row in rows.items() if not n[3].endswith("-behind")}
    assert len(right) > 100
    for (account, month, line, identity, revision), row in right.items():
        assert rows[account, month, line, identity + "-behind", revision] == row


# ------------------------------------------------------------------ 9. bytes


def deep(depth: int) -> bytes:
    return b'{"id":' + b"[" * depth + b"]" * depth + b"}"


def spoiled(chance: random.Random) -> list[bytes | None]:
    """Records that can be no event, whatever their topic."""
    good = orjson.dumps(call(id="x"))
    size = chance.randrange(1, 50)
    return [
        None,
        b"",
        b"null",
        chance.randbytes(size).replace(b"{", b"}"),
        b"\xff\xfe" + good,
        good.replace(b'"x"', b'"\xc3\x28"'),  # UTF-8 that breaks off within a text
        good.replace(b'"x"', b'"\xed\xa0\x80"'),  # half of a surrogate pair
        good.replace(b'"x"', b"NaN"),
        good.replace(b'"x"', b"1e400"),
        good.replace(b'"x"', b'"x","revision":1e400'),
        good.replace(b'"x"', b'"x","revision":-Infinity'),
        good.replace(b'"x"', b'"x","revision":' + b"9" * chance.choice((19, 20, 400, 5000))),
        good.replace(b'"x"', b'"x","id":"y"'),
        good[: chance.randrange(1, len(good))],
        deep(chance.choice((100, 2_000, 100_000))),
        b"[" * 200_000,
        b'"' + b"x" * 1_048_576 + b'"',
        good[:-1] + b',"more":"' + b"x" * 1_048_576 + b'"}',
        b"x" * 1_048_575,
    ]


def mutated(chance: random.Random, event: Event) -> bytes:
    """An event of an account of its own with some bytes changed: perhaps still one, perhaps not."""
    value = bytearray(orjson.dumps(event | {"account_id": "fuzzed", "id": event["id"] + "-fuzzed"}))
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(value))
        way = chance.randrange(4)
        if way == 0:
            value[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            value[at : at + chance.randrange(1, 9)] = b""
        elif way == 2:
            value[at:at] = chance.choice(
                (b"\x00", b"{", b'"', b"\xff", b"9" * 30, b"e999", b"\\u0000")
            )
        else:
            value[at:at] = value[chance.randrange(at + 1) : at]
        value = value or bytearray(b" ")
    return bytes(value)


async def test_fuzzed_bytes_have_one_outcome_each_and_the_good_ones_beside_them_are_charged(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, chance: random.Random
) -> None:
    log = new_log(chance)
    kinds = list(KINDS.values())
    events = traffic(chance, 200)
    bad = spoiled(chance) + spoiled(chance)
    sends: list[Callable[[], object]] = []
    spots: set[tuple[str, int, int]] = set()
    for event in events:
        sends.append(lambda event=event: log.append(event))  # type: ignore[misc]
        if chance.random() < 0.6:
            value = mutated(chance, event)
            kind = KINDS[event["kind"]] if chance.random() < 0.9 else chance.choice(kinds)
            sends.append(
                lambda value=value, kind=kind: log.append_bytes(  # type: ignore[misc]
                    kind, value, chance.randrange(PARTITIONS)
                )
            )
    sends += [
        lambda value=value: spots.add(  # type: ignore[misc]
            log.append_bytes(chance.choice(kinds), value, chance.randrange(PARTITIONS))
        )
        for value in bad
    ]
    chance.shuffle(sends)
    for send in sends:
        send()
    letters = await feed(log, ledger, lambda: book)
    rest = Rest(ledger, book, oracle_book, log, ("2026-09", "2026-10"))
    rest.keep_house()
    await rest.check(bad=spots)
    assert len(spots) == len(bad)
    # Each dead letter went to the topic, as often as its record was read, with bytes that fit.
    sent = {row.place[:3] for row in letters}
    assert sent == set(ledger.query("SELECT topic, partition, offset FROM rejected FINAL"))
    assert max(len(row.raw()) for row in letters) == KEPT_BYTES


# ------------------------------------------------------------------ 10. prices that come late


async def test_what_no_tariff_priced_is_rated_when_it_is_loaded_and_nothing_waits_any_more(
    ledger: Ledger, tmp_path: Path, chance: random.Random
) -> None:
    """Loaded in the middle of the traffic, parked events retried beside the writes."""
    folder = tmp_path / "tariff"
    shutil.copytree(schemas.SAMPLE_TARIFF.parent, folder)
    whole = folder / "sample.toml"
    head, *prices = whole.read_text().split("[[tariff.price]]")
    lines = [price.split('"')[1] for price in prices]
    gone = {"texts", *chance.sample(sorted(set(lines)), 3)}
    kept = [price for price, line in zip(prices, lines, strict=True) if line not in gone]
    missing = folder / "missing.toml"
    missing.write_text("[[tariff.price]]".join([head, *kept]))
    books = [load_book(missing)]
    log = new_log(chance)
    sends = [send for event in traffic(chance, 150) for send in in_any_order(event, chance)]
    chance.shuffle(sends)
    for event, content in sends:
        log.append(event, content, chance.randrange(PARTITIONS))

    async def load_and_retry() -> None:
        await asyncio.to_thread(retry_parked, ledger, books[-1])
        if len(books) == 1 and await asyncio.to_thread(count_parked, ledger) > 10:
            books.append(load_book(whole))

    await feed(log, ledger, lambda: books[-1], between=load_and_retry)
    await load_and_retry()  # the writer may have been behind until now
    assert len(books) == 2
    retry_parked(ledger, books[-1])
    assert count_parked(ledger) == 0
    rest = Rest(ledger, books[-1], oracle.load_book(whole), log, ("2026-09", "2026-10"))
    rest.keep_house()
    await rest.check()


# ------------------------------------------------------------------ 11. merges

MERGED = ("rated", "states", "parked", "rejected", "receipts", "accepted", "losers", "counterfoils")


async def test_merges_at_any_moment_between_and_during_writes_change_nothing(
    ledger: Ledger, book: Book, oracle_book: oracle.Book, chance: random.Random
) -> None:
    sends = [send for event in traffic(chance, 150) for send in in_any_order(event, chance)]
    chance.shuffle(sends)
    log = new_log(chance)
    for event, content in sends:
        log.append(event, content, chance.randrange(PARTITIONS))
    log.append_bytes(KINDS["call"], b"{bad", 0)
    merges: set[asyncio.Task[None]] = set()

    def merge(table: str) -> None:
        ledger.query(f"OPTIMIZE TABLE {table} FINAL")

    async def merge_beside() -> None:
        if chance.random() < 0.1:  # the worker's audit has nothing to say while rows are written
            audited = await asyncio.to_thread(
                audit_lately, ledger, open_months(NOW), datetime.now(UTC) - timedelta(hours=1)
            )
            assert {finding.check for finding in audited.findings} <= {"unsettled"}
        if chance.random() < 0.3:
            task = asyncio.create_task(asyncio.to_thread(merge, chance.choice(MERGED)))
            merges.add(task)
            if chance.random() < 0.3:
                await task

    await feed(log, ledger, lambda: book, between=merge_beside)
    await asyncio.gather(*merges)
    rest = Rest(ledger, book, oracle_book, log, ("2026-09", "2026-10"))
    rest.keep_house()
    before = everything(ledger)
    for table in chance.sample(MERGED, len(MERGED)):
        merge(table)
        assert everything(ledger) == before, table
    audit = audit_ledger(ledger, [])
    assert audit.figures["copies_not_yet_merged"] == 0
    await rest.check()


def everything(ledger: Ledger) -> list[object]:
    """What readers of the ledger can see."""
    shown = ("rated_rows", "statement_lines", "statement_totals")
    kept = ("states", "parked", "rejected", "receipts", "losers")
    return [
        find_conflicts(ledger).conflicts,
        *(ledger.query(f"SELECT * FROM {name} ORDER BY ALL") for name in shown),
        *(ledger.query(f"SELECT * FROM {name} FINAL ORDER BY ALL") for name in kept),
    ]
