"""The wheel without the checkout: built, installed from the lock into nothing, and run there."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import pytest

from rater import __version__
from tests.conftest import ROOT, call, text

SOURCES = ("rater", "streams", "schemas", "pyproject.toml", "README.md", "LICENSE")
INSTALL_TIMEOUT_S = 600
DEMO_SECONDS = 10
DEMO_TIMEOUT_S = 120  # the first start on a machine fetches Kafka's jars
MARK = "RATER_WHEEL_TEST_MARK"
# Of the text that the Apache Software Foundation publishes, byte for byte.
APACHE_2_0_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"

pytestmark = pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)


@pytest.fixture(scope="module")
def outside() -> dict[str, str]:
    """An environment that knows nothing of the checkout or of its virtual environment."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("RATER_", "PYTHON", "VIRTUAL"))
    }
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def run(*command: str | Path, cwd: Path, env: Mapping[str, str], timeout_s: int) -> str:
    """What a command prints. Fails with all of its output unless it ends with 0."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-3_000:]}{done.stderr[-3_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, outside: dict[str, str]) -> Path:
    """Built from a copy of what the wheel is made of."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    run(*build, cwd=copy, env=outside, timeout_s=120)
    (built,) = (copy / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory, wheel: Path, outside: dict[str, str]
) -> Path:
    """The command `rater` of an environment that was empty before."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "venv", cwd=folder, env=outside, timeout_s=120)
    lock = ROOT / "requirements" / "embedded.lock"
    # Without dependencies: what the lock does not name is missed by the check.
    install = ("install", "--quiet", "--no-compile", "--no-deps")
    for arguments in (
        (*install, "--require-hashes", "-r", str(lock)),
        (*install, "--no-index", str(wheel)),
        ("check",),
    ):
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", *arguments]
        run(*pip, cwd=folder, env=outside, timeout_s=INSTALL_TIMEOUT_S)
    return folder / "venv" / "bin" / "rater"


def test_the_wheel_holds_all_that_runs_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"usage_rater-{__version__}-py3-none-any.whl"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"^pip install (dist/\S+)", readme, re.MULTILINE)
    assert fnmatch(f"dist/{wheel.name}", told)
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for folder in ("rater", "streams", "schemas")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    kinds = [name.rpartition("/")[0] for name in sorted(held) if not name.endswith(".py")]
    assert {"schemas/clickhouse", "schemas/events", "schemas/tariff"} <= set(kinds)
    assert "schemas/asyncapi.json" in held
    assert {f"{package}/py.typed" for package in ("rater", "streams", "schemas")} <= held


def test_the_wheel_says_its_licence_and_carries_the_exact_text(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"usage_rater-{__version__}.dist-info"
        licence = archive.read(f"{folder}/licenses/LICENSE")
        said = archive.read(f"{folder}/METADATA").decode()
    assert sha256(licence).hexdigest() == APACHE_2_0_SHA256
    assert "\nLicense-Expression: Apache-2.0\n" in said


def test_an_installed_rater_rates_a_file_in_an_empty_folder(
    installed: Path, outside: dict[str, str], tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(orjson.dumps(call()) + b"\n" + orjson.dumps(text()) + b"\n")
    printed = run(installed, "rate", events, "--json", cwd=tmp_path, env=outside, timeout_s=60)
    rows = [orjson.loads(line) for line in printed.splitlines()]
    assert [(row["line"], row["charge"]) for row in rows] == [
        ("calls", "0.026"),
        ("texts", "0.0079"),
        ("carrier_fees", "0.003"),
    ]
    assert (
        run(installed, "--version", cwd=tmp_path, env=outside, timeout_s=60) == f"{__version__}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]


def processes_with(mark: str) -> dict[int, str]:
    """Running processes that carry a mark in their environment: a child inherits it."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()[:200]
        except OSError:
            continue  # it ended meanwhile
    return found


@contextmanager
def demo(
    installed: Path, port: int, cwd: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The demo as a child; whatever a test finds, nothing of it is left running."""
    command = [str(installed), "demo", "--seconds", str(DEMO_SECONDS), "--port", str(port)]
    command += ["--kafka-port", "0", "--store-port", "0"]
    with (cwd.parent / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for pid in processes_with(env[MARK]):
                os.kill(pid, signal.SIGKILL)


def counts_at(port: int) -> dict[str, int]:
    """What acme's statement of this month counts, by line; nothing while the page is not up."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/accounts/acme/usage", timeout=5) as answer:
            statement: dict[str, Any] = orjson.loads(answer.read())
    except (URLError, OSError):
        return {}
    counts: dict[str, int] = {}
    for line in statement["lines"]:
        counts[line["line"]] = counts.get(line["line"], 0) + line["amount"]
    return counts


def test_an_installed_demo_shows_data_and_leaves_no_process(
    installed: Path, outside: dict[str, str], tmp_path: Path
) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("processes can only be looked at where /proc is")
    folder = tmp_path / "empty"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = outside | {MARK: uuid.uuid4().hex}
    seen: dict[str, int] = {}
    running: dict[int, str] = {}
    with demo(installed, port, folder, env) as process:
        give_up_at = time.monotonic() + DEMO_TIMEOUT_S
        while process.poll() is None and time.monotonic() < give_up_at:
            counts = counts_at(port)
            if counts:
                seen = counts
                running = running or processes_with(env[MARK])
            time.sleep(0.3)
        left = processes_with(env[MARK])
        said = (tmp_path / "demo.log").read_text(errors="replace")
        assert process.returncode == 0, said[-3_000:]
    for line in ("phone_numbers", "calls", "texts", "carrier_fees", "subscriptions"):
        assert seen.get(line, 0) > 0, (line, seen, said[-3_000:])
    assert len(running) >= 2, "the demo and its Kafka"
    assert left == {}
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said
