"""Worker processes under a supervisor: one that ended without being told to is started again."""

import signal
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.workers import WorkerProcess, wait_for

LOOK_S = 0.1
BREATHE_S = 1.0  # between starts of one worker


@dataclass
class Place:
    """A worker's place: who works there now, and the faults that its next ones are started with."""

    worker: WorkerProcess
    faults: deque[str]
    first: str  # code that its processes run first
    armed: str
    started_at: float
    ended: list[int] = field(default_factory=list)  # exit statuses of those before


class Fleet:
    """Workers by name. Every death is counted; `alive` are those that were not told to stop."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._places: dict[str, Place] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="supervisor")

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join()
        for name in self.names():
            self.worker(name).kill()

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._places)

    def worker(self, name: str) -> WorkerProcess:
        with self._lock:
            return self._places[name].worker

    def ended(self, name: str) -> list[int]:
        with self._lock:
            return list(self._places[name].ended)

    def add(self, name: str, *faults: str, first: str = "") -> None:
        """Starts a worker, with the first fault armed; after each death the next one is."""
        with self._lock:
            assert name not in self._places
            waiting = deque(faults)
            armed = waiting.popleft() if waiting else ""
            worker = self._start(name, armed, first)
            self._places[name] = Place(worker, waiting, first, armed, time.monotonic())

    def remove(self, name: str) -> int:
        """SIGTERM, and nobody follows; the exit status."""
        with self._lock:
            worker = self._places.pop(name).worker
        return worker.terminate()[0]

    def follow(self, name: str, fault: str) -> None:
        """The next worker in this place is started with a fault armed."""
        with self._lock:
            self._places[name].faults.append(fault)

    def kill(self, name: str) -> None:
        """SIGKILL; the supervisor starts another."""
        self._signal(name, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """SIGTERM; the supervisor starts another."""
        self._signal(name, signal.SIGTERM)

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def is_frozen(self, name: str) -> bool:
        pid = self.worker(name).process.pid
        return f"{pid} " in (text := _stat(pid)) and text.rpartition(")")[2].split()[0] == "T"

    def wait_for_deaths(self, name: str, count: int, timeout_s: float) -> None:
        wait_for(
            lambda: len(self.ended(name)) >= count,
            f"worker {name} dead {count} times",
            timeout_s,
            lambda: self.worker(name).log()[-3000:],
        )

    def ready(self) -> list[str]:
        """Those that have partitions and a store that answers."""
        return [name for name in self.names() if self.worker(name).get("/readyz")[0] == 200]

    def wait_until_ready(self, timeout_s: float = 90) -> None:
        for name in self.names():
            wait_for(
                lambda name=name: self.worker(name).get("/readyz")[0] == 200,  # type: ignore[misc]
                f"worker {name} ready",
                timeout_s,
                lambda name=name: self.worker(name).log()[-3000:],  # type: ignore[misc]
            )

    def _signal(self, name: str, number: signal.Signals) -> None:
        with self._lock:
            process = self._places[name].worker.process
            if process.poll() is None:
                process.send_signal(number)

    def _start(self, name: str, fault: str, first: str) -> WorkerProcess:
        environment = self._environment | {"RATER_FAULT": fault}
        worker = WorkerProcess(environment, self._folder / f"worker-{name}.log")
        return worker.start(wait_ready=False, first=first)

    def _keep(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                for name, place in self._places.items():
                    status = place.worker.process.poll()
                    if status is None or time.monotonic() - place.started_at < BREATHE_S:
                        continue
                    place.ended.append(status)
                    place.armed = place.faults.popleft() if place.faults else ""
                    place.worker = self._start(name, place.armed, place.first)
                    place.started_at = time.monotonic()


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
