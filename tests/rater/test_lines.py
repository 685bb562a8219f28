"""The table of lines: what it says, and that no other place has a list of lines of its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rater.lines import CALL_LINES, LINES, MONTHLY_LINES, PRICED, TAXES

ROOT = Path(__file__).parents[2]
NAMES = {line.name for line in LINES}

# Which lines an event is charged on is its kind's own to say.
KINDS = ("rater/kinds/",)
QUOTED = re.compile(r"'(\w+)'")

ASKED = [
    # list            lines
    (CALL_LINES,      {"calls", "video_calls", "campaign_calls"}),
    (MONTHLY_LINES,   {"phone_numbers", "recording_storage", "subscriptions"}),
    (PRICED,          NAMES - {TAXES}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "lines"), ASKED)
def test_lists_of_lines_come_from_the_table(asked: frozenset[str], lines: set[str]) -> None:
    assert set(asked) == lines


def lists_of_lines(tree: ast.Module) -> Iterator[str]:
    """Where two lines or more are spelled side by side, in Python or in a text of SQL."""
    for node in ast.walk(tree):
        names: set[str] = set()
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            items = [
                item.elts[0] if isinstance(item, ast.Tuple) and item.elts else item
                for item in node.elts
            ]
            names = {str(item.value) for item in items if isinstance(item, ast.Constant)}
        elif isinstance(node, ast.Dict):
            names = {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = set(QUOTED.findall(node.value))
        if len(names & NAMES) > 1:
            assert isinstance(node, ast.expr)
            yield f"line {node.lineno}: {sorted(names & NAMES)}"


def test_no_other_module_spells_a_list_of_lines() -> None:
    found = {}
    for path in (*ROOT.glob("rater/**/*.py"), *ROOT.glob("streams/**/*.py")):
        name = str(path.relative_to(ROOT))
        if name != "rater/lines.py" and not name.startswith(KINDS):
            found[name] = list(lists_of_lines(ast.parse(path.read_text("utf-8"))))
    assert len(found) > 50
    assert {name: lists for name, lists in found.items() if lists} == {}


@pytest.mark.parametrize(
    "code",
    [
        "x = ('calls', 'texts')",
        "x = frozenset({'calls', 'video_calls'})",
        "x = {'calls': 1, 'texts': 2}",
        "x = [('calls', 1), ('texts', 2)]",
        "x = \"line NOT IN ('phone_numbers', 'subscriptions')\"",
        "x = f\"line IN ('phone_numbers', 'subscriptions') {only}\"",
    ],
)
def test_the_check_for_lists_of_lines_can_fail(code: str) -> None:
    assert list(lists_of_lines(ast.parse(code)))


def test_the_lists_in_the_migrations_are_the_tables() -> None:
    """A text's fee shares the record of its text, and what is monthly has states of its own."""
    lists = [
        set(QUOTED.findall(listed))
        for path in sorted(ROOT.glob("schemas/clickhouse/*.sql"))
        for listed in re.findall(r"line (?:NOT )?IN \(([^)]*)\)", path.read_text("utf-8"))
    ]
    assert lists
    assert all(listed == {"carrier_fees", *MONTHLY_LINES} for listed in lists)


def test_each_line_says_what_it_charges_for_and_the_script_knows_no_line() -> None:
    assert [line.name for line in LINES if not line.help.endswith(".")] == []
    script = (ROOT / "streams/web/static/live.js").read_text("utf-8")
    assert not re.search("|".join(f"[\"'`]{name}[\"'`/]" for name in NAMES), script)
