"""The first hour's page, line by line: its commands are run, its answers must come.

Two terminals as a stranger has them. What makes the environment is left out: this one is taken.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from streams.kafka.embedded.ports import free_port
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "first-hour.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANSWERS_WITHIN_S = 60  # a machine under load; on a quiet one within two
ANYTHING = "…"
ASKS = ("rater usage", "rater audit", "cat > read.py")  # what only asks may be asked again


class Step(NamedTuple):
    """Lines for a shell, and what they answer; None where the page says nothing of it."""

    commands: str
    answer: str | None


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for language, text in BLOCK.findall(page):
        if language == "sh":
            found.append(Step(text, None))
        else:
            assert not language, f"a block of {language} is neither commands nor their answer"
            assert found[-1].answer is None, f"an answer to nothing:\n{text}"
            found[-1] = found[-1]._replace(answer=text)
    return found


def fits(answer: str, said: str) -> bool:
    """Whether what was said is as on the page: line by line, and ANYTHING is anything."""
    lines = [line.rstrip() for line in answer.strip().splitlines()]
    pattern = "\n".join(re.escape(line).replace(re.escape(ANYTHING), "(?s:.*)") for line in lines)
    told = "\n".join(line.rstrip() for line in said.strip().splitlines())
    return re.fullmatch(pattern, told) is not None


@pytest.mark.parametrize(
    ("answer", "said", "wanted"),
    [
        ("3 events sent", "3 events sent\n", True),
        ("3 events sent", "13 events sent\n", False),
        ("me\n…\nTotal  1 USD", "me\nCalls\nTexts\nTotal  1 USD", True),
        ("me\n…\nTotal  1 USD", "me\nCalls\nTotal  2 USD", False),
        ("as of …, by UTC", "as of now, by UTC", True),
    ],
)
def test_an_answer_is_held_against_the_page(answer: str, said: str, wanted: bool) -> None:
    assert fits(answer, said) == wanted


class Terminal:
    """A shell that is typed into, and what it says."""

    def __init__(self, command: str, clone: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=clone,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._said.append(line)

    def text(self) -> str:
        return "".join(self._said)

    def wait_for(self, pattern: str) -> str:
        until = time.monotonic() + ANSWERS_WITHIN_S
        while not (found := re.search(pattern, self.text())):
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < until, f"no {pattern} in:\n{self.text()}"
            time.sleep(0.05)
        return found[0]

    def run(self, commands: str) -> tuple[str, int]:
        """What the commands say, and the exit status of the last one."""
        self._said.clear()
        mark = f"=={time.monotonic_ns()}"
        assert self._process.stdin
        self._process.stdin.write(f"{commands}echo {mark} $?\n")
        self._process.stdin.flush()
        ended = self.wait_for(rf"{mark} \d+\n")
        return self.text().partition(mark)[0], int(ended.split()[1])

    def end(self, by: signal.Signals) -> None:
        """Ctrl-C reaches all that runs in a terminal; returns once all of it has ended."""
        with contextlib.suppress(ProcessLookupError):  # none of it runs any more
            os.killpg(self._process.pid, by)
        self._reader.join(60)
        self._process.wait(60)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            stream.close()


def environment() -> dict[str, str]:
    """A stranger's: nothing of ours, wide enough for a line of a page."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"SHELL": "/bin/sh", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose environment is made already: the one that runs this."""
    clone = tmp_path / "rater"
    binaries = clone / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name not in (".venv", ".rater", ".git"):
            (clone / path.name).symlink_to(path)
    start = {
        "python": f'exec {sys.executable} "$@"',
        "rater": f'exec {sys.executable} -c "from streams.cli.main import main; main()" "$@"',
    }
    for name, line in start.items():
        (binaries / name).write_text(f"#!/bin/sh\n{line}\n")
        (binaries / name).chmod(0o755)
    for stamp in ("python.stamp", "embedded.stamp"):
        (clone / ".venv" / stamp).touch()
    return clone


@pytest.fixture
def terminals(clone: Path) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.end(signal.SIGKILL)


@pytest.mark.timeout(590)
def test_every_line_of_the_first_hour_does_what_the_page_says(
    clone: Path, terminals: list[Terminal]
) -> None:
    ports = f"--port {free_port('127.0.0.1')} --kafka-port 0 --store-port 0"
    shell, *rest = steps(PAGE.read_text(encoding="utf-8"))
    assert shell == Step("make shell\n", None)
    terminals.append(Terminal(shell.commands, clone))
    for step in rest:
        if step.commands.startswith("make demo "):
            demo = Terminal(step.commands.replace('="', f'="{ports} '), clone)
            terminals.append(demo)
            demo.wait_for(r"in another shell: \. \S+/\.rater/env")
            continue
        until = time.monotonic() + ANSWERS_WITHIN_S
        said, status = terminals[0].run(step.commands)
        while status or not (step.answer is None or fits(step.answer, said)):
            # What is on its way is there a moment later.
            in_time = step.commands.startswith(ASKS) and time.monotonic() < until
            assert in_time, f"{step.commands}\n{said}\ninstead of\n{step.answer}"
            time.sleep(0.5)
            said, status = terminals[0].run(step.commands)
    terminals.remove(demo)
    demo.end(signal.SIGINT)
    assert "nothing is left running" in demo.text()
