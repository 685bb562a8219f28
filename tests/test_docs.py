"""The pages are held against the code: links, paths, citations, decisions, forms."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.test_repository import files_of_the_repository, modules, name_of, text_of

DECISIONS = ROOT / "docs" / "decisions"
PAGES = [path for path in files_of_the_repository() if path.suffix == ".md"]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE_PATH = re.compile(r"`((?:rater|streams|schemas|tests|deploy|docs)/[\w./-]+\.\w+)`")

# What docs/how-to adds as an example.
EXAMPLES = {"rater/kinds/fax.py", "tests/rater/test_fax.py"}


def without_code(page: str) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)


def is_there(path: Path) -> bool:
    """A secret is there as an example."""
    return path.exists() or path.with_name(f"{path.name}.example").exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    targets = [target for target, _ in LINK.findall(without_code(text_of(page))) if target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_file_that_a_page_names_is_there_under_that_name() -> None:
    # A decision and a change name what there was then.
    now = [page for page in PAGES if page.parent != DECISIONS and page.name != "CHANGELOG.md"]
    named = {path for page in now for path in CODE_PATH.findall(text_of(page))}
    assert named
    made_up = {path for path in named if "NAME" in path}
    missing = {path for path in named - made_up if not is_there(ROOT / path)}
    assert missing == EXAMPLES


# ------------------------------------------------------------------ what the code cites

CITED = re.compile(r"(?<![\w/])((?:docs/)?[\w-]+\.md)(?:, ([A-Z][\w ,.]*[\w]))?")


def headings(page: Path) -> set[str]:
    return set(re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE))


def uncited(text: str) -> Iterator[str]:
    """What a module's text cites that is not there: a page, or a heading of it."""
    for page, heading in CITED.findall(text):
        path = ROOT / page
        if not path.is_file():
            yield page
        elif heading and not any(heading.startswith(known) for known in headings(path)):
            yield f"{page}, {heading}"


def test_what_the_code_cites_is_there() -> None:
    missing = {
        name_of(path): sorted(set(uncited(text_of(path)))) for path in modules("rater", "streams")
    }
    assert {name: cited for name, cited in missing.items() if cited} == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Source: docs/rules.md, Billable minutes (the customer's wording).", []),
        ("Source: docs/rules.md, Texts.", []),
        ("Source: docs/rules.md", []),
        ("Source: docs/rules.md, Fax machines.", ["docs/rules.md, Fax machines"]),
        ("Source: domain.md, Texts.", ["domain.md"]),
    ],
)
def test_a_citation_that_leads_nowhere_is_seen(text: str, wanted: list[str]) -> None:
    assert list(uncited(text)) == wanted


# ------------------------------------------------------------------ promises

ATTACK = re.compile(r"`(tests/[\w/]+\.py)`((?:, `test_\w+`)+)")


def test_each_promise_of_security_names_an_attack_that_is_there() -> None:
    promises = section(text_of(ROOT / "docs" / "security.md"), "Promises, and the attack on each")
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert rows
    for row in rows:
        attacks = ATTACK.findall(row)
        assert attacks, row
        for file, names in attacks:
            for name in re.findall(r"test_\w+", names):
                assert re.search(rf"def {name}", text_of(ROOT / file)), (file, name)


def section(text: str, heading: str) -> str:
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


# ------------------------------------------------------------------ decisions

STATUS = re.compile(r"^Status: (accepted|superseded by \d{4}), 20\d\d-\d\d-\d\d\.")


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("*.md")), ids=name_of)
def test_a_decision_says_what_was_decided_and_whether_it_stands(path: Path) -> None:
    title, blank, status, *_ = text_of(path).splitlines()
    assert title.startswith("# ")
    assert len(title.split()) >= 5, "a title that says what was decided is a sentence"
    assert blank == ""
    assert STATUS.match(status)


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(path.name[:4] for path in DECISIONS.glob("*.md"))
    assert numbers == [f"{n + 1:04}" for n in range(len(numbers))]


# ------------------------------------------------------------------ what the host of the code reads

FORMS = [
    # file                                    | its schema
    (".github/workflows/test.yml",              "vendor.github-workflows"),
    (".github/ISSUE_TEMPLATE/config.yml",       "vendor.github-issue-config"),
    (".github/ISSUE_TEMPLATE/wrong-charge.yml", "vendor.github-issue-forms"),
    (".github/ISSUE_TEMPLATE/fault.yml",        "vendor.github-issue-forms"),
    (".github/ISSUE_TEMPLATE/wish.yml",         "vendor.github-issue-forms"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "schema"), FORMS, ids=[name for name, _ in FORMS])
def test_a_form_or_workflow_is_what_its_schema_says(name: str, schema: str) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, name]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_form_and_workflow_is_checked() -> None:
    there = {name_of(path) for path in (ROOT / ".github").rglob("*.yml")}
    assert there == {name for name, _ in FORMS}


def test_the_workflow_runs_what_a_contributor_runs() -> None:
    workflow = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "test.yml")
    runs = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert runs[-1] == ".ci/run"
    assert text_of(ROOT / ".ci" / "run").splitlines()[-1] == "exec make test"


def test_a_hook_runs_a_tool_of_the_environment_and_fetches_nothing() -> None:
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")
    checks = re.search(r"^check:.*\n((?:\t.*\n)+)", text_of(ROOT / "Makefile"), re.MULTILINE)
    assert checks
    tools = set(re.findall(r"\$\(BIN\)/(\w+)", checks[1]))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    (repo,) = hooks["repos"]
    for hook in repo["hooks"]:
        tool, *_ = hook["entry"].split()
        assert Path(tool).parent == Path(".venv/bin")
        assert Path(tool).name in tools
        assert hook["language"] == "system"
