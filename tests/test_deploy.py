"""What operations are given: compose file, image, ClickHouse users, alerts, dashboard.

No Docker engine runs here, so the compose file is checked against its schema and against the
promises of deploy/README.md. ClickHouse's users, the alerts and their queries are tried for real:
in the engine inside the process (chDB reads a server's configuration), and by promtool.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import schemas
from rater import __version__
from rater.budgets import Budget
from rater.tariff import Book
from streams.base.metrics import NAMES
from streams.base.settings import Settings, load_settings
from streams.formats.registry import EXPORTERS
from streams.store import statements
from streams.store.budgets import set_budget
from streams.store.ledger import Ledger
from streams.web.charges import (
    WantedByName,
    export_charges,
    read_charges,
    read_usage_groups,
)
from streams.web.filters import Wanted
from streams.web.history import Histories
from streams.web.reads import NoStatementError, Reads
from streams.web.tokens import Tokens
from streams.web.views import Asked, Views
from tests import conftest
from tests.conftest import Log

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
COMPOSE = ROOT / "docker-compose.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "rater.json"

ONE_SHOTS = {"topics", "migrate"}
EXACT_TAG = re.compile(r"v?\d+(\.\d+){2,3}(-[a-z]+)*")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (Debian package prometheus)",
)


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml(COMPOSE)["services"]
    return found


def by_service(key: str) -> Iterator[tuple[str, Any]]:
    for name, service in services().items():
        if key in service:
            yield name, service[key]


def settings_in_the_environment() -> set[str]:
    return {"RATER_" + field.upper() for field in Settings.model_fields}


# The compose file


def test_compose_file_is_valid_by_the_compose_schema() -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(COMPOSE)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_compose_file_has_a_name_and_no_version() -> None:
    compose = read_yaml(COMPOSE)
    assert compose["name"] == "rater"
    assert "version" not in compose


def test_profiles_are_the_promised_ones() -> None:
    profiles: dict[str, set[str]] = {}
    for name, service in services().items():
        for profile in service.get("profiles", ["default"]):
            profiles.setdefault(profile, set()).add(name)
    assert profiles == {
        "default": {"kafka", "clickhouse", "topics", "migrate", "worker", "api"},
        "ops": {"prometheus", "alertmanager", "grafana"},
        "load": {"simulate"},
    }


def test_every_image_has_an_exact_tag() -> None:
    images = {name: service["image"] for name, service in services().items()}
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for number, image in enumerate(re.findall(r"^FROM (\S+)", dockerfile, re.M)):
        images[f"Dockerfile, stage {number}"] = image
    loose = {
        place: image
        for place, image in images.items()
        if not EXACT_TAG.fullmatch(image.partition(":")[2])
    }
    assert not loose


def test_our_own_image_is_tagged_with_the_version_of_the_package() -> None:
    built = {service["image"] for service in services().values() if "build" in service}
    assert built == {f"rater:{__version__}"}


def test_every_service_but_the_one_shots_has_a_health_check() -> None:
    assert {name for name, _ in by_service("healthcheck")} == set(services()) - ONE_SHOTS


def test_a_service_waits_for_health_or_for_completion() -> None:
    for name, needed in by_service("depends_on"):
        for other, how in needed.items():
            expected = "service_completed_successfully" if other in ONE_SHOTS else "service_healthy"
            assert how["condition"] == expected, f"{name} waits for {other}"


def test_every_published_port_is_bound_to_loopback() -> None:
    published = {str(port) for _, ports in by_service("ports") for port in ports}
    assert published, "nothing is published: is the page reachable?"
    assert {port for port in published if not port.startswith("127.0.0.1:")} == set()


def test_the_operators_door_is_published_nowhere_and_a_worker_has_no_other() -> None:
    for name, ports in by_service("ports"):
        assert not any(str(port).endswith(":6067") for port in ports), name
    worker = services()["worker"]["environment"]
    assert worker["RATER_OPS_PORT"] == "6067"
    assert not [key for key in worker if key.startswith(("RATER_WEB", "RATER_API"))]


def test_every_rater_variable_is_a_setting() -> None:
    texts = {COMPOSE: COMPOSE.read_text(encoding="utf-8")}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            texts[path] = path.read_text(encoding="utf-8")
    known = settings_in_the_environment()
    unknown = {
        (path.name, name)
        for path, text in texts.items()
        for name in re.findall(r"\bRATER_[A-Z0-9_]*[A-Z0-9]\b", text)
        if name not in known
    }
    assert not unknown


def test_settings_of_each_service_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RATER_"):
            monkeypatch.delenv(name)
    for _, environment in by_service("environment"):
        with monkeypatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, str(value))
            load_settings()


@pytest.mark.parametrize("service", ["migrate", "worker", "api", "simulate"])
def test_the_command_of_each_service_exists(service: str) -> None:
    command = services()[service]["command"]
    result = subprocess.run(
        [sys.executable, "-c", "from streams.cli.main import main; main()", *command, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


# Where a service writes while it starts could not be tried without Docker.
WRITES_ANYWHERE = {"kafka"}


@pytest.mark.parametrize("name", services())
def test_a_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= set(service)
    assert not {"cap_add", "privileged", "network_mode"} & set(service)
    assert service.get("read_only", False) == (name not in WRITES_ANYWHERE)


def test_the_ledger_is_on_a_network_of_its_own() -> None:
    networks = read_yaml(COMPOSE)["networks"]
    assert {name for name, network in networks.items() if network.get("internal")} == {"ledger"}
    on = {name: set(service["networks"]) for name, service in services().items()}
    assert on.pop("clickhouse") == on.pop("migrate") == {"ledger"}
    assert on.pop("worker") == on.pop("api") == {"ledger", "events"}
    assert set(map(frozenset, on.values())) == {frozenset({"events"})}


def test_every_mounted_file_exists() -> None:
    for name, volumes in by_service("volumes"):
        for volume in volumes:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"


def test_the_image_installs_hashed_packages_and_runs_as_nobody_special() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip (?:install|wheel) (.*?)(?: \\\\?$|$)", dockerfile, re.MULTILINE)
    assert installs == [
        "--require-hashes --no-deps -r requirements/runtime.lock",
        "--require-hashes --no-deps -r requirements/build.lock",
        "--no-deps --no-build-isolation --wheel-dir /wheels .",
        "--no-deps --no-index /wheels/*.whl",
    ]
    assert re.findall(r"^USER (.*)", dockerfile, re.M) == ["10001:10001"]
    assert re.findall(r"^ENTRYPOINT (.*)", dockerfile, re.M) == ['["rater"]']


def test_what_the_image_copies_is_let_through_by_the_dockerignore() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for sources in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.M):
        for source in sources.split():
            assert f"!{source}" in allowed


# Secrets


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    make_secrets(folder)
    return folder


def make_secrets(folder: Path) -> None:
    script = DEPLOY / "secrets" / "make.sh"
    subprocess.run(["sh", str(script), str(folder)], check=True, capture_output=True, timeout=30)


def test_the_script_makes_every_secret_the_compose_file_names(secrets: Path) -> None:
    named = {Path(secret["file"]) for secret in read_yaml(COMPOSE)["secrets"].values()}
    assert {path.parent for path in named} == {Path("deploy/secrets")}
    made = {path.name for path in secrets.iterdir()}
    # Invoicing's password is for a program outside, the token for a person.
    assert made == {path.name for path in named} | {"clickhouse_invoicing_password", "api_token"}
    for name in made:
        assert (DEPLOY / "secrets" / f"{name}.example").exists()


def test_every_secret_a_service_uses_is_declared() -> None:
    declared = set(read_yaml(COMPOSE)["secrets"])
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for _, listed in by_service("secrets")
        for secret in listed
    }
    assert used == declared


def test_a_password_file_in_the_environment_is_a_secret_of_that_service() -> None:
    for name, service in services().items():
        given = {
            secret if isinstance(secret, str) else secret["target"]
            for secret in service.get("secrets", [])
        }
        for value in service.get("environment", {}).values():
            if str(value).startswith("/run/secrets/"):
                assert Path(value).name in given, f"{name}: {value}"


def test_clickhouse_is_given_the_hash_of_each_password(secrets: Path) -> None:
    hashes = {node.tag: node.text for node in ET.parse(secrets / "clickhouse_users.xml").getroot()}
    for user, password_file in {
        "rater_migrate": "clickhouse_migrate_password",
        "rater_worker": "clickhouse_worker_password",
        "rater_reader": "clickhouse_reader_password",
        "invoicing": "clickhouse_invoicing_password",
    }.items():
        password = (secrets / password_file).read_bytes()
        assert hashes.pop(f"{user}_sha256") == hashlib.sha256(password).hexdigest()
    assert not hashes


def test_a_second_run_changes_no_secret(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    make_secrets(secrets)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


# what is broken     | by
BROKEN = [
    ("od",               "exit 1"),
    ("od",               "echo ' 0a 0b'"),
    ("tr",               "exit 1"),
    ("sha256sum",        "exit 1"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "script"), BROKEN)
def test_no_secret_is_made_by_a_tool_that_fails(tmp_path: Path, tool: str, script: str) -> None:
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / tool
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    folder = tmp_path / "secrets"
    done = subprocess.run(
        ["sh", str(DEPLOY / "secrets" / "make.sh"), str(folder)],
        env=os.environ | {"PATH": f"{broken.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("make.sh: ")
    assert "secrets are in" not in done.stdout
    assert [path for path in folder.iterdir() if not path.read_bytes().strip()] == []
    assert not (folder / "clickhouse_users.xml").exists()
    make_secrets(folder)  # what was made is kept, and the rest is made


def test_a_secret_that_is_empty_is_refused_by_the_script(tmp_path: Path) -> None:
    (tmp_path / "clickhouse_worker_password").write_text("\n")
    with pytest.raises(subprocess.CalledProcessError):
        make_secrets(tmp_path)


def test_the_made_token_sees_every_account(secrets: Path) -> None:
    token = (secrets / "api_token").read_text(encoding="utf-8")
    assert token not in (secrets / "api_tokens.toml").read_text(encoding="utf-8")
    known = Tokens(secrets / "api_tokens.toml").find(token)
    assert known is not None
    assert known.account == "*"
    example = tomllib.loads((DEPLOY / "secrets" / "api_tokens.toml.example").read_text("utf-8"))
    assert set(example) == {"tokens"}


# ClickHouse's users, in the engine itself
#
# chDB reads users.d and config.d as a server does, but always logs in as `default`. So each session
# below gives `default` the profile, the quota and the grants of the user it stands for.

SESSION = """
import json, sys, chdb
connection = chdb.connect(sys.argv[1])
answers = []
for statement in json.load(sys.stdin):
    try:
        answers.append([True, str(connection.query(statement, "TSVRaw")).strip()])
    except Exception as error:
        answers.append([False, str(error)])
print("answers:" + json.dumps(answers))
"""

BASE_USERS = """<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users>
<default><password/><networks><ip>::/0</ip></networks><profile>default</profile>
<quota>default</quota><access_management>1</access_management></default></users></clickhouse>"""


class Engine:
    """The ledger's database under the deployed configuration, asked as one user or another."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        self.folder = folder
        self.secrets = secrets

    def ask(self, user: str | None, *statements: str) -> list[tuple[bool, str]]:
        """(done, answer or error) for each statement; None is an administrator."""
        config = self.folder / (user or "administrator")
        if not config.exists():
            self._configure(config, user)
        url = f"file:{self.folder}/db?config-file={config}/config.xml"
        result = subprocess.run(
            [sys.executable, "-c", SESSION, url],
            input=json.dumps(statements),
            capture_output=True,
            text=True,
            timeout=120,
        )
        answers = [line for line in result.stdout.splitlines() if line.startswith("answers:")]
        assert answers, result.stdout + result.stderr
        return [(done, text) for done, text in json.loads(answers[0].removeprefix("answers:"))]

    def _configure(self, config: Path, user: str | None) -> None:
        for folder in ("users.d", "config.d"):
            shutil.copytree(DEPLOY / "clickhouse" / folder, config / folder)
        (config / "users.xml").write_text(BASE_USERS, encoding="utf-8")
        (config / "config.xml").write_text(
            f"<clickhouse><users_config>{config}/users.xml</users_config></clickhouse>",
            encoding="utf-8",
        )
        deployed = config / "users.d" / "rater.xml"
        tree = ET.parse(deployed)
        include = tree.find("include_from")
        users = tree.find("users")
        assert include is not None
        assert users is not None
        include.text = str(self.secrets / "clickhouse_users.xml")
        default = users.find("default")
        assert default is not None
        users.remove(default)
        if user is not None:
            of_user = users.find(user)
            assert of_user is not None
            stand_in = ET.SubElement(users, "default", {"replace": "replace"})
            ET.SubElement(stand_in, "password")
            stand_in.extend(node for node in of_user if node.tag != "password_sha256_hex")
        tree.write(deployed)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, secrets: Path) -> Engine:
    """The migrations, run as rater_migrate: that they run is the proof of its grants."""
    engine = Engine(tmp_path_factory.mktemp("clickhouse"), secrets)
    migrations = [
        statement
        for path in sorted(schemas.MIGRATIONS.glob("*.sql"))
        for statement in statements_of(path)
    ]
    # As streams.store.ledger does it: the database, the list of migrations done, the migrations.
    answers = engine.ask(
        "rater_migrate",
        "CREATE DATABASE IF NOT EXISTS rater",
        "USE rater",
        "CREATE TABLE migrations (name String) ENGINE = ReplacingMergeTree ORDER BY name",
        "INSERT INTO migrations VALUES ('0001')",
        *migrations,
    )
    assert [said for done, said in answers if not done] == []
    # The user who made a view was `default` here and is rater_migrate in truth.
    (made,) = engine.ask(
        None,
        "SELECT name FROM system.tables WHERE database = 'rater' AND engine = 'View'"
        " AND create_table_query LIKE '%SQL SECURITY DEFINER%'",
    )
    changes = [
        f"ALTER TABLE rater.{view} MODIFY DEFINER = rater_migrate SQL SECURITY DEFINER"
        for view in made[1].split()
    ]
    assert all(done for done, _ in engine.ask(None, *changes))
    return engine


def statements_of(path: Path) -> list[str]:
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("--")
    ]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]


def test_inserts_are_on_the_disk_before_they_are_answered(engine: Engine) -> None:
    (answer,) = engine.ask(
        None,
        "SELECT name FROM system.merge_tree_settings"
        " WHERE value = '1' AND name IN ('fsync_after_insert', 'fsync_part_directory')"
        " ORDER BY name",
    )
    assert answer == (True, "fsync_after_insert\nfsync_part_directory")
    (answer,) = engine.ask(
        "rater_worker", "SELECT value FROM system.settings WHERE name = 'async_insert'"
    )
    assert answer == (True, "0")


def test_each_user_has_a_hashed_password_and_its_grants_only(engine: Engine) -> None:
    users = ("rater_migrate", "rater_worker", "rater_reader", "invoicing")
    (passwords,) = engine.ask(
        None, "SELECT name FROM system.users WHERE auth_type = ['sha256_password'] ORDER BY name"
    )
    assert passwords[1].split() == sorted(users)
    expected = {
        "rater_worker": {"GRANT SELECT, INSERT ON rater.*"},
        "invoicing": {
            "GRANT SELECT ON rater.rated_rows",
            "GRANT SELECT ON rater.statement_lines",
            "GRANT SELECT ON rater.statement_totals",
        },
    }
    shown = engine.ask(None, *(f"SHOW GRANTS FOR {user}" for user in expected))
    granted = {
        user: {line.removesuffix(f" TO {user}") for line in text.splitlines()}
        for user, (_, text) in zip(expected, shown, strict=True)
    }
    assert granted == expected
    # What the reader may read is what the page asks: columns, none with a number, no rejects.
    (reader,) = engine.ask(None, "SHOW GRANTS FOR rater_reader")
    for grant in reader[1].splitlines():
        reads = r"GRANT SELECT\([\w, ]+\) ON rater\.\w+ TO rater_reader"
        sets = r"GRANT INSERT, SELECT\([\w, ]+\) ON rater\.budgets TO rater_reader"
        assert re.fullmatch(f"{reads}|{sets}", grant), grant
        assert not re.search(r"\b(number|raw|key|rejected|body)\b", grant), grant


def test_the_worker_sees_what_its_start_up_checks_compare(engine: Engine) -> None:
    (answer,) = engine.ask(
        "rater_worker",
        "SELECT count() FROM system.tables WHERE database = 'rater' AND name = 'rated'"
        " AND engine_full != '' AND sorting_key != '' AND partition_key != ''",
    )
    assert answer == (True, "1")


# user           statement                                                       allowed
CAN = """
rater_migrate  | ALTER TABLE rater.rated ADD COLUMN IF NOT EXISTS _probe UInt8   | yes
rater_migrate  | ALTER TABLE rater.rated DROP COLUMN IF EXISTS _probe            | yes
rater_migrate  | ALTER TABLE rater.parked DELETE WHERE account_id = 'nobody'      | yes
rater_migrate  | ALTER TABLE rater.rated UPDATE team = '' WHERE 0                | yes
rater_migrate  | SELECT count() FROM system.mutations WHERE NOT is_done          | yes
rater_migrate  | DROP DATABASE rater                                             | no
rater_migrate  | TRUNCATE TABLE rater.rated                                      | no
rater_migrate  | CREATE DATABASE other                                           | no
rater_migrate  | CREATE USER intruder                                            | no
rater_worker   | INSERT INTO rater.rated (account_id) SELECT 'acct' LIMIT 0      | yes
rater_worker   | SELECT count() FROM rater.rated                                 | yes
rater_worker   | CREATE TABLE rater.z (x UInt8) ENGINE = MergeTree ORDER BY x    | no
rater_worker   | ALTER TABLE rater.rated ADD COLUMN z UInt8                      | no
rater_worker   | ALTER TABLE rater.rated DELETE WHERE 1                          | no
rater_worker   | ALTER TABLE rater.rated UPDATE team = '' WHERE 0                | no
rater_worker   | DELETE FROM rater.rated WHERE 1                                 | no
rater_worker   | TRUNCATE TABLE rater.rated                                      | no
rater_worker   | DROP TABLE rater.rated                                          | no
rater_worker   | SELECT * FROM file('/etc/hostname', 'CSV', 'x String')          | no
rater_reader   | SELECT account_id FROM rater.rated                              | yes
rater_reader   | SELECT count() FROM rater.rejected                              | no
rater_reader   | SELECT from_number FROM rater.rated                             | no
rater_reader   | SELECT to_number FROM rater.rated_rows                          | yes
rater_reader   | SELECT message FROM rater.refused                               | yes
rater_reader   | SELECT raw FROM rater.rejected                                  | no
rater_reader   | INSERT INTO rater.rated (account_id) SELECT 'acct' LIMIT 0      | no
rater_reader   | SELECT 1 SETTINGS max_execution_time = 3600                     | no
rater_reader   | SELECT 1 SETTINGS max_memory_usage = 0                          | no
rater_reader   | INSERT INTO rater.budgets (account_id) SELECT 'acct' LIMIT 0    | yes
rater_reader   | INSERT INTO rater.alerts (account_id) SELECT 'acct' LIMIT 0     | no
rater_reader   | ALTER TABLE rater.budgets DELETE WHERE 1                        | no
rater_reader   | CREATE TABLE rater.z (x UInt8) ENGINE = MergeTree ORDER BY x    | no
rater_reader   | SELECT * FROM file('/etc/hostname', 'CSV', 'x String')          | no
rater_reader   | SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x String')     | no
invoicing      | SELECT count() FROM rater.rated_rows                            | yes
invoicing      | SELECT count() FROM rater.statement_lines                       | yes
invoicing      | SELECT count() FROM rater.rated                                 | no
invoicing      | SELECT count() FROM rater.rejected                              | no
invoicing      | INSERT INTO rater.rated (account_id) SELECT 'acct' LIMIT 0      | no
"""


REFUSED = ("ACCESS_DENIED", "READONLY", "SETTING_CONSTRAINT_VIOLATION")


@pytest.mark.parametrize("user", ["rater_migrate", "rater_worker", "rater_reader", "invoicing"])
def test_a_user_can_do_its_job_and_nothing_else(engine: Engine, user: str) -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in CAN.strip().splitlines()]
    mine = [(statement, allowed) for who, statement, allowed in rows if who == user]
    answers = engine.ask(user, *(statement for statement, _ in mine))
    wrong = []
    for (statement, allowed), (done, text) in zip(mine, answers, strict=True):
        refused = any(f"({why})" in text for why in REFUSED)
        if (allowed == "yes") != done or (not done and not refused):
            wrong.append((statement, allowed, text))
    assert not wrong


def test_the_reader_may_ask_all_that_the_page_asks(
    engine: Engine, ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own questions, written down as they are asked, then asked as `rater_reader`."""
    asked: list[str] = []

    def listening(ask: Any) -> Any:
        def listen(self: Ledger, sql: str, parameters: Any = None) -> Any:
            note(sql, parameters)
            return ask(self, sql, parameters)

        return listen

    def note(sql: str, parameters: Any) -> None:
        values = parameters or {}

        def literal(value: Any) -> str:
            if isinstance(value, list):
                return f"[{', '.join(map(literal, value))}]"
            if isinstance(value, tuple):
                return f"({', '.join(map(literal, value))})"
            return str(value) if isinstance(value, int) else f"'{value}'"

        asked.append(re.sub(r"\{(\w+):[^}]+\}", lambda found: literal(values[found[1]]), sql))

    ledger.write(Log([conftest.call(), conftest.text(), conftest.subscription()]).batch(book))
    set_budget(ledger, Budget("acme", "all", 10**9), datetime.now(UTC))
    for ask in (Ledger.query, Ledger.search, Ledger.search_columns):
        monkeypatch.setattr(Ledger, ask.__name__, listening(ask))
    reads = Reads(ledger, lambda: book)

    async def look() -> None:
        for month in (date(2026, 8, 1), None):
            await reads.live_statement("acme", month)
        await reads.months("acme")
        await reads.explain("acme", "call-1")
        chosen = WantedByName(line="calls", first="2026-08-10", last="2026-08-10")
        august = date(2026, 8, 1)
        read_usage_groups(reads, "acme", august, wanted=chosen, by=("day", "campaign"))
        read_charges(reads, "acme", august, wanted=chosen, before=None, limit=1)
        for exporter in EXPORTERS.values():
            list(export_charges(reads, "acme", august, wanted=chosen, exporter=exporter))
        views = Views(reads, Histories(ledger), can_sign_out=False)
        for page in (
            "overview", "usage", "activity", "line", "campaigns", "numbers", "recordings", "prices",
            "budgets",
        ):  # fmt: skip
            wanted = Wanted(line="calls", number="+1", day="2026-08-10", least="1")
            await views.view(Asked("acme", page, date(2026, 8, 1), wanted=wanted))
        form = (("list", "+44"), ("answered", "5"))  # its minutes are the account's own
        await views.view(Asked("acme", "prices", None, quote=form))
        await views.view(Asked("acme", "event", None, event="call-1"))
        await views.find("acme", "nothing like it")
        await views.accounts("")
        with pytest.raises(NoStatementError):
            await reads.statement("nobody", None)

    asyncio.run(look())
    assert ledger.ping()
    statements.read_products(ledger, "acme", date(2026, 8, 1))
    answers = engine.ask("rater_reader", "USE rater", *asked)
    assert [said for done, said in answers if not done] == []
    assert len(asked) > 8


def test_readers_have_limits(engine: Engine) -> None:
    for user, limits in (
        ("rater_reader", ["max_execution_time", "max_memory_usage"]),
        ("invoicing", ["max_execution_time", "max_memory_usage", "readonly"]),
    ):
        (answer,) = engine.ask(
            user,
            "SELECT name FROM system.settings WHERE value != '0' AND name IN"
            " ('readonly', 'max_execution_time', 'max_memory_usage') ORDER BY name",
        )
        assert answer == (True, "\n".join(limits)), user


# Prometheus and Grafana


def promtool(*arguments: str, cwd: Path = PROMETHEUS) -> None:
    result = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def alerts() -> list[dict[str, Any]]:
    rules = read_yaml(PROMETHEUS / "alerts.yml")
    return [rule for group in rules["groups"] for rule in group["rules"]]


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def dashboard_queries() -> list[str]:
    return [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])
    ]


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\brater_[a-z0-9_]+", expression))


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_every_alert_has_a_case() -> None:
    tried = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    names = {alert["alert"] for alert in alerts()}
    assert {name for name in names if name not in tried} == set()
    assert set(re.findall(r"\bRater[A-Z]\w+", tried)) == names


def test_every_alert_says_what_why_and_what_to_do() -> None:
    for alert in alerts():
        told = {"summary", "description", "action", "runbook"}
        assert set(alert["annotations"]) == told, alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}, alert["alert"]


def test_every_alert_has_its_page_and_each_page_its_alert() -> None:
    pages = {f"docs/runbooks/{alert['alert']}.md" for alert in alerts()}
    assert {alert["annotations"]["runbook"] for alert in alerts()} == pages
    there = {path.stem for path in (ROOT / "docs" / "runbooks").glob("Rater*.md")}
    assert there == {alert["alert"] for alert in alerts()}
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8")
        for heading in ("## What it costs", "## First", "## Then", "## It is over"):
            assert heading in text, (page, heading)


def test_alerts_use_metrics_that_exist() -> None:
    unknown = {alert["alert"]: metrics_in(alert["expr"]) - NAMES for alert in alerts()}
    assert {name: metrics for name, metrics in unknown.items() if metrics} == {}


def test_the_dashboard_uses_metrics_that_exist() -> None:
    used = set().union(*map(metrics_in, dashboard_queries()))
    assert used - NAMES == set()


@needs_promtool
def test_the_dashboards_queries_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(dashboard_queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    promtool("check", "rules", str(file))


def test_the_dashboard_asks_the_provisioned_datasource() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = read_yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    asked = {
        target["datasource"]["uid"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    }
    assert asked == {source["uid"]}
    (provider,) = read_yaml(provisioning / "dashboards" / "rater.yml")["providers"]
    mounted = {volume.split(":")[1] for volume in services()["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted


def test_the_dashboard_shows_what_it_promises() -> None:
    assert dashboard()["title"] == "Rater: throughput and lag"
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert any("for monitoring, not billing" in title for title in titles)
    promised = {
        "rater_events_consumed_total",
        "rater_events_rated_total",
        "rater_events_rejected_total",
        "rater_parked_events",
        "rater_consumer_lag_seconds",
        "rater_consumer_lag_messages",
        "rater_event_age_seconds_bucket",
        "rater_insert_duration_seconds_bucket",
        "rater_batch_rows_bucket",
        "rater_charged_usd_total",
    }
    assert promised <= set().union(*map(metrics_in, dashboard_queries()))
