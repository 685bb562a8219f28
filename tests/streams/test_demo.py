"""The demo as a newcomer runs it: data, Ctrl-C, a second start, a taken port or path."""

import json
import signal
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streams.kafka.embedded.ports import free_port
from tests.support.workers import rater_command, wait_for


class Demo:
    """`rater demo` as a child process."""

    def __init__(self, path: Path, port: int, *more: str) -> None:
        self.path, self.port = path, port
        self.log_path = path.parent / f"demo-{time.monotonic_ns()}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                rater_command(
                    "demo",
                    "--path",
                    str(path),
                    "--port",
                    str(port),
                    "--rate",
                    "60",
                    "--kafka-port",
                    "0",
                    "--store-port",
                    "0",
                    *more,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self) -> str:
        return " ".join(self.log_path.read_text(errors="replace").split())

    def usage(self, month: str = "") -> dict[str, Any]:
        """The statement of the demo's account in a month; empty while nothing answers."""
        url = f"http://127.0.0.1:{self.port}/v1/accounts/acme/usage?month={month}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                usage: dict[str, Any] = json.load(answer)
        except OSError:
            return {}
        return usage

    def counts(self, month: str = "") -> dict[str, int]:
        """Rows of each of its lines."""
        return {
            f"{x['line']} {x.get('direction', '')}".strip(): x["amount"]
            for x in self.usage(month).get("lines", ())
        }

    def state(self) -> object:
        """How fresh it says its statement is."""
        return self.usage().get("freshness")

    def wait_for_data(self) -> dict[str, int]:
        def shown() -> bool:
            counts = self.counts()
            return counts.get("calls outbound", 0) > 3 and counts["phone_numbers"] > 3

        wait_for(shown, "data", 90, self.log)
        return self.counts()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def brokers_on(path: Path) -> list[str]:
    """Processes whose working directory is the demo's broker's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == (path / "kafka").resolve():
                found.append(process.name)
        except OSError:
            continue
    return found


def read_environment(file: Path) -> dict[str, str]:
    """What a shell has after `. file`."""
    script = f". {file}; env -0"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, timeout=30)
    pairs = (pair.partition("=") for pair in done.stdout.decode().split("\0") if pair)
    return {name: value for name, _, value in pairs}


def rater(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        rater_command(*arguments),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.timeout(280)
def test_the_demo_shows_data_stops_on_ctrl_c_and_a_second_start_goes_on(tmp_path: Path) -> None:
    path, port = tmp_path / "demo", free_port("127.0.0.1")
    demo = Demo(path, port, "--history", "33d")  # a day of the month before, at the least
    try:
        demo.wait_for_data()
        before_this = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")

        def filled() -> bool:
            counts = demo.counts(before_this)
            lines = ("calls outbound", "texts inbound", "campaign_calls", "recording_storage")
            return bool(counts) and all(counts[line] > 3 for line in lines)

        wait_for(filled, "the month before", 60, demo.log)
        wait_for(lambda: demo.state() == {"state": "live"}, "live totals", 60, demo.log)
        assert brokers_on(path)
        assert path.stat().st_mode & 0o777 == 0o700
        held = Demo(path, free_port("127.0.0.1"))
        assert held.process.wait(60) == 1
        assert f"in use by process {demo.process.pid}" in held.log(), held.log()
        taken = Demo(tmp_path / "other", port)
        assert taken.process.wait(60) == 1
        assert f"port {port} on 127.0.0.1 is taken" in taken.log(), taken.log()
        # Another program beside it: it reads the same store, by the password alone.
        environment = read_environment(path / "env")
        shown = rater("usage", "acme", "--json", environment=environment)
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)["account_id"] == "acme"
        audit = rater("audit", environment=environment)
        assert "clean" in audit.stdout, audit.stdout + audit.stderr
        wrong = tmp_path / "wrong"
        wrong.write_text("guess")
        refused = environment | {"RATER_CLICKHOUSE_PASSWORD_FILE": str(wrong)}
        done = rater("usage", "acme", environment=refused)
        assert (done.returncode, done.stdout) == (1, "")
        assert (path / "clickhouse.password").stat().st_mode & 0o777 == 0o600
        before = demo.counts()
        assert demo.interrupt() == 0, demo.log()
        assert "nothing is left running" in demo.log()
        assert "Traceback" not in demo.log()
        assert brokers_on(path) == []
    finally:
        demo.process.kill()
    again = Demo(path, port)
    try:
        again.wait_for_data()
        wait_for(
            lambda: again.counts().get("calls outbound", 0) > before["calls outbound"],
            "new events beside the old ones",
            60,
        )
        after = again.counts()
        assert all(after[line] >= count for line, count in before.items()), (before, after)
        assert again.interrupt() == 0, again.log()
        assert brokers_on(path) == []
    finally:
        again.process.kill()
