"""Records that the store or the engine refuses: they alone are dead letters, in the real engine."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from rater.decode import Decoded, decode_all
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.tariff import Book
from streams.base.settings import load_settings
from streams.ingest import isolate
from streams.ingest.stretch import Stretch
from streams.ingest.writer import StoreDownError, Writer
from streams.rows import batch as rows
from streams.rows.batch import RejectedRow
from streams.store.errors import why_refused
from streams.store.ledger import DatabaseError, Ledger
from tests.conftest import LOGGED_MS, Event, Logged, call, number, rows_of

# The real store refuses what has this id; the letters say so without it.
REFUSED = "call_id != 'poison' AND identity != 'poison'"
CALLS = KINDS["call"]


class Line:
    """The real writer on a real ledger, and what it acknowledged and sent."""

    def __init__(self, ledger: Ledger, book: Book, **settings: Any) -> None:
        chosen = load_settings(
            **{"batch_wait_s": 0.05, "queue_batches": 32, "store_outage_max_s": 20} | settings
        )
        self.writer = Writer(ledger, lambda: book, self._send, chosen)
        self.ledger = ledger
        self.acknowledged: list[int] = []
        self.letters: list[tuple[int, str]] = []
        self._offset = 0

    async def _send(self, rejected: Sequence[RejectedRow]) -> None:
        self.letters += [(row.place.offset, row.reject.reason.value) for row in rejected]

    async def put(self, *events: Event) -> None:
        """A stretch of its kind's topic."""
        kind = KINDS[events[0]["kind"]]
        records: list[Any] = []
        for event in events:
            n = self._offset
            records.append(Logged(n, LOGGED_MS + n, b"acme", orjson.dumps(event)))
            self._offset += 1
        last = records[-1].offset
        await self.writer.put(
            Stretch(kind, kind.topic, 0, records, lambda: self.acknowledged.append(last))
        )

    async def run(self) -> None:
        """Until all that was put is acknowledged, or the writer ends by an error."""
        running = asyncio.create_task(self.writer.run())
        drained = asyncio.create_task(self.writer.drain())
        try:
            async with asyncio.timeout(30):
                await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            running.cancel()
            drained.cancel()
            self.writer.close()

    def told(self) -> dict[str, int]:
        """What the receipts say of all records, each once."""
        [(records, events, states, rejected)] = self.ledger.query(
            "SELECT sum(records), sum(events), sum(states), sum(rejected) FROM receipts FINAL"
        )
        return {"records": records, "events": events, "states": states, "rejected": rejected}


def calls(count: int, *poisoned: int) -> list[Event]:
    return [call(id="poison" if n in poisoned else f"call-{n}") for n in range(count)]


def refuse(ledger: Ledger) -> None:
    ledger.command(f"ALTER TABLE rated ADD CONSTRAINT refused CHECK {REFUSED}")


def stored(ledger: Ledger) -> list[tuple[int, str]]:
    return [
        (offset, reason)
        for offset, reason in ledger.query("SELECT offset, reason FROM rejected FINAL ORDER BY 1")
    ]


POISONED = [
    # records, of these refused
    (1, 40, [17]),
    (1, 33, [0, 32]),
    (3, 20, [5, 6, 39]),
]


@pytest.mark.parametrize(("stretches", "count", "poisoned"), POISONED)
async def test_what_the_store_refuses_is_found_and_all_others_are_stored(
    any_ledger: Ledger, book: Book, stretches: int, count: int, poisoned: list[int]
) -> None:
    refuse(any_ledger)
    line = Line(any_ledger, book)
    events = calls(stretches * count, *poisoned)
    for first in range(0, len(events), count):
        await line.put(*events[first : first + count])
    await line.run()
    letters = [(offset, "not_stored") for offset in poisoned]
    assert line.letters == stored(any_ledger) == letters
    assert line.acknowledged == [count * (n + 1) - 1 for n in range(stretches)]
    good = len(events) - len(poisoned)
    assert len(rows_of(any_ledger)) == good
    assert line.told() == {
        "records": len(events), "events": good, "states": 0, "rejected": len(poisoned),
    }  # fmt: skip
    [(message, raw)] = set(any_ledger.query("SELECT message, raw FROM rejected FINAL"))
    assert message == (
        "the store takes others and refuses this one: VIOLATED_CONSTRAINT (469); "
        "see its log, and send the record again once it is mended"
    )
    assert orjson.loads(raw)["id"] == "poison"


async def test_one_alone_waits_until_others_show_that_the_store_is_well(
    ledger: Ledger, book: Book
) -> None:
    refuse(ledger)
    line = Line(ledger, book)
    await line.put(call(id="poison"))

    async def others_come() -> None:
        await asyncio.sleep(0.5)
        assert not line.letters
        assert not line.acknowledged
        await line.put(number())  # of another topic, and another table

    await asyncio.gather(line.run(), others_come())
    await line.writer.drain()
    assert line.letters == [(0, "not_stored")]
    assert sorted(line.acknowledged) == [0, 1]


async def test_a_store_that_refuses_everything_has_no_dead_letter(
    ledger: Ledger, book: Book
) -> None:
    ledger.command("ALTER TABLE rated ADD CONSTRAINT refused CHECK 0")
    line = Line(ledger, book, store_outage_max_s=0.5)
    await line.put(*calls(40))
    await line.put(number(number="not a number"))  # that its dead letter is taken shows nothing
    with pytest.raises(StoreDownError, match=r"VIOLATED_CONSTRAINT.*nothing of it was ack"):
        await line.run()
    assert not line.letters
    assert not line.acknowledged
    assert stored(ledger) == [(40, "bad_number")]


STORE_WIDE = [
    "DROP TABLE receipts",
    "DROP TABLE accepted",
    "ALTER TABLE rated DROP COLUMN zone",
    "ALTER TABLE receipts DROP COLUMN records",
]


@pytest.mark.parametrize("wrong", STORE_WIDE)
async def test_a_store_that_is_wrong_for_everyone_stops_the_worker_as_before(
    ledger: Ledger, book: Book, wrong: str
) -> None:
    ledger.command(wrong)
    line = Line(ledger, book, store_outage_max_s=0.5)
    await line.put(*calls(5))
    with pytest.raises(StoreDownError, match="nothing of it was acknowledged"):
        await line.run()
    assert not line.letters
    assert not line.acknowledged
    assert stored(ledger) == []


async def test_more_refused_in_a_row_than_the_bound_stop_the_worker(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "REFUSED_MAX", 3)
    refuse(ledger)
    line = Line(ledger, book, store_outage_max_s=0.5)
    await line.put(*calls(20, 4, 5, 6, 11, 12, 13))  # three, and three more
    await line.run()
    assert len(line.letters) == 6
    line = Line(ledger, book, store_outage_max_s=0.5)
    await line.put(*calls(20, 4, 5, 6, 7))
    with pytest.raises(StoreDownError, match="nothing of it was acknowledged"):
        await line.run()
    assert not line.letters
    assert not line.acknowledged


async def test_an_outage_while_records_are_looked_for_is_waited_out(
    ledger: Ledger, book: Book
) -> None:
    refuse(ledger)
    line = Line(ledger, book)
    await line.put(*calls(40, 17))
    tries = 0
    write = ledger.write

    def at_times(batch: rows.Batch) -> None:
        nonlocal tries
        tries += 1
        if tries in (3, 9):
            raise OSError("connection reset")
        write(batch)

    ledger.write = at_times  # type: ignore[method-assign]
    await line.run()
    assert tries > 9
    assert line.letters == stored(ledger) == [(17, "not_stored")]
    assert line.acknowledged == [39]
    assert len(rows_of(ledger)) == 39


async def test_what_the_engine_fails_on_is_a_dead_letter_and_the_line_goes_on(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "decode_all", _fails)
    line = Line(ledger, book)
    await line.put(*calls(40, 0, 23))
    await line.put(number())
    await line.run()
    assert line.letters == stored(ledger) == [(0, "not_rated"), (23, "not_rated")]
    assert sorted(line.acknowledged) == [39, 40]
    assert len(rows_of(ledger)) == 38
    [(message,)] = set(ledger.query("SELECT message FROM rejected FINAL"))
    assert message == "the engine fails on this record: KeyError; report it, and send it again"


def _fails(kind: Kind, raws: Sequence[bytes | None], received_us: Any) -> Decoded:
    if any(b'"poison"' in (raw or b"") for raw in raws):
        raise KeyError("+12125550100")
    return decode_all(kind, raws, received_us)


def test_errors_are_sorted_by_what_they_speak_of() -> None:
    table = [
        # error                                             refused because
        (DatabaseError("", code=469, name="VIOLATED_CONSTRAINT"), "VIOLATED_CONSTRAINT (469)"),
        (DatabaseError("", code=407, name="DECIMAL_OVERFLOW"), "DECIMAL_OVERFLOW (407)"),
        (OverflowError("+12125550100"), "OverflowError"),
        (DatabaseError("", code=60, name="UNKNOWN_TABLE"), ""),
        (DatabaseError("", code=497, name="ACCESS_DENIED"), ""),
        (DatabaseError("", code=243, name="NOT_ENOUGH_SPACE"), ""),
        (DatabaseError("", code=241, name="MEMORY_LIMIT_EXCEEDED"), ""),
        (DatabaseError("", code=252, name="TOO_MANY_PARTS"), ""),
        (DatabaseError("no code"), ""),
        (MemoryError(), ""),
        (OSError("reset"), ""),
    ]
    assert [why_refused(error) for error, _ in table] == [why for _, why in table]


async def test_records_are_rated_beside_the_loop(ledger: Ledger, book: Book) -> None:
    """Halving takes seconds at the worst: health and group go on meanwhile."""
    refuse(ledger)
    line = Line(ledger, book)
    seen: set[str] = set()
    write = ledger.write

    def noted(batch: rows.Batch) -> None:
        seen.add(threading.current_thread().name)
        write(batch)

    ledger.write = noted  # type: ignore[method-assign]
    await line.put(*calls(10, 3))
    await line.run()
    assert {name.partition("_")[0] for name in seen} == {"writing"}
