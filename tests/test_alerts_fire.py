"""Each alert fires by a real Prometheus and reaches a webhook through a real Alertmanager; of one
cause only the cause does.

The expressions are those of the file, over two hours of history that are made up. Only the waiting
(`for`) is made shorter: promtool tries that at its length (`deploy/prometheus/alerts_test.yml`).
"""

import json
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from streams.kafka.embedded.ports import free_port
from tests.conftest import ROOT
from tests.support.workers import wait_for

PROMETHEUS = ROOT / "deploy" / "prometheus"
needs_alertmanager = pytest.mark.skipif(
    shutil.which("prometheus-alertmanager") is None or shutil.which("prometheus") is None,
    reason="not installed (Debian packages prometheus and prometheus-alertmanager)",
)

HISTORY_S, STEP_S = 7200, 15
GONE_S = HISTORY_S - 400  # Prometheus takes a series for there for five minutes more
SHORTER = 600.0  # an hour of waiting is 6 s
WORKER, API = 'job="rater-worker"', 'job="rater-api"'
LE = '{le="%s"}'

# A series is a value of the seconds since the history began; None where it is not told.
Series = Mapping[str, Callable[[float], float | None]]


def always(value: float) -> Callable[[float], float]:
    return lambda _: value


def grows(by_s: float) -> Callable[[float], float]:
    return lambda at_s: math.floor(at_s * by_s)


def at(told_s: float) -> Callable[[float], float]:
    """An instant that stays, as seconds since the history began."""
    return lambda _: START_S + told_s


START_S = time.time() - HISTORY_S

ALONE: dict[str, Series] = {
    "RaterStalled": {
        f'rater_consumer_lag_messages{{{WORKER},instance="stuck"}}': always(7),
        f'rater_last_commit_timestamp_seconds{{{WORKER},instance="stuck"}}': at(60),
    },
    "RaterRejects": {
        f'rater_events_consumed_total{{{WORKER},instance="a"}}': grows(10),
        f'rater_events_rejected_total{{{WORKER},instance="a",reason="bad_json"}}': grows(1),
    },
    "RaterRefused": {
        f'rater_events_rejected_total{{{WORKER},instance="a",reason="not_stored"}}': grows(0.1),
    },
    "RaterParked": {f'rater_parked_events{{{WORKER},instance="a"}}': always(3)},
    "RaterEventsOld": {
        f'rater_event_age_seconds_bucket{{{WORKER},instance="a",le="300.0"}}': grows(1),
        f'rater_event_age_seconds_bucket{{{WORKER},instance="a",le="3600.0"}}': grows(2),
        f'rater_event_age_seconds_bucket{{{WORKER},instance="a",le="+Inf"}}': grows(2),
    },
    "RaterStoreErrors": {f'rater_store_errors_total{{{WORKER},instance="b"}}': grows(0.2)},
    "RaterApiDown": {f'up{{{API},instance="page"}}': always(0)},
    "RaterAudit": {f'rater_audit_findings{{{WORKER},instance="a",check="gap"}}': always(1)},
    "RaterAuditOld": {f'rater_audit_timestamp_seconds{{{WORKER},instance="a"}}': at(60)},
    "RaterCommitsFail": {f'rater_commit_errors_total{{{WORKER},instance="b"}}': grows(0.2)},
    "RaterWorkerGone": {
        f'up{{{WORKER},instance="a"}}': always(1),
        f'up{{{WORKER},instance="gone"}}': lambda at_s: 1 if at_s < GONE_S else None,
    },
    "RaterNoHousekeeper": {f'rater_housekeeper{{{WORKER},instance="a"}}': always(0)},
}
# What follows from each cause and calls nobody beside it.
CAUSES: dict[str, Series] = {
    "RaterStoreDown": {
        f'rater_store_up{{{WORKER},instance="storeless"}}': always(0),
        f'up{{{WORKER},instance="storeless"}}': always(0),
        f'rater_store_errors_total{{{WORKER},instance="storeless"}}': grows(0.2),
        f'rater_consumer_lag_messages{{{WORKER},instance="storeless"}}': always(7),
        f'rater_last_commit_timestamp_seconds{{{WORKER},instance="storeless"}}': at(60),
    },
    "RaterBrokerSilent": {
        f'rater_broker_last_answer_timestamp_seconds{{{WORKER},instance="silent"}}': at(60),
        f'rater_commit_errors_total{{{WORKER},instance="silent"}}': grows(0.2),
    },
    "RaterWorkerDown": {f'up{{{WORKER},instance="down"}}': always(0)},
}
OF_THE_GROUP = ("RaterEventsOld", "RaterAuditOld", "RaterNoHousekeeper")


class Told:
    """What the metrics say, in the order of their names, as each format wants it."""

    def __init__(self, *cases: Series) -> None:
        self._series = sorted((name, of) for case in cases for name, of in case.items())

    def now(self) -> str:
        since_s = time.time() - START_S
        told = ((name, of(since_s)) for name, of in self._series)
        return "".join(f"{name} {value}\n" for name, value in told if value is not None)

    def history(self, until_s: float) -> str:
        """As OpenMetrics, up to some seconds after it began."""
        lines = [
            f"{name} {value} {START_S + at_s:.3f}"
            for name, of in self._series
            for at_s in range(0, int(until_s), STEP_S)
            if (value := of(at_s)) is not None
        ]
        return "\n".join([*lines, "# EOF\n"])


class Server(ThreadingHTTPServer):
    """Tells metrics, and takes what is posted: an alert's name, its receiver, its instance."""

    def __init__(self, told: Told) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told = told
        self.posted: set[tuple[str, str, str]] = set()

    def names(self) -> set[str]:
        return {name for name, _, _ in self.posted}


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(self.server.told.now().encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in body["alerts"]:
            labels = alert["labels"]
            told = labels["alertname"], self.path.strip("/"), labels.get("instance", "")
            self.server.posted.add(told)
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def served(told: Told) -> Iterator[Server]:
    with Server(told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def configure(folder: Path, server: Server, alertmanager: int) -> None:
    """The files of deploy/prometheus, but for where things are, and for the waiting."""
    yaml = YAML(typ="safe")
    rules = yaml.load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = (
                f"{math.ceil(seconds(rule['for']) / SHORTER * 1000)}ms" if "for" in rule else "0s"
            )
    (folder / "alerts.yml").write_text(json.dumps(rules), encoding="utf-8")
    page = f"127.0.0.1:{server.server_port}"
    watched = {"job_name": "made-up", "honor_labels": True, "static_configs": [{"targets": [page]}]}
    prometheus = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]
        },
        "scrape_configs": [watched],
    }
    (folder / "prometheus.yml").write_text(json.dumps(prometheus), encoding="utf-8")
    calls = yaml.load((PROMETHEUS / "alertmanager.yml").read_text(encoding="utf-8"))
    calls["route"] |= {"group_wait": "8s", "group_interval": "1s"}
    for receiver in calls["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = hook["url"].replace("pager:8080", page)
    (folder / "alertmanager.yml").write_text(json.dumps(calls), encoding="utf-8")


@contextmanager
def watching(folder: Path, *cases: Series) -> Iterator[Server]:
    """Prometheus with the history, Alertmanager, and where the calls arrive."""
    ports = free_port("127.0.0.1"), free_port("127.0.0.1")
    told = Told(*cases)
    history = folder / "history.txt"
    history.write_text(told.history(time.time() - START_S - STEP_S), encoding="utf-8")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", history, folder / "data"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with served(told) as server, ExitStack() as stack:
        configure(folder, server, ports[0])
        log = stack.enter_context((folder / "log").open("wb"))
        for command in (
            ["prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
             f"--storage.path={folder / 'calls'}", f"--web.listen-address=127.0.0.1:{ports[0]}",
             "--cluster.listen-address="],
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}",
             # What fires before Alertmanager is found is told soon again.
             f"--web.listen-address=127.0.0.1:{ports[1]}", "--rules.alert.resend-delay=5s"],
        ):  # fmt: skip
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(process.terminate)
        yield server


def said(folder: Path) -> Callable[[], str]:
    return lambda: (folder / "log").read_text(errors="replace")[-3000:]


@needs_alertmanager
@pytest.mark.timeout(180)
def test_each_alert_reaches_whom_it_calls(tmp_path: Path) -> None:
    with watching(tmp_path, *ALONE.values()) as server:
        wait_for(lambda: server.names() >= ALONE.keys(), "all alerts", 120, said(tmp_path))
        rules: Any = json.loads((tmp_path / "alerts.yml").read_text())
        severity = {
            rule["alert"]: rule["labels"]["severity"]
            for group in rules["groups"]
            for rule in group["rules"]
        }
        assert server.names() == ALONE.keys()
        assert all(to == severity[name] for name, to, _ in server.posted)
        assert severity.keys() == ALONE.keys() | CAUSES.keys()


@needs_alertmanager
@pytest.mark.timeout(180)
def test_of_one_cause_only_the_cause_calls(tmp_path: Path) -> None:
    beside = [ALONE[name] for name in OF_THE_GROUP]
    with watching(tmp_path, *CAUSES.values(), *beside) as server:
        wait_for(lambda: server.names() >= CAUSES.keys(), "the causes", 120, said(tmp_path))
        # A cause that fires a moment later than what follows from it would come too late.
        called = {(name, instance) for name, _, instance in server.posted}
        assert called == {
            ("RaterStoreDown", "storeless"),
            ("RaterBrokerSilent", "silent"),
            ("RaterWorkerDown", "down"),
        }
