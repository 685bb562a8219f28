"""No log names an account, event, number, token or query: a run with marked values."""

import io
import logging
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from streams.base.settings import load_settings
from streams.kafka.embedded.ports import free_port
from streams.runtime.logs import LINES_MAX, TEMPLATES_MAX, WINDOW_S, Sparing, configure_logs
from streams.store.ledger import open_ledger
from streams.web.tokens import create_token
from tests.conftest import ROOT
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import rater_command, wait_for

MARK = "Marked-7f3a"
NUMBER = "14155557373"


def ask(url: str, token: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_the_api_logs_no_marked_value_with_its_store_up_and_down(
    tmp_path: Path, command_env: dict[str, str]
) -> None:
    port, tokens, log_path = free_port("127.0.0.1"), tmp_path / "tokens.toml", tmp_path / "log"
    token = create_token(tokens, "all", "*")
    base = f"http://127.0.0.1:{port}/v1/accounts/{MARK}-account"
    paths = (
        "/usage",
        "/usage.csv?month=2026-01",
        f"/events/+{NUMBER}/explain",
        "/live",
        "/usage?x=%",
    )
    with ClickHouseHttp(tmp_path / "store") as store:
        open_ledger(load_settings(clickhouse_url=store.url), migrate=True).close()
        environment = command_env | {
            "RATER_CLICKHOUSE_URL": store.url, "RATER_API_TOKENS_FILE": str(tokens),
            "RATER_WEB_PORT": str(port), "RATER_OPS_PORT": "0", "RATER_INSERT_TIMEOUT_S": "2",
        }  # fmt: skip
        with log_path.open("wb") as log:
            api = subprocess.Popen(
                rater_command("api"), cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            wait_for(lambda: ask(base + "/usage", token) == 404, "the api", 60, log_path.read_text)
            for path in paths:
                ask(base + path, token)
                ask(base + path, f"{MARK}-token-{'x' * 40}")
            store.stop()
            assert ask(base + "/usage", token) in (429, 503)
            for path in paths:
                ask(base + path, token)
        finally:
            api.terminate()
            api.wait(30)
    said = log_path.read_text()
    assert "unknown token from 127.0.0.1" in said
    for mark in (MARK, NUMBER, token, "param_", "SELECT"):
        assert mark not in said, said


# what a library says of an error      | what of it
LIBRARIES = [
    ("urllib3.connectionpool", "Retrying %r after %r: %s", ("a", OSError(MARK), f"/?q={MARK}")),
    ("asyncio",                "Task exception was never retrieved", ()),
    ("uvicorn.error",          "Exception in ASGI application\n", ()),
    ("aiokafka",               "Topic %s of %d bytes", (MARK, 12)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "message", "values"), LIBRARIES)
def test_what_a_library_says_has_its_words_and_not_its_values(
    name: str, message: str, values: tuple[object, ...]
) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logs(load_settings(), logging.DEBUG)
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(io.StringIO())
        try:
            raise ValueError(f"{MARK} +{NUMBER}")
        except ValueError:
            logging.getLogger(name).error(message, *values, exc_info=True)
        said = handler.stream.getvalue()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert MARK not in said
    assert NUMBER not in said
    assert "ValueError" in said
    assert "test_logs.py" in said
    assert message.split("%", maxsplit=1)[0].strip() in said


def test_a_library_that_says_one_thing_again_and_again_is_left_out_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A broker that was gone made 40 MB of log in 45 s."""
    now_s = 0.0
    sparing = Sparing(lambda: now_s)

    def said(name: str, message: str, times: int) -> int:
        record = logging.LogRecord(name, logging.ERROR, "", 0, message, (), None)
        return sum(sparing.filter(record) for _ in range(times))

    assert said("aiokafka", "can't connect", 50_000) == LINES_MAX
    assert said("aiokafka", "another", 3) == 3
    assert said("streams.ingest", "ours", 1_000) == 1_000
    now_s = WINDOW_S
    assert said("aiokafka", "can't connect", 1) == 1
    assert f"lines={50_000 - LINES_MAX}" in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    made_up = [said("aiokafka", f"{n}", 1) for n in range(TEMPLATES_MAX + 1_000)]
    assert sum(made_up) < TEMPLATES_MAX + LINES_MAX + 1  # and it remembers no more
