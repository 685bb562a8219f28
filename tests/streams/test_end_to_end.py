"""The whole line on real Kafka and the ClickHouse engine, against the independent oracle.

Worker processes are started by the command line; one process owns the engine behind HTTP.
"""

import asyncio
import json
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from shutil import copytree

import aiokafka
import orjson
import pytest

from rater.kinds import KINDS
from rater.statement import statement_to_json
from rater.tariff_file import load_book
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.kafka.clients import make_producer
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.simulate import Simulated, Simulator
from streams.kafka.topics import INPUTS, REJECTED
from streams.maintenance.audit import audit_ledger
from streams.maintenance.conflicts import resolve_conflicts
from streams.maintenance.recurring import make_months
from streams.runtime.worker import Worker
from streams.store.ledger import Ledger, open_ledger
from streams.store.statements import read_statement
from tests.conftest import call, rows_of
from tests.support.broker import (
    BAD,
    Logged,
    committed,
    good_events,
    oracle_of,
    read_log,
    read_topics,
    wait_until_committed,
)
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import WorkerProcess, environment_of, own_settings, until, wait_for

MONTHS = (date(2026, 9, 1), date(2026, 10, 1))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with ClickHouseHttp(tmp_path_factory.mktemp("clickhouse")) as http:
        yield http


@dataclass
class Site:
    """One test's own topics, group, database, tariff and workers on the shared servers."""

    settings: Settings
    folder: Path
    store: ClickHouseHttp

    def worker(self, name: str = "a", **extra: str) -> WorkerProcess:
        timeouts = {"RATER_SESSION_TIMEOUT_S": "6", "RATER_INSERT_TIMEOUT_S": "10"}
        environment = environment_of(self.settings) | timeouts | extra
        return WorkerProcess(environment, self.folder / f"worker-{name}.log")

    def ledger(self) -> Ledger:
        return open_ledger(self.settings, migrate=False)

    def wait_until_all_committed(self) -> list[Logged]:
        """Returns the whole log, once the group has committed all of it."""
        logged = read_log(self.settings)
        wait_until_committed(self.settings, logged)
        return logged


@pytest.fixture
def site(broker: EmbeddedKafka, store: ClickHouseHttp, tmp_path: Path) -> Site:
    return Site(own_settings(broker.bootstrap, store.url, tmp_path), tmp_path, store)


def events_over_two_months(seed: int, count: int) -> list[Simulated]:
    """Every kind, over September and October 2026, edges and re-sends included."""
    chance = random.Random(seed)
    simulator = Simulator(seed=seed, accounts=5)
    events = list(simulator.opening())
    start = datetime(2026, 8, 31, 20, tzinfo=UTC)
    while len(events) < count:
        at = start + timedelta(seconds=chance.random() * 61 * 86_400)
        if chance.random() < 0.05:  # a month's edge, in UTC and in New York
            hours = chance.choice((0, 4))
            edge = datetime(2026, 10, 1, hours, tzinfo=UTC)
            at = edge + timedelta(milliseconds=chance.choice((-1, 0, 1, 400)))
        events += simulator.happen(at)
    return events


def with_repeats(events: list[Simulated], seed: int) -> list[Simulated]:
    """Some events again: as they were; with other content; a text with its next status."""
    chance = random.Random(seed)
    repeated = list(events)
    for event in chance.sample(events, len(events) // 8):
        again = json.loads(event.value)
        if event.kind == "call" and chance.random() < 0.3:
            again["to"] = "+442079460999"
        elif event.kind == "call" and chance.random() < 0.5:  # a twin in another month
            for name in ("dialed_at", "answered_at", "ended_at"):
                if name in again:
                    at = datetime.fromisoformat(again[name]) - timedelta(days=30)
                    again[name] = at.isoformat()
        if event.kind == "text":
            again["status"] = "delivered"
        if event.kind == "amd":
            again["id"] += "-again"
        repeated.insert(
            chance.randrange(len(repeated)), event._replace(value=json.dumps(again).encode())
        )
    return repeated


async def _send(settings: Settings, events: list[Simulated], bad: tuple[bytes, ...]) -> None:
    producer = make_producer(settings)
    await producer.start()
    try:
        sent = []
        for event in events:
            topic = settings.topic(KINDS[event.kind].topic)
            sent.append(await producer.send(topic, event.value, key=event.account_id.encode()))
        for number, value in enumerate(bad):
            topic = settings.topic(INPUTS[number % len(INPUTS)])
            headers = [("traceparent", b"00-abc-def-01")]
            sent.append(await producer.send(topic, value, key=b"acme", headers=headers))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def send(settings: Settings, events: list[Simulated], bad: tuple[bytes, ...] = ()) -> None:
    asyncio.run(_send(settings, events, bad))


def assert_equal_to_oracle(site: Site, logged: list[Logged]) -> None:
    """Statements to the last digit, row identities as sets, one outcome for every offset."""
    expected = oracle_of(site.settings, logged)
    book = load_book(site.settings.tariff)
    ledger = site.ledger()
    try:
        make_months(ledger, book, MONTHS, as_of=datetime.now(UTC))
        resolve_conflicts(ledger)
        accounts = sorted({event["account_id"] for event in good_events(site.settings, logged)})
        assert len(accounts) > 1
        for account in accounts:
            for month in MONTHS:
                got = statement_to_json(read_statement(ledger, book, account, month))
                want = expected.statement(account, f"{month:%Y-%m}")
                for ours, theirs in zip(got["lines"], want["lines"], strict=True):
                    where = f"{account} {month:%Y-%m} {theirs['line']}"
                    assert {key: ours[key] for key in theirs} == theirs, where
                assert got["total"] == want["total"], f"{account} {month:%Y-%m} total"
        rows = ledger.query(
            "SELECT account_id, formatDateTime(month, '%Y-%m'), line, identity, revision,"
            " count() OVER (PARTITION BY account_id, month, line, identity, revision)"
            " FROM rated_rows"
            " WHERE line NOT IN ('phone_numbers', 'recording_storage', 'subscriptions')"
        )
        assert {row[5] for row in rows} == {1}
        assert {row[:5] for row in rows} == {tuple(identity) for identity in expected.rows}
        assert_every_offset_has_a_receipt(site, ledger, logged)
        result = audit_ledger(
            ledger,
            [],
            topic_prefix=site.settings.topic_prefix,
            committed=committed(site.settings),
        )
        assert result.findings == []
    finally:
        ledger.close()


def assert_every_offset_has_a_receipt(site: Site, ledger: Ledger, logged: list[Logged]) -> None:
    covered: set[tuple[str, int, int]] = set()
    for topic, partition, first, last in ledger.query(
        "SELECT topic, partition, first_offset, last_offset FROM receipts FINAL"
    ):
        covered |= {(topic, partition, offset) for offset in range(first, last + 1)}
    assert covered == {(r.topic, r.partition, r.offset) for r in logged}
    rejected = ledger.query(
        "SELECT topic, partition, offset FROM rejected FINAL WHERE reason != 'conflict'"
    )
    bad = {(r.topic, r.partition, r.offset) for r in logged if r.value in BAD}
    assert set(rejected) == bad


@pytest.mark.timeout(240)
def test_two_workers_one_stopped_one_killed_and_back_equal_the_oracle(site: Site) -> None:
    events = with_repeats(events_over_two_months(11, 3_000), 12)
    third = len(events) // 3
    with site.worker("a") as a, site.worker("b") as b:
        a.start()
        b.start()
        send(site.settings, events[:third], BAD)
        status, took_s = a.terminate()
        assert status == 0, a.log()
        assert took_s < 10
        send(site.settings, events[third : 2 * third])
        a.start()
        send(site.settings, events[2 * third :], BAD)
        time.sleep(0.3)
        b.kill()
        logged = site.wait_until_all_committed()
        assert_equal_to_oracle(site, logged)
        # A new reading of everything, by another group, changes nothing.
        again = Site(
            site.settings.model_copy(update={"group": f"{site.settings.group}-again"}),
            site.folder,
            site.store,
        )
        with again.worker("again") as replay:
            replay.start()
            again.wait_until_all_committed()
        assert_equal_to_oracle(site, logged)
        assert a.terminate()[0] == 0


@pytest.mark.timeout(120)
def test_a_worker_that_stops_has_settled_what_it_wrote_last(site: Site) -> None:
    moved = {name: call()[name].replace("-08-", "-07-") for name in ("dialed_at", "ended_at")}
    events = [call(), call(**moved, answered_at=None)]
    with site.worker() as worker:
        worker.start()
        send(
            site.settings,
            [
                Simulated(event["kind"], event["account_id"], orjson.dumps(event))
                for event in events
            ],
        )
        site.wait_until_all_committed()
        assert worker.terminate()[0] == 0
    ledger = site.ledger()
    try:
        assert [(name[1], name[2]) for name in rows_of(ledger)] == [("2026-08", "calls")]
    finally:
        ledger.close()


@pytest.mark.timeout(120)
def test_a_dead_letter_has_its_reason_its_bytes_and_its_place_and_no_log_line_tells_a_number(
    site: Site,
) -> None:
    number = b"+1415555" + b"77x1"
    bad_number = (
        b'{"id":"t1","account_id":"acme","direction":"outbound","media":"sms","from":"'
        + number
        + b'","to":"+12125550100","sent_at":"2026-10-01T00:00:00Z","status":"sent",'
        b'"registered":true,"body":"secret words"}'
    )
    kept = bad_number.replace(b',"body":"secret words"', b"")
    call, text = (site.settings.topic(INPUTS[i]) for i in (0, 1))
    with site.worker() as worker:
        worker.start()
        send(site.settings, [], (b"{bad", bad_number))
        logged = site.wait_until_all_committed()
        letters = read_topics(site.settings.kafka_bootstrap, [site.settings.topic(REJECTED)])
        ledger = site.ledger()
        rows = ledger.query(
            "SELECT topic, partition, offset, reason, raw, key, headers FROM rejected FINAL"
            " ORDER BY topic DESC"
        )
        ledger.close()
        by_topic = {record.topic: record for record in logged}
        assert [(row[0], row[3], row[4], row[5]) for row in sorted(rows)] == sorted(
            [
                (call, "bad_json", "{bad", "acme"),
                (text, "bad_number", kept.decode(), "acme"),
            ]
        )
        assert {letter.value for letter in letters} == {b"{bad", kept}
        for letter in letters:
            headers = dict(letter.headers)
            origin = by_topic[headers["rater_origin_topic"].decode()]
            assert letter.partition == origin.partition == int(headers["rater_origin_partition"])
            assert int(headers["rater_origin_offset"]) == origin.offset
            assert int(headers["rater_origin_timestamp_ms"]) == origin.timestamp
            assert headers["traceparent"] == b"00-abc-def-01"
            assert letter.key == b"acme"
        metrics = worker.get("/metrics")[1]
        assert 'rater_events_rejected_total{reason="bad_number"} 1.0' in metrics
        assert worker.terminate()[0] == 0
        assert not re.search(r"\+1\d{6}|secret words", worker.log()), worker.log()


@pytest.mark.timeout(180)
def test_a_store_that_is_down_makes_the_worker_wait_and_nothing_is_lost(site: Site) -> None:
    events = events_over_two_months(21, 600)
    with site.worker() as worker:
        worker.start()
        send(site.settings, events[:300])
        site.wait_until_all_committed()
        before = committed(site.settings)
        site.store.kill()
        try:
            send(site.settings, events[300:])
            wait_for(lambda: worker.get("/readyz")[0] == 503, "not ready without a store")
            wait_for(lambda: '"event": "store_down"' in worker.log(), "the worker says so")
            assert committed(site.settings) == before
            assert worker.process.poll() is None
        finally:
            site.store.start()
        logged = site.wait_until_all_committed()
        assert_equal_to_oracle(site, logged)
        wait_for(lambda: worker.get("/readyz")[0] == 200, "ready again")
        assert worker.terminate()[0] == 0


@pytest.mark.timeout(120)
async def test_a_consumer_that_stands_still_is_ill_until_it_moves(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fetched can't tell: nothing is fetched. The broker is asked for the log's end."""
    monkeypatch.setattr("streams.runtime.worker.BOUNDS_EVERY_S", 0.2)
    settings = site.settings.model_copy(update={"health_stall_s": 2.0})
    ledger, stop = site.ledger(), asyncio.Event()
    worker = Worker(settings, ledger, BookFile(settings.tariff))
    running = asyncio.create_task(worker.run(stop))
    try:
        await until(lambda: worker.ready() is None, 30)
        consumer, held, go_on = worker._app.consumer, asyncio.Event(), asyncio.Event()
        fetch = consumer._wait_next_records

        async def stand_still(timeout: float) -> object:
            held.set()
            await go_on.wait()
            return await fetch(timeout)

        monkeypatch.setattr(consumer, "_wait_next_records", stand_still)
        await asyncio.wait_for(held.wait(), 30)
        await asyncio.sleep(2.5)
        assert worker.alive() is None  # nothing to do is no illness, however long
        await asyncio.to_thread(send, settings, events_over_two_months(41, 300))
        await until(lambda: "no progress" in (worker.alive() or ""), 30)
        go_on.set()
        await until(lambda: worker.alive() is None, 30)
        # Before it stops: it is well from its first batch on, and what it has not read is not its.
        logged = await asyncio.to_thread(site.wait_until_all_committed)
    finally:
        stop.set()
        await running
        ledger.close()
    await asyncio.to_thread(assert_equal_to_oracle, site, logged)


COORDINATION = """
import asyncio, aiokafka.client
from aiokafka.errors import GroupAuthorizationFailedError

async def coordinator_lookup(*_):
    {does}

aiokafka.client.AIOKafkaClient.coordinator_lookup = coordinator_lookup
"""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("AssertionError('Did we not perform bootstrap?')", "Did we not perform bootstrap?"),
        ("GroupAuthorizationFailedError('rater')", "group authorization failed"),
    ],
    ids=["unexpected", "refused"],
)
def test_a_worker_that_cannot_join_its_group_ends_and_says_so(
    site: Site, error: str, says: str
) -> None:
    """aiokafka's coordination ends for good when a broker that has just woken knows of no broker,
    and Faust would wait for partitions for ever."""
    with site.worker() as worker:
        worker.start(wait_ready=False, first=COORDINATION.format(does=f"raise {error}"))
        assert worker.process.wait(60) == 1
        assert f"the group {site.settings.group} can't be joined" in worker.log()
        assert says in worker.log()


def test_a_worker_told_to_stop_while_it_waits_for_its_group_stops(site: Site) -> None:
    with site.worker() as worker:
        waits = "print('asked', flush=True); await asyncio.sleep(3600)"
        worker.start(wait_ready=False, first=COORDINATION.format(does=waits))
        wait_for(lambda: "asked" in worker.log(), "the group asked for", 60, worker.log)
        status, took_s = worker.terminate()
        assert status == 0
        assert took_s < 10


@pytest.mark.timeout(120)
def test_a_store_that_stays_down_stops_the_worker_with_nothing_acknowledged(site: Site) -> None:
    events = events_over_two_months(31, 200)
    with site.worker(RATER_STORE_OUTAGE_MAX_S="3") as worker:
        worker.start()
        site.store.kill()
        try:
            send(site.settings, events)
            assert worker.process.wait(40) == 1, worker.log()
            assert "nothing of it was acknowledged" in worker.log()
            assert not any(committed(site.settings).values())
        finally:
            site.store.start()
    with site.worker("next") as following:
        following.start()
        assert_equal_to_oracle(site, site.wait_until_all_committed())


@pytest.mark.timeout(120)
def test_what_has_no_price_is_parked_and_rated_when_the_price_arrives(site: Site) -> None:
    whole = site.settings.tariff.read_text()
    cut = whole.index("# ---------------------------------------------------------------- texts")
    until = whole.index("# ---------------------------------------------------------------- camp")
    site.settings.tariff.write_text(whole[:cut] + whole[until:])
    events = events_over_two_months(41, 400)
    with site.worker() as worker:
        worker.start()
        send(site.settings, events)
        logged = site.wait_until_all_committed()
        texts = len({event.value for event in events if event.kind == "text"})
        ledger = site.ledger()
        count = "SELECT count() FROM parked FINAL WHERE resolved = 0"
        assert ledger.query(count) == [(texts,)]
        site.settings.tariff.write_text(whole)
        wait_for(lambda: ledger.query(count) == [(0,)], "parked events rated")
        ledger.close()
        assert_equal_to_oracle(site, logged)


PREFIXES = 50_000
SAY_WHEN_LOADING = """
import time
from streams.base import books
load = books.load_book
def load_and_say(path):
    print(f"loading since {time.time()}", flush=True)
    return load(path)
books.load_book = load_and_say
"""


def publish(settings: Settings) -> None:
    """More prefixes beside the calls' own, as one file in place of the other."""
    deck = settings.tariff.parent / "sample-calls.csv"
    more = "".join(
        f"+882{number},0.0{number},Nowhere\n" for number in range(PREFIXES, 2 * PREFIXES)
    )
    new = deck.with_suffix(".new")
    new.write_text(deck.read_text() + more)
    new.replace(deck)


@pytest.mark.timeout(180)
def test_a_tariff_published_under_load_drops_nothing_and_stops_nothing(
    site: Site, tmp_path: Path
) -> None:
    events = iter(events_over_two_months(51, 20_000))
    nowhere = b"""{"id":"late","account_id":"late","direction":"outbound","media":"voice",
        "device":"web","from":"+12125550100","to":"+88275001234","status":"completed",
        "dialed_at":"2026-10-01T12:00:00Z","answered_at":"2026-10-01T12:00:05Z",
        "ended_at":"2026-10-01T12:01:01Z"}"""
    before = tmp_path / "before"  # prices these events alike, and the oracle looks at each prefix
    copytree(site.settings.tariff.parent, before, ignore=lambda *_: [before.name])
    with site.worker() as worker:
        worker.start(first=SAY_WHEN_LOADING)
        send(site.settings, list(islice(events, 500)))
        publish(site.settings)
        while '"event": "tariff_loaded"' not in worker.log():
            some = list(islice(events, 100))
            assert some, worker.log()
            send(site.settings, some)
        send(site.settings, list(islice(events, 500)))
        as_before = site.settings.model_copy(update={"tariff": before / site.settings.tariff.name})
        logged = site.wait_until_all_committed()
        assert_equal_to_oracle(Site(as_before, site.folder, site.store), logged)
        send(site.settings, [Simulated("call", "late", nowhere)])
        site.wait_until_all_committed()
        said = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
        (loaded,) = (line["timestamp"] for line in said if line["event"] == "tariff_loaded")
        loading = re.findall(r"loading since (\S+)", worker.log())[-1]
        ledger = site.ledger()
        ((meanwhile,),) = ledger.query(
            "SELECT count() FROM receipts WHERE written_at > {began:DateTime64(3, 'UTC')}"
            " AND written_at < {ended:DateTime64(3, 'UTC')}",
            {
                "began": datetime.fromtimestamp(float(loading), UTC),
                "ended": datetime.fromisoformat(loaded),
            },
        )
        charge = "SELECT charge FROM rated_rows WHERE account_id = 'late'"
        # 2 minutes at $0.075001, the price of +88275001.
        assert ledger.query(charge) == [(Decimal("0.150002"),)]
        ledger.close()
        assert meanwhile, "batches were written while the tariff was loaded"
        assert worker.process.poll() is None


@pytest.mark.timeout(60)
def test_a_worker_without_its_topics_says_what_to_do(broker: EmbeddedKafka, site: Site) -> None:
    missing = Site(
        site.settings.model_copy(update={"topic_prefix": "absent."}), site.folder, site.store
    )
    with missing.worker() as worker:
        worker.start(wait_ready=False)
        assert worker.process.wait(60) == 1
        assert "run `rater topics create`" in worker.log().replace("\n", " ")


@pytest.mark.timeout(60)
def test_ctrl_c_stops_a_worker_in_order_too(site: Site) -> None:
    with site.worker() as worker:
        worker.start()
        worker.process.send_signal(signal.SIGINT)
        assert worker.process.wait(20) == 0, worker.log()


async def test_input_topics_are_declared_alike_and_stamped_by_the_broker(site: Site) -> None:
    topics = [site.settings.topic(name) for name in INPUTS]
    consumer = aiokafka.AIOKafkaConsumer(*topics, bootstrap_servers=site.settings.kafka_bootstrap)
    await consumer.start()
    try:
        counts = {len(consumer.partitions_for_topic(topic) or ()) for topic in topics}
    finally:
        await consumer.stop()
    assert counts == {4}
