"""The embedded broker against the real thing; one broker for the module."""

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import jgo
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from streams.kafka.embedded.jars import COORDINATES, HASHES, KafkaUnavailable, resolve_jars
from streams.kafka.embedded.kafka import DataDirTaken, EmbeddedKafka
from streams.kafka.embedded.ports import PortTaken

ROOT = Path(__file__).parents[2]
LOG_APPEND_TIME = 1


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        asyncio.run(create_topic(kafka))
        yield kafka


async def create_topic(kafka: EmbeddedKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("events", num_partitions=2, replication_factor=1)])
    finally:
        await admin.close()


async def send(kafka: EmbeddedKafka, value: bytes, *, timestamp_ms: int = 1) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    await producer.start()
    try:
        sent = await producer.send_and_wait("events", value, partition=0, timestamp_ms=timestamp_ms)
        return int(sent.timestamp_type)
    finally:
        await producer.stop()


async def read_all(kafka: EmbeddedKafka) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition("events", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while len(values) < end:
            values += [bytes(r.value) for r in (await consumer.getmany(timeout_ms=500))[partition]]
        return values
    finally:
        await consumer.stop()


def cluster_id(kafka: EmbeddedKafka) -> str:
    lines = (kafka.data_dir / "log" / "meta.properties").read_text().splitlines()
    return next(line for line in lines if line.startswith("cluster.id="))


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(done: Callable[[], bool], *, timeout_s: float = 5) -> bool:
    give_up_at = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


def test_a_started_broker_takes_and_gives_records(broker: EmbeddedKafka) -> None:
    asyncio.run(send(broker, b"first"))
    assert b"first" in asyncio.run(read_all(broker))


def test_the_brokers_clock_stamps_the_records(broker: EmbeddedKafka) -> None:
    assert asyncio.run(send(broker, b"stamped", timestamp_ms=5)) == LOG_APPEND_TIME


def test_a_topic_that_nobody_made_does_not_appear(broker: EmbeddedKafka) -> None:
    async def ask_for_it() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            await admin.describe_topics(["misspelt"])
            return list(await admin.list_topics())
        finally:
            await admin.close()

    topics = asyncio.run(ask_for_it())
    assert "events" in topics
    assert "misspelt" not in topics


def test_ctrl_c_in_the_terminal_does_not_reach_the_broker(broker: EmbeddedKafka) -> None:
    assert broker.pid is not None
    assert os.getsid(broker.pid) == broker.pid != os.getsid(0)


def test_a_running_broker_is_not_started_twice(broker: EmbeddedKafka) -> None:
    with pytest.raises(RuntimeError, match=f"already runs on {broker.bootstrap}"):
        broker.start()


def test_a_data_folder_in_use_is_refused_with_its_path_and_owner(broker: EmbeddedKafka) -> None:
    second = EmbeddedKafka(broker.data_dir)
    with pytest.raises(DataDirTaken) as caught:
        second.start()
    line = str(caught.value)
    assert str(broker.data_dir) in line
    assert f"process {os.getpid()};" in line
    assert "\n" not in line


def test_a_taken_port_is_refused_by_its_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        kafka = EmbeddedKafka(tmp_path, port=port)
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
            kafka.start()
    assert kafka.pid is None


def test_a_restart_keeps_cluster_records_and_ports(broker: EmbeddedKafka) -> None:
    asyncio.run(send(broker, b"before the restart"))
    identity, address, pid = cluster_id(broker), broker.bootstrap, broker.pid
    broker.stop()
    assert broker.pid is None
    assert pid is not None
    assert not is_alive(pid)
    broker.start()
    assert (cluster_id(broker), broker.bootstrap) == (identity, address)
    assert b"before the restart" in asyncio.run(read_all(broker))


def test_a_killed_broker_starts_again_with_its_records(broker: EmbeddedKafka) -> None:
    asyncio.run(send(broker, b"before the crash"))
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)  # From outside: the object is not told.
    assert wait_until(lambda: broker.pid is None)
    broker.start()
    assert broker.pid not in (None, pid)
    assert b"before the crash" in asyncio.run(read_all(broker))


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(KafkaUnavailable, match=r"(?s)kafka\.log:\n.*node id 7"):
        kafka.start()
    assert kafka.pid is None
    kafka.stop()  # Nothing to do, and nothing to fail.


def test_a_child_dies_when_its_parent_is_killed() -> None:
    program = (
        "import subprocess, threading, time\n"
        "from pathlib import Path\n"
        "from streams.kafka.embedded.children import spawn_child\n"
        "def start():\n"
        "    child = spawn_child(['sleep', '60'], cwd=Path('/'), output=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True)\n"
        "threading.Thread(target=start).start()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        assert is_alive(child), "the child outlives the thread that asked for it"
        parent.kill()
    assert wait_until(lambda: not is_alive(child))


def test_a_missing_package_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    with pytest.raises(
        KafkaUnavailable, match=r"package jgo: pip install 'usage-rater\[embedded\]'"
    ):
        resolve_jars(print)


JAR = b"x" * 100


class FakeMaven:
    """Fills jgo's cache as jgo does; the first `wrong` times with `given` in the jar's place."""

    def __init__(self, cache_dir: Path, *, wrong: int = 0, given: bytes = b"") -> None:
        self.root = cache_dir / "envs"
        self.wrong = wrong
        self.given = given
        self.calls = 0

    def build(self, coordinates: str, update: bool) -> SimpleNamespace:
        assert coordinates == COORDINATES
        self.calls += 1
        time.sleep(0.1)
        jar = self.root / "jars" / "kafka.jar"
        if not jar.exists():
            jar.parent.mkdir(parents=True, exist_ok=True)
            jar.write_bytes(self.given if self.calls <= self.wrong else JAR)
        return SimpleNamespace(path=self.root)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of jgo's own, and hashes that ask for one jar, JAR."""
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "jgo"))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    hashes = tmp_path / "jars.sha256"
    hashes.write_text(f"{hashlib.sha256(JAR).hexdigest()}  kafka.jar\n")
    monkeypatch.setattr("streams.kafka.embedded.jars.HASHES", hashes)
    return tmp_path / "jgo"


def test_jars_are_resolved_once_also_by_two_at_a_time(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = FakeMaven(empty_cache)
    monkeypatch.setattr(jgo, "build", maven.build)
    said: list[str] = []
    threads = [threading.Thread(target=resolve_jars, args=(said.append,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [jar.name for jar in resolve_jars(said.append)] == ["kafka.jar"]
    assert maven.calls == 1
    assert said == ["resolving Kafka's jars (once, about 45 MB) ..."]


@pytest.mark.parametrize("given", [JAR[:50], b"y" + JAR[1:]], ids=["cut off", "another"])
def test_a_jar_that_is_not_what_its_hash_says_is_fetched_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    maven = FakeMaven(empty_cache, wrong=1, given=given)
    monkeypatch.setattr(jgo, "build", maven.build)
    (jar,) = resolve_jars(print)
    assert jar.read_bytes() == JAR
    assert maven.calls == 2


def test_a_jar_that_stays_another_is_never_started(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = FakeMaven(empty_cache, wrong=99, given=b"y" + JAR[1:])
    monkeypatch.setattr(jgo, "build", maven.build)
    with pytest.raises(KafkaUnavailable, match=r"not what jars\.sha256 says: kafka\.jar"):
        resolve_jars(print)


@pytest.mark.parametrize("name", ["kafka.jar", "stranger.jar"])
def test_a_jar_that_changed_since_or_came_beside_is_seen_before_a_start(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    maven = FakeMaven(empty_cache)
    monkeypatch.setattr(jgo, "build", maven.build)
    (jar,) = resolve_jars(print)
    (jar.parent / name).write_bytes(b"changed")
    with (empty_cache / "rater-kafka.jars").open("a") as listed:
        listed.write(f"{jar.parent / name}\n")
    assert [jar.read_bytes() for jar in resolve_jars(print)] == [JAR]


def test_each_jar_of_the_broker_has_its_hash() -> None:
    lines = [line.split() for line in HASHES.read_text().splitlines()]
    assert {len(digest) for digest, _ in lines} == {64}
    assert {jar.name for jar in resolve_jars(print)} == {name for _, name in lines}


def test_jars_that_cannot_be_had_say_what_to_do(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(coordinates: str, update: bool) -> SimpleNamespace:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(jgo, "build", offline)
    with pytest.raises(KafkaUnavailable, match=r"(?s)no route to host.*needs the network, once"):
        resolve_jars(print)
    assert not (empty_cache / "rater-kafka.jars").exists()
