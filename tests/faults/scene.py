"""A scene for faults: real broker, store behind a proxy, supervised workers, seeded traffic.

A test reads: `with open_scene(...) as scene:`, traffic starts, faults happen, and at the end
`scene.settle()` names every difference there is or was: what is committed is compared with what
is stored all the while, and everything with the oracle once all is at rest.
"""

import os
import random
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from streams.base.settings import Settings
from streams.kafka.clients import BrokerErrors
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.store.ledger import TABLES, Ledger, StoreErrors, open_ledger
from tests.faults.check import moment_differences, rest_differences, stored_ends
from tests.faults.fleet import Fleet
from tests.faults.proxy import StoreProxy
from tests.faults.traffic import Traffic
from tests.support.broker import committed, read_log, wait_until_committed
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import ApiProcess, environment_of, own_settings, wait_for

SAMPLE_EVERY_S = 2.0
SESSION_TIMEOUT_S = 6  # the least that a broker allows
INSERT_TIMEOUT_S = 3
# What makes a fault's end come sooner, and leaves more of two cores to what is tested.
HASTE = {
    "RATER_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
    "RATER_INSERT_TIMEOUT_S": str(INSERT_TIMEOUT_S),
    "RATER_BATCH_WAIT_S": "0.4",
}
REST_S = 120.0


class Scene:
    """What faults happen to. `injected` counts them by name."""

    def __init__(
        self,
        broker: EmbeddedKafka,
        store: ClickHouseHttp,
        proxy: StoreProxy,
        fleet: Fleet,
        settings: Settings,
        seed: int,
        rate: int,
    ) -> None:
        self.broker, self.store, self.proxy, self.fleet = broker, store, proxy, fleet
        self.settings = settings
        self.chance = random.Random(seed)
        self.traffic = Traffic(settings, self.chance.randrange(2**31), rate)
        self.injected: Counter[str] = Counter()
        self.events = 0  # in the log, once settled
        self.samples = 0
        self._found: list[str] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._sample, name="watch")

    def __enter__(self) -> "Scene":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.heal()
        self.traffic.stop()
        self._watch.join()

    def ledger(self) -> Ledger:
        """The store without the proxy between."""
        return open_ledger(self.settings, migrate=False)

    def begin(self, *names: str) -> None:
        """Workers and traffic; returns once all of them are at work."""
        for name in names:
            self.fleet.add(name)
        self.traffic.start()
        self.fleet.wait_until_ready()

    def pause(self, least_s: float, most_s: float) -> None:
        time.sleep(self.chance.uniform(least_s, most_s))

    def heal(self) -> None:
        """Everything that a fault left broken works again."""
        self.proxy.heal()
        if self.store.pid is None:
            self.store.start()
        if self.broker.pid is None:
            self.broker.start()
        assert self.broker.pid is not None
        os.kill(self.broker.pid, signal.SIGCONT)
        for name in self.fleet.names():
            self.fleet.wake(name)

    def settle(self) -> list[str]:
        """Waits until nothing is left to do, and names every difference, those before included."""
        self.heal()
        self.traffic.stop()
        logged = read_log(self.settings)
        self.events = len(logged)
        wait_until_committed(self.settings, logged, REST_S, self._logs)
        self.fleet.wait_until_ready()
        ledger = self.ledger()
        try:
            log_path = self.settings.tariff.with_name("api.log")
            with ApiProcess(environment_of(self.settings), log_path) as api:
                api.start()
                found = rest_differences(ledger, self.settings, logged, partial(_get, api.port))
        finally:
            ledger.close()
        wait_for(self._no_worker_lags, "no worker shows a lag", 30, self._logs)
        assert self.samples, "nothing was sampled during the run"
        return self._found + found

    def stored_beyond_committed(self, ledger: Ledger) -> int:
        """Records that are stored and not committed: what a death now makes another read again."""
        offsets = committed(self.settings)
        ends, _ = stored_ends(ledger)
        return sum(max(0, end - offsets.get(place, 0)) for place, end in ends.items())

    def holds(self, name: str, place: tuple[str, int]) -> bool:
        """Whether a worker has a partition now."""
        labels = f'{{partition="{place[1]}",topic="{place[0]}"}}'
        return f"rater_consumer_lag_messages{labels}" in self.fleet.worker(name).get("/metrics")[1]

    def sync_every_insert(self) -> None:
        """As deployed: the store says yes once the rows are on the disk."""
        for table in TABLES:
            self.execute(
                f"ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 1, "
                "fsync_part_directory = 1"
            )

    def execute(self, sql: str) -> None:
        """A statement for the store, on this scene's database."""
        url = f"{self.store.url}/?database={self.settings.clickhouse_database}"
        with urllib.request.urlopen(url, sql.encode(), timeout=30) as answer:
            answer.read()

    def _no_worker_lags(self) -> bool:
        shown = "".join(self.fleet.worker(name).get("/metrics")[1] for name in self.fleet.names())
        lags = [line.split()[-1] for line in shown.splitlines()
                if line.startswith("rater_consumer_lag_messages{")]  # fmt: skip
        return bool(lags) and set(lags) == {"0.0"}

    def _logs(self) -> str:
        return "\n".join(self.fleet.worker(name).log()[-2000:] for name in self.fleet.names())

    def _sample(self) -> None:
        ledger: Ledger | None = None
        while not self._over.wait(SAMPLE_EVERY_S):
            try:
                ledger = ledger or self.ledger()
                offsets = committed(self.settings)
                found = moment_differences(ledger, self.settings, offsets)
            except (*BrokerErrors, *StoreErrors):
                continue  # one of them is away, on purpose
            self.samples += 1
            self._found += [f"sample {self.samples}: {difference}" for difference in found]
        if ledger is not None:
            ledger.close()


def _get(port: int, path: str) -> str:
    """A page of the API; of a stream, its first statement."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        if "/live" not in path:
            return str(answer.read().decode())
        for line in answer:
            if line.startswith(b"data: "):
                return str(line.removeprefix(b"data: ").decode())
    raise AssertionError(f"{path} ended without a statement")


@contextmanager
def open_scene(
    broker: EmbeddedKafka,
    store: ClickHouseHttp,
    folder: Path,
    *,
    seed: int,
    rate: int = 100,
    more: Mapping[str, str] = HASTE,
) -> Iterator[Scene]:
    """A scene with its own topics, group, database and tariff, and no worker yet.

    Its workers have the default settings but for `more`.
    """
    settings = own_settings(broker.bootstrap, store.url, folder)
    with ExitStack() as stack:
        proxy = stack.enter_context(StoreProxy(store.port, stall_s=INSERT_TIMEOUT_S * 2))
        environment = environment_of(settings) | {"RATER_CLICKHOUSE_URL": proxy.url, **more}
        fleet = stack.enter_context(Fleet(environment, folder))
        yield stack.enter_context(Scene(broker, store, proxy, fleet, settings, seed, rate))
