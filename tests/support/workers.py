"""Real worker processes for tests: with settings of their own, started by the command line, watched
over HTTP."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

import schemas
from streams.base.settings import Settings, load_settings
from streams.kafka.embedded.ports import free_port
from streams.kafka.topics import create_topics
from streams.store.ledger import open_ledger

ROOT = Path(__file__).parents[2]


def rater_command(*arguments: str, first: str = "") -> list[str]:
    """The command line as a process of this very Python, which runs the code `first`."""
    return [sys.executable, "-c", f"{first}\nfrom streams.cli.main import main; main()", *arguments]


def own_settings(bootstrap: str, clickhouse_url: str, folder: Path) -> Settings:
    """A test's own topics and database, made on shared servers, its own group, and its own tariff
    in the folder."""
    name = f"t{uuid.uuid4().hex[:8]}"
    for file in schemas.SAMPLE_TARIFF.parent.iterdir():
        shutil.copy(file, folder / file.name)
    settings = load_settings(
        kafka_bootstrap=bootstrap,
        topic_prefix=f"{name}.",
        group=name,
        topic_partitions=4,
        clickhouse_url=clickhouse_url,
        clickhouse_database=name,
        tariff=folder / "sample.toml",
    )
    open_ledger(settings, migrate=True).close()
    asyncio.run(create_topics(settings))
    return settings


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process is started with to have the settings that were set here."""
    values = settings.model_dump(exclude_unset=True)
    return {f"RATER_{name.upper()}": str(value) for name, value in values.items()}


class WorkerProcess:
    """`rater worker` with its own port of health and metrics; its log is kept for messages."""

    command, port_setting, ready = "worker", "RATER_OPS_PORT", "/readyz"

    def __init__(self, environment: dict[str, str], log_path: Path) -> None:
        self.port = free_port("127.0.0.1")
        self.log_path = log_path
        own = {"RATER_OPS_PORT": "0", self.port_setting: str(self.port), "RATER_LOG_FORMAT": "json"}
        self._environment = os.environ | environment | own
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait_ready: bool = True, first: str = "") -> Self:
        """Starts it, with code that its process runs `first`."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                rater_command(self.command, first=first),
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait_ready:
            wait_for(lambda: self.get(self.ready)[0] == 200, f"{self.command} ready", 60, self.log)
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def terminate(self) -> tuple[int, float]:
        """SIGTERM; the exit status and the seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - started

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class ApiProcess(WorkerProcess):
    """`rater api` with its own port of the page."""

    command, port_setting, ready = "api", "RATER_WEB_PORT", "/openapi.json"


def wait_for(
    condition: Callable[[], object],
    what: str,
    timeout_s: float = 30,
    log: Callable[[], str] = lambda: "",
) -> None:
    """Polls until the condition holds. Raises AssertionError naming what was waited for."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s} s in vain: {what}\n{log()}"
        time.sleep(0.1)


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    """Looks until the condition holds, beside what else runs on the loop. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
