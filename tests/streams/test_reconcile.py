"""The log read again: the ledger compared with it, and dead letters sent again, on real Kafka."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiokafka
import orjson
import pytest
import typer
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from rater.kinds import KINDS
from rater.rate import Parked, Wait
from rater.reject import Reason, Reject
from rater.tariff import Book, Memo
from rater.tariff_file import load_book
from streams.base.settings import Settings, load_settings
from streams.cli import operate
from streams.cli.console import FAILED, WITH_REJECTS, WRONG_USE, Stop
from streams.ingest.stretch import Stretch, rate_topic
from streams.kafka import log, record_batches
from streams.kafka.clients import (
    BrokerErrors,
    admin_client,
    client_options,
    make_producer,
    read_committed,
)
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.lean import LeanConsumer
from streams.kafka.log import Chunk, Reader, Span
from streams.operations import reconcile as reconcile_module
from streams.operations.reconcile import Difference, Report, What
from streams.rows.batch import Batch, ParkedRow, RejectedRow
from streams.rows.log_position import Place, hash_of_record
from streams.store.ledger import Ledger, open_ledger
from tests.conftest import (
    Done,
    Event,
    Log,
    amd,
    call,
    dial,
    environment,
    number,
    recording,
    subscription,
    text,
)
from tests.support import poison
from tests.support.broker import read_topics
from tests.support.workers import environment_of, own_settings

# ------------------------------------------------------------------ without a broker

Tamper = Callable[[Batch], None]


def a_log() -> Log:
    """Every kind, and repeats: as it was, with other content, in another month, an AMD answered."""
    log = Log(
        [
            call(id="c0"),
            call(id="c1"),
            call(id="c1", ended_at="2026-08-10T12:09:01Z"),
            call(id="c1", dialed_at="2026-09-10T12:00:00Z", answered_at="2026-09-10T12:00:10Z",
                 ended_at="2026-09-10T12:01:01Z"),
            text(id="t1", status="delivered"),
            text(id="t1", status="sent"),
            dial(id="d1"),
            amd(id="a1", call_id="d1", answered_at=None, verdict="unknown"),
            amd(id="a2", call_id="d1"),
            recording(),
            number(),
            number(),
            subscription(),
        ]
    )  # fmt: skip
    log.append(call(id="c9", dialed_at="no time"))
    return log


def compared(ledger: Ledger, book: Book, log: Log) -> list[Difference]:
    """Each topic of the log against the ledger, as a reconciliation does it."""
    report = Report(examples_most=100)
    for stretch in log.stretches():
        kind = log.records[stretch[0]][0]
        records = [log.records[place][1] for place in stretch]
        span = Span(kind, kind.topic, 0, records[0].offset, records[-1].offset + 1)
        chunk = Chunk(span.first, span.end, list(records))
        reconcile_module._compare(report, ledger, book, span, chunk)
    found = [one for examples in report.examples.values() for one in examples]
    assert len(found) == report.counts.total()
    return sorted(found, key=lambda difference: difference.offset)


@pytest.mark.parametrize("written", ["in order", "last first", "twice"])
def test_a_ledger_written_from_the_log_has_no_difference(
    ledger: Ledger, book: Book, written: str
) -> None:
    log = a_log()
    stretches = [[place] for stretch in log.stretches() for place in stretch]
    if written == "last first":
        stretches.reverse()
    for stretch in stretches * (2 if written == "twice" else 1):
        ledger.write(log.batch(book, [stretch]))
    assert compared(ledger, book, log) == []


def rated_of(batch: Batch, event_id: str, line: str) -> int:
    return next(
        n
        for n, row in enumerate(batch.rated)
        if (row.charge.event_id, row.charge.terms.line) == (event_id, line)
    )


def change(event_id: str, line: str, **fields: Any) -> Tamper:
    def tamper(batch: Batch) -> None:
        n = rated_of(batch, event_id, line)
        row = batch.rated[n]
        batch.rated[n] = row._replace(charge=row.charge.changed(**fields))

    return tamper


def drop(event_id: str, line: str) -> Tamper:
    return lambda batch: batch.rated.__delitem__(rated_of(batch, event_id, line))


def drop_winner(batch: Batch) -> None:
    """The first c1 of August is lost; the second stands in its place."""
    drop("c1", "calls")(batch)


def drop_loser(batch: Batch) -> None:
    """The second c1 of August is lost: the first stands anyway, so nothing differs."""
    del batch.rated[rated_of(batch, "c1", "calls") + 1]


def drop_state(batch: Batch) -> None:
    del batch.states[next(n for n, s in enumerate(batch.states) if s.telling.kind == "recording")]


def change_state(batch: Batch) -> None:
    state = batch.states[0]
    batch.states[0] = state._replace(content_hash=state.content_hash ^ 1)


def drop_reject(batch: Batch) -> None:
    batch.rejected.clear()


def other_reason(batch: Batch) -> None:
    row = batch.rejected[0]
    batch.rejected[0] = row._replace(reject=Reject(Reason.BAD_JSON, "so it was"))


def reject_c0(batch: Batch) -> None:
    row = batch.rated.pop(rated_of(batch, "c0", "calls"))
    batch.rejected.append(
        RejectedRow(row.place, "call", Reject(Reason.BAD_FIELD, ""), None, b"x", ())
    )


def park_c0(batch: Batch) -> None:
    row = batch.rated.pop(rated_of(batch, "c0", "calls"))
    wait = Parked(Wait.NO_PRICE, "")
    batch.parked.append(
        ParkedRow(row.place, "call", "acme", "c0", wait, orjson.dumps(call(id="c0")))
    )


def park_c0_too(batch: Batch) -> None:
    place = batch.rated[rated_of(batch, "c0", "calls")].place
    wait = Parked(Wait.NO_PRICE, "")
    batch.parked.append(ParkedRow(place, "call", "acme", "c0", wait, orjson.dumps(call(id="c0"))))


def conflict_on_c1(batch: Batch) -> None:
    place = batch.rated[rated_of(batch, "c1", "calls") + 1].place
    letter = Reject(Reason.CONFLICT, "the first stands")
    batch.rejected.append(RejectedRow(place, "call", letter, b"acme", b"", ()))


def charge_a_reject(batch: Batch) -> None:
    row = batch.rated[rated_of(batch, "c0", "calls")]
    place = batch.rejected[0].place
    charge = row.charge._replace(event_id="c9", identity="c9")
    batch.rated.append(row._replace(charge=charge, place=place, version=row.version - 99))


def charge_twice(batch: Batch) -> None:
    row = batch.rated[rated_of(batch, "c0", "calls")]
    batch.rated.append(row._replace(charge=row.charge.changed(line="campaign_calls")))


def unlogged(batch: Batch) -> None:
    row = batch.rated[rated_of(batch, "c0", "calls")]
    place = row.place._replace(offset=5)
    batch.rated.append(row._replace(charge=row.charge._replace(identity="x"), place=place))


TAMPERINGS: list[tuple[Tamper, list[tuple[What, int, str]]]] = [
    # what is wrong in the ledger               | difference, offset, words of it
    (change("c0", "calls", charge=27_000_000),
        [(What.CHARGE, 0, "calls of c0 in 2026-08: charge 0.027 in the ledger, 0.026 now")]),
    (change("c0", "calls", billed=3),
        [(What.CHARGE, 0, "billed 3 in the ledger, 2 now")]),
    (change("t1", "texts", tax_local=1),
        [(What.CHARGE, 4, "tax_local 0.000000001 in the ledger, ")]),
    (change("c0", "calls", tariff_version="2020", charge=1),
        [(What.TARIFF_VERSION, 0, "tariff_version 2020 in the ledger, ")]),
    (change("c0", "calls", rule="in other words"), []),
    (drop("c0", "calls"),           [(What.MISSING, 0, "calls of c0 in 2026-08")]),
    (drop("t1", "carrier_fees"),    [(What.MISSING, 4, "carrier_fees of t1 in 2026-08")]),
    (drop_winner,                   [(What.MISSING, 1, "came later, usage.call.v1 0 2")]),
    (drop_loser,                    []),
    (drop("a2", "ai_voice_detection"),
                                    [(What.MISSING, 8, "came later, usage.amd.v1 0 7")]),
    (drop_state,                    [(What.MISSING, 9, "state of recording-1")]),
    (change_state,                  [(What.CHARGE, 9, "state of recording-1: content_hash")]),
    (drop_reject,                   [(What.MISSING, 13, "rejected now; the ledger has nothing")]),
    (other_reason,                  [(What.OUTCOME, 13, "rejected as bad_json in the ledger")]),
    (reject_c0,                     [(What.OUTCOME, 0, "rejected in the ledger, rated now")]),
    (park_c0,                       [(What.OUTCOME, 0, "parked in the ledger, rated now")]),
    (park_c0_too,                   [(What.EXTRA, 0, "parked in the ledger, beside being rated")]),
    (conflict_on_c1,                []),
    (charge_a_reject,               [(What.EXTRA, 13, "rated in the ledger, beside being rejec")]),
    (charge_twice,                  [(What.EXTRA, 0, "campaign_calls of c0 in 2026-08")]),
    (unlogged,                      [(What.EXTRA, 5, "the log has no such record")]),
]  # fmt: skip


def test_whatever_is_wrong_in_the_ledger_is_found_at_its_place(
    make_ledger: Callable[[], Ledger], book: Book
) -> None:
    log = a_log()
    for tamper, expected in TAMPERINGS:
        batch = log.batch(book)
        tamper(batch)
        ledger = make_ledger()
        ledger.write(batch)
        found = compared(ledger, book, log)
        shown = f"{getattr(tamper, '__qualname__', '')}: {found}"
        assert [(one.what, one.offset) for one in found] == [one[:2] for one in expected], shown
        for one, (_, _, words) in zip(found, expected, strict=True):
            assert words in one.detail, shown
            assert "+1" not in one.detail, shown


# ------------------------------------------------------------------ on real Kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@dataclass
class Site:
    """A test's own topics, ledger and tariff; `rate` is what a worker does, without its process."""

    settings: Settings
    ledger: Ledger
    capsys: pytest.CaptureFixture[str]

    def topic(self, kind: str) -> str:
        return self.settings.topic(KINDS[kind].topic)

    def send(self, *values: Event | bytes, kind: str = "call", **more: Any) -> list[int]:
        """Sends records to partition 1 and returns their offsets."""
        return asyncio.run(_send(self.settings, self.topic(kind), values, more))

    def rate(self) -> None:
        """Rates what is not committed yet, writes it, commits."""
        book = load_book(self.settings.tariff)
        asyncio.run(_rate(self.settings, self.ledger, book))

    def logged(self, kind: str = "call") -> list[Any]:
        return read_topics(self.settings.kafka_bootstrap, [self.topic(kind)])

    def run(self, *arguments: str) -> Done:
        """Runs a command in this process, with this site's settings in the environment."""
        app = typer.Typer(pretty_exceptions_enable=False)
        app.add_typer(operate.dlq_app, name="dlq")
        app.command()(operate.reconcile)
        self.capsys.readouterr()
        error = ""
        with environment(**environment_of(self.settings), COLUMNS="200"):
            try:
                status = app(list(arguments), standalone_mode=False) or 0
            except Stop as stop:
                status, error = stop.status, str(stop)
        said = self.capsys.readouterr()
        return Done(status, said.out, said.err + error)

    def reconcile(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        done = self.run("reconcile", "--from-kafka", "--json", *arguments)
        assert done.out, done.err
        return done.status, orjson.loads(done.out)


async def _send(
    settings: Settings, topic: str, values: Sequence[Event | bytes], more: dict[str, Any]
) -> list[int]:
    producer = make_producer(settings)
    await producer.start()
    try:
        offsets = []
        for value in values:
            raw = value if isinstance(value, bytes) else orjson.dumps(value)
            sent = await producer.send_and_wait(
                topic, raw, **{"key": b"acme", "partition": 1} | more
            )
            offsets.append(sent.offset)
        return offsets
    finally:
        await producer.stop()


async def _send_and_abort(settings: Settings, topic: str, *values: bytes) -> None:
    producer = aiokafka.AIOKafkaProducer(
        **client_options(settings), transactional_id=f"aborts-{settings.group}"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for value in values:
            sent = await producer.send_and_wait(topic, value, key=b"acme", partition=1)
        await producer.abort_transaction()
    finally:
        await producer.stop()
    # The broker says yes to an abort first and writes its marker, the next offset, afterwards.
    place, marker = TopicPartition(topic, 1), sent.offset + 1
    consumer = aiokafka.AIOKafkaConsumer(
        **client_options(settings), isolation_level="read_committed"
    )
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            while (await consumer.end_offsets([place]))[place] <= marker:
                await asyncio.sleep(0.05)
    finally:
        await consumer.stop()


async def _rate(settings: Settings, ledger: Ledger, book: Book) -> None:
    consumer = LeanConsumer(
        **client_options(settings),
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        places = {
            TopicPartition(settings.topic(kind.topic), partition): kind
            for kind in KINDS.values()
            for partition in range(settings.topic_partitions)
        }
        consumer.assign(list(places))
        ends = await consumer.end_offsets(list(places))
        batch = Batch()
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            consumer.make_room()
            for place, lists in (await consumer.getmany(timeout_ms=200)).items():
                for records in lists:
                    kind = places[place]
                    one = Stretch(kind, place.topic, place.partition, records, lambda: None)
                    batch.merge(rate_topic([one], book, Memo()))
        ledger.write(batch)
        await consumer.commit({place: end for place, end in ends.items() if end})
    finally:
        await consumer.stop()


async def _delete_before(settings: Settings, topic: str, offset: int) -> None:
    async with admin_client(settings) as admin:
        await admin.delete_records({TopicPartition(topic, 1): RecordsToDelete(offset)})


@pytest.fixture
def site(
    broker: EmbeddedKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Site]:
    settings = own_settings(broker.bootstrap, f"chdb:{tmp_path / 'store'}", tmp_path)
    with closing(open_ledger(settings, migrate=False)) as ledger:
        yield Site(settings, ledger, capsys)


@pytest.mark.timeout(180)
def test_a_letter_sent_again_is_the_same_record_and_stops_after_three_attempts(site: Site) -> None:
    calls = site.topic("call")
    value, headers = b"{bad \xff\x00", [("traceparent", b"00-a-b-01"), ("blob", b"\xff\xfe")]
    (first,) = site.send(value, headers=headers)
    site.send(call(id="good"))
    site.rate()
    for attempt in (1, 2, 3):
        done = site.run("dlq", "replay", "--reason", "bad_json")
        assert done.status == 0, done.err
        assert "1 dead letters sent again: bad_json 1" in done.out
        assert f"attempt {attempt} of 3, now at offset {first + 1 + attempt}" in done.out
        # Until it comes back it is left alone.
        early = site.run("dlq", "replay", "--reason", "bad_json")
        assert "0 dead letters sent again" in early.out
        assert "1 were sent before and have not come back" in early.out
        site.rate()
    done = site.run("dlq", "replay", "--reason", "bad_json")
    assert "0 dead letters sent again" in done.out
    assert "1 came back from 3 or more replays" in done.out
    records = [record for record in site.logged() if record.value == value]
    assert [record.partition for record in records] == [1] * 4
    assert {record.key for record in records} == {b"acme"}
    hashed = hash_of_record(Place(calls, 1, first, records[0].timestamp), value)
    origin = f"{calls}/1/{first}/{hashed}".encode()
    assert [list(record.headers) for record in records] == [headers] + [
        [
            *headers,
            ("rater_replay_attempt", str(attempt).encode()),
            ("rater_replay_of", origin),
        ]
        for attempt in (1, 2, 3)
    ]
    listed = orjson.loads(site.run("dlq", "list", "--json").out)["letters"]
    assert [(row["offset"], row["attempt"], row["replays"]) for row in listed] == [
        (first + 4, 3, 3),
        (first + 3, 2, 3),
        (first + 2, 1, 3),
        (first, 0, 3),
    ]


@pytest.mark.timeout(180)
def test_a_replay_of_an_event_charges_it_once_however_often_it_is_sent(site: Site) -> None:
    # An engine that was too strict rejected a good event.
    (offset,) = site.send(call(id="c0"))
    site.rate()
    (record,) = site.logged()
    place = reconcile_place(site, record)
    row = RejectedRow(place, "call", Reject(Reason.BAD_FIELD, ""), b"acme", record.value, ())
    site.ledger.write(Batch(rejected=[row]))
    before = site.ledger.query("SELECT event_id, charge, offset FROM rated FINAL")
    assert len(before) == 1
    for attempt in (1, 2):
        done = site.run("dlq", "replay", site.topic("call"), "1", str(offset))
        assert f"attempt {attempt} of 3" in done.out, done
    site.rate()
    assert len(site.logged()) == 3
    assert site.ledger.query("SELECT event_id, charge, offset FROM rated FINAL") == before
    assert "0 dead letters sent again" in site.run("dlq", "replay", "--all").out


def reconcile_place(site: Site, record: Any) -> Place:
    return Place(site.topic("call"), 1, record.offset, record.timestamp)


@pytest.mark.timeout(180)
def test_a_record_that_was_cut_is_read_from_the_log_again_or_said_to_be_gone(site: Site) -> None:
    calls = site.topic("call")
    large = b'{"id":"' + b"x" * 70_000
    small = b"{bad"
    whole = site.send(large, small)
    site.rate()
    done = site.run("dlq", "replay", calls, "1", str(whole[0]))
    assert done.status == 0, done.err
    assert [record.value for record in site.logged()] == [large, small, large]
    site.rate()
    asyncio.run(_delete_before(site.settings, calls, whole[1] + 2))
    # The cut one can't be sent, the other is sent from what the ledger keeps.
    done = site.run("dlq", "replay", "--all")
    assert done.status == WITH_REJECTS
    assert "1 dead letters sent again" in done.out
    assert f"{calls} 1 {whole[1] + 1}: not sent: only 65536 of its 70007 bytes" in done.err
    assert [record.value for record in site.logged()] == [small]
    # What was not sent is no attempt.
    listed = orjson.loads(site.run("dlq", "list", "--json").out)["letters"]
    assert {row["offset"]: row["replays"] for row in listed} == {
        whole[0]: 1, whole[1]: 1, whole[1] + 1: 1,
    }  # fmt: skip


@pytest.mark.timeout(180)
def test_many_letters_are_sent_page_by_page_and_each_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.operations.letters.PAGE", 3)
    values = [b"{bad %d" % n for n in range(10)]
    site.send(*values)
    site.send(b"[", b"", kind="text")
    site.rate()
    unknown = RejectedRow(
        Place("elsewhere", 0, 1, 1), "call", Reject(Reason.BAD_JSON, ""), None, b"x", ()
    )
    site.ledger.write(Batch(rejected=[unknown]))
    done = site.run("dlq", "replay", "--all")
    assert done.status == WITH_REJECTS
    assert "12 dead letters sent again: bad_json 10, bad_field 1, empty 1" in done.out
    assert "elsewhere 0 1: not sent: its topic or partition does not exist" in done.err
    assert sorted(record.value for record in site.logged()) == sorted(values * 2)
    assert [record.value or b"" for record in site.logged("text")] == [b"[", b""] * 2


@pytest.mark.timeout(180)
def test_a_reconciliation_is_clean_then_finds_what_was_lost_and_says_so_by_its_status(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "BATCH_RECORDS", 4)
    site.send(*(call(id=f"c{n % 9}", answered_at=None) for n in range(15)), b"{bad")
    site.send(call(id="c3"), partition=0)
    site.send(text(id="t"), text(id="t", status="delivered"), kind="text")
    site.send(number(), kind="number")
    site.rate()
    status, report = site.reconcile()
    assert (status, report["clean"], report["records"]) == (0, True, 20)
    assert report["rows"] == 16 + 4 + 1
    assert not any(report["differences"].values())
    done = site.run("reconcile", "--from-kafka")
    assert done.status == 0
    assert "20 records of 8 topics rated again into 21 rows: all as in the ledger" in done.out

    site.ledger.query("ALTER TABLE rated DELETE WHERE identity = 'c5' SETTINGS mutations_sync = 2")
    status, report = site.reconcile()
    assert status == FAILED
    assert report["differences"] == {
        "missing": 2, "charge": 0, "tariff_version": 0, "outcome": 0, "extra": 0,
    }  # fmt: skip
    assert [(one["offset"], one["detail"]) for one in report["examples"]] == [
        (5, "calls of c5 in 2026-08"),
        (14, "calls of c5 in 2026-08"),
    ]
    shown = site.run("reconcile", "--from-kafka", "--examples", "1")
    assert shown.status == FAILED
    assert "2 differences" in shown.out
    assert f"{site.topic('call')} 1 5: missing in the ledger: calls of c5" in shown.out
    assert f"{site.topic('call')} 1 14" not in shown.out


@pytest.mark.timeout(180)
def test_what_nobody_can_unpack_is_no_difference_and_is_not_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "UNPACKED_BYTES_MAX", 100_000)
    site.send(call(id="c1"))
    bomb = [b"0" * 60_000] * 2
    asyncio.run(poison.send(site.settings, "usage.call.v1", 1, *bomb, codec="gzip"))
    site.send(call(id="c2"))
    site.rate()
    status, report = site.reconcile()
    assert (status, report["clean"], report["records"]) == (0, True, 4)
    done = site.run("dlq", "replay", "--reason", "bad_batch")
    assert "0 dead letters sent again" in done.out
    assert "nobody can unpack it: let its producer send it again" in done.out + done.err
    assert len(site.logged()) == 4


@pytest.mark.timeout(180)
def test_only_what_is_committed_is_compared_and_of_it_only_the_stretch_that_is_asked_for(
    site: Site,
) -> None:
    nothing = site.run("reconcile", "--from-kafka")
    assert (nothing.status, nothing.err) == (0, "")
    site.send(call(id="c0"), b"{bad")
    refused = site.run("reconcile", "--from-kafka")
    assert refused.status == FAILED
    assert "has committed nothing of these topics" in refused.err
    site.rate()
    site.send(text(id="t0"), kind="text")
    asyncio.run(_send_and_abort(site.settings, site.topic("call"), b"{aborted", b"{too"))
    (c1,) = site.send(call(id="c1"))
    site.rate()
    site.send(call(id="c2"), call(id="c3"))
    logged = site.logged()
    at = {record.offset: record.timestamp for record in logged}
    last = max(at)

    def instant(at_ms: int) -> str:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()

    stretches = [
        # arguments                                                  | records, not committed
        ((),                                                           4, 2),
        (("--topic", "usage.call.v1"),                                 3, 2),
        (("--topic", site.topic("text"), "--topic", "usage.amd.v1"),   1, 0),
        (("--from-offset", "1"),                                       2, 2),
        (("--from-offset", str(c1)),                                   1, 2),
        (("--topic", "usage.call.v1", "--since", instant(at[c1])),     1, 2),
        (("--topic", "usage.call.v1", "--until", instant(at[c1])),     2, 0),
        (("--since", instant(at[last] + 60_000)),                      0, 0),
    ]  # fmt: skip
    for arguments, records, not_committed in stretches:
        status, report = site.reconcile(*arguments)
        assert status == 0, (arguments, report)
        assert (report["records"], report["not_committed"]) == (records, not_committed), arguments


@pytest.mark.timeout(180)
def test_another_tariff_gives_differences_that_say_so(site: Site, tmp_path: Path) -> None:
    site.send(call(id="c0"))
    site.rate()
    whole = site.settings.tariff.read_text()
    assert whole.count("valid_from = 2012-01-01T00:00:00Z") == 1
    edited = tmp_path / "edited.toml"
    edited.write_text(
        whole.replace("valid_from = 2012-01-01T00:00:00Z", "valid_from = 2025-02-01T00:00:00Z")
    )
    done = site.run("reconcile", "--from-kafka", "--tariff", str(edited))
    assert done.status == FAILED
    assert "calls of c0 in 2026-08: tariff_version 2012-01-01T00:00:00Z in the ledger" in done.out
    assert "such differences are legitimate" in done.out
    without = tmp_path / "without.toml"
    cut = whole.index("[[tariff.price]]")
    without.write_text(
        whole[:cut] + '[[tariff.price]]\nline = "texts"\nunit = "segment"\nrate = 0.01\n'
    )
    status, report = site.reconcile("--tariff", str(without))
    assert (status, report["examples"][0]["detail"]) == (FAILED, "rated in the ledger, parked now")


@pytest.mark.timeout(60)
def test_a_broker_that_is_not_there_and_wrong_words_are_one_line_each(site: Site) -> None:
    missing = replace(site, settings=site.settings.model_copy(update={"topic_prefix": "absent."}))
    cases = [
        # site,   arguments                                                      status, words
        (site,    ("reconcile",),                                                WRONG_USE,
         "--from-kafka is what there is"),
        (site,    ("reconcile", "--from-kafka", "--topic", "usage.fax.v1"),      WRONG_USE,
         "is none of usage.call.v1"),
        (site,    ("reconcile", "--from-kafka", "--until", "noon"),              WRONG_USE,
         "--until 'noon' is no instant"),
        (missing, ("reconcile", "--from-kafka"),                                 FAILED,
         "absent.usage.call.v1"),
    ]  # fmt: skip
    for where, arguments, status, words in cases:
        done = where.run(*arguments)
        assert (done.status, words in done.err) == (status, True), (arguments, done)


@pytest.mark.timeout(60)
async def test_a_log_that_falls_silent_is_said_and_waited_for_within_a_bound(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "READ_TIMEOUT_S", 0.5)
    async with Reader(site.settings) as reader:
        with pytest.raises(log.LogReadError, match="gave nothing from offset 0"):
            async for _ in reader.read(site.topic("call"), 1, 0, 3):
                pass


async def test_a_broker_that_says_nothing_is_given_up_and_no_client_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = load_settings(kafka_bootstrap=f"127.0.0.1:{silent.getsockname()[1]}")
        reader = Reader(settings)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), reader:
                pass
        async with asyncio.timeout(5):
            with pytest.raises(BrokerErrors):
                await read_committed(settings, timeout_s=0.2)
    assert reader._consumer._closed
