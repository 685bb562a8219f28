"""The command `rater`: what it prints, what it writes, and its exit status.

As a process of its own where that is the point, else in this one, which is quicker.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

import schemas
from rater import __version__
from rater.statement import part_title
from streams.base.settings import Settings
from streams.cli.main import ENTRIES, main
from streams.formats.registry import IMPORTERS
from streams.kafka.simulate import Simulator
from tests import oracle
from tests.conftest import Done, MakeLedger, call, comparable, environment, number, recording, text
from tests.support.readings import csv_differences

PROGRAM = "from streams.cli.main import main; main()"
CLASS_NAME = re.compile(r"[a-z](Error|Exception|Family)\b|Traceback|<")
QUICKLY_S = 20  # one of ours takes a second; a machine under load takes several
Rater = Callable[..., Done]


@pytest.fixture
def rater(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Rater:
    """Runs `rater ARGUMENTS...` here, in an empty folder, variables as keywords."""

    def run(*arguments: str | Path, **variables: str) -> Done:
        capfd.readouterr()
        with environment(**variables), pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["rater", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                main()
        said = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, said.out, said.err)

    return run


@pytest.fixture
def process(tmp_path: Path, command_env: dict[str, str]) -> Rater:
    """The same as a process of its own."""

    def run(*arguments: str | Path, **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            cwd=tmp_path,
            env=command_env | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nothing listens, and nothing will while the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join((x if isinstance(x, bytes) else orjson.dumps(x)) + b"\n" for x in lines)
    )
    return path


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def one_line(text: str) -> str:
    """The only line of a text: a log collector makes an entry of each."""
    (line,) = text.rstrip("\n").split("\n")
    return line


# ------------------------------------------------------------------ help and wrong use

COMMANDS = [
    (),
    ("rate",),
    ("tariff",),
    ("tariff", "check"),
    ("usage",),
    ("monthly",),
    ("migrate",),
    ("topics",),
    ("topics", "create"),
    ("topics", "grant"),
    ("send",),
    ("simulate",),
    ("worker",),
    ("api",),
    ("demo",),
    ("audit",),
    ("reconcile",),
    ("dlq",),
    ("dlq", "list"),
    ("dlq", "show"),
    ("dlq", "replay"),
    ("parked",),
    ("parked", "list"),
    ("parked", "retry"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_commands_help_reads(rater: Rater, command: tuple[str, ...]) -> None:
    done = rater(*command, "--help")
    assert (done.status, done.err) == (0, "")
    usage, _, says = done.out.strip().partition("\n")
    assert re.match(rf"Usage: .*{' '.join(command)}", usage)
    assert re.search(r"^ [A-Z][^.]{20,}\.", says, re.MULTILINE)
    commands = {one[0] for one in COMMANDS if len(one) == 1} if not command else set()
    assert commands <= set(re.findall(r"[a-z]+", says))


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_every_commands_help_ends_with_an_example_of_it(
    rater: Rater, command: tuple[str, ...]
) -> None:
    said = " ".join(rater(*command, "--help").out.split())
    words = shlex.split(said.rpartition("Example: ")[2])
    program = words.index("rater")
    for name in words[:program]:
        assert name.partition("=")[0].removeprefix("RATER_").lower() in Settings.model_fields
    arguments = words[program + 1 :]
    assert arguments[: len(command)] == list(command)
    assert rater(*arguments, "--help").status == 0  # an option that is none is wrong use


def test_rater_alone_shows_its_commands_under_headings(rater: Rater) -> None:
    for done in (rater(), rater("--help")):
        assert done.err == ""
        shown = [line.strip("╭─╮ ") for line in done.out.splitlines() if line.startswith("╭")]
        assert shown == ["Options", *dict.fromkeys(entry.heading for entry in ENTRIES)]


@pytest.mark.parametrize("command", ["usage", "monthly"])
def test_the_month_is_this_one_where_none_is_said(rater: Rater, command: str) -> None:
    assert "[default: (this month)]" in " ".join(rater(command, "--help").out.split())


def test_a_shell_completes_commands(process: Rater) -> None:
    asked = {"_RATER_COMPLETE": "complete_bash", "COMP_WORDS": "rater us", "COMP_CWORD": "1"}
    assert process(**asked).out.split() == ["usage"]


def test_no_output_has_escape_codes_where_it_is_no_terminal(
    process: Rater, tmp_path: Path, closed_port: str
) -> None:
    service = process("api", RATER_CLICKHOUSE_URL=f"http://{closed_port}", RATER_OPS_PORT="0")
    for done in (process("--help"), process("rate", "missing"), service):
        assert "\x1b" not in done.out + done.err
    book = process("tariff", "check", write(tmp_path / "book.toml", b'currency = "x"'), NO_COLOR="")
    assert book.err
    assert "\x1b" not in book.err


# ------------------------------------------------------------------ misspelt settings

MISSPELT = [
    # variable                  | what is said of it
    ("RATER_KAFKA_BOOSTRAP",      "; did you mean RATER_KAFKA_BOOTSTRAP?"),
    ("rater_web_prot",            "; did you mean RATER_WEB_PORT?"),
    ("RATER_COLOUR_OF_THE_MOON",  ""),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "advice"), MISSPELT)
def test_a_misspelt_setting_is_named_once_without_its_value(
    rater: Rater, variable: str, advice: str
) -> None:
    done = rater("tariff", "check", schemas.SAMPLE_TARIFF, **{variable: "s3cret"})
    assert done.status == 0
    assert one_line(done.err) == f"{variable} is no setting and is ignored{advice}"
    assert "s3cret" not in done.out + done.err


def test_the_version_is_the_packages(process: Rater) -> None:
    assert process("--version") == Done(0, __version__ + "\n", "")


WRONG_USE = [
    # arguments                                         | the line names
    (["nonsense"],                                        "nonsense"),
    (["rate"],                                            "FILES"),
    (["rate", "missing.jsonl"],                           "missing.jsonl"),
    (["rate", "{file}", "--format", "xml"],               "xml"),
    (["rate", "{file}", "--frmat", "json"],               "--frmat"),
    (["rate", "{file}", "--tariff", "missing.toml"],      "missing.toml"),
    (["usage"],                                           "ACCOUNT"),
    (["usage", "acme", "--month", "2026-13"],             "2026-13"),
    (["usage", "acme", "--month", "August"],              "August"),
    (["usage", "acme", "--month", "2026-8-1"],            "2026-8-1"),
    (["demo", "--port", "70000"],                         "--port"),
    (["demo", "--history", "3 months"],                   "90d"),
    (["demo", "--history", "0d"],                         "90d"),
    (["demo", "--history", "401d"],                       "400d"),
    (["simulate", "--rate", "0"],                         "rate"),
    (["send", "missing.jsonl"],                           "missing.jsonl"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "names"), WRONG_USE, ids=[" ".join(a) for a, _ in WRONG_USE])
def test_wrong_use_is_status_2_and_says_what_is_wrong(
    rater: Rater, tmp_path: Path, arguments: list[str], names: str
) -> None:
    file = write(tmp_path / "in" / "events.jsonl", call())
    before = files_below(tmp_path)
    done = rater(*(argument.format(file=file) for argument in arguments))
    assert (done.status, done.out) == (2, "")
    assert names.lower() in done.err.lower()
    assert "Traceback" not in done.err
    assert files_below(tmp_path) == before


def test_a_wrong_setting_is_one_clear_line_that_names_the_variable(
    process: Rater, tmp_path: Path
) -> None:
    file = write(tmp_path / "events.jsonl", call())
    done = process("rate", file, RATER_WEB_PORT="eighty")
    assert (done.status, done.out) == (2, "")
    assert one_line(done.err).startswith("RATER_WEB_PORT='eighty': ")


def test_a_web_open_to_the_world_without_tokens_is_one_clear_line(rater: Rater) -> None:
    done = rater("api", RATER_WEB_HOST="0.0.0.0")
    assert (done.status, done.out) == (2, "")
    assert one_line(done.err).startswith("RATER_WEB_HOST 0.0.0.0 is reachable from outside")


# ------------------------------------------------------------------ rate

NAMES = (
    "account_id", "event_id", "line", "direction", "occurred_at", "raw_seconds", "billed", "unit",
    "unit_price", "charge", "tax_federal", "tax_state", "tax_local", "tax_status", "currency",
    "tariff", "tariff_version", "rule", "status",
)  # fmt: skip
UNITS = {"minute", "second", "text", "segment", "message", "call", "number", "item"}


def test_json_rows_have_the_conventions_names_and_exact_strings_and_nothing_is_written(
    rater: Rater, tmp_path: Path
) -> None:
    file = write(tmp_path / "events.jsonl", call(), text(), number())
    before = files_below(tmp_path)
    done = rater("rate", file, "--json")
    assert done.status == 0
    rows = [orjson.loads(line) for line in done.out.splitlines()]
    assert [row["line"] for row in rows] == ["calls", "texts", "carrier_fees"]
    for row in rows:
        assert set(NAMES) <= row.keys()
        assert row["unit"] in UNITS
    amounts = ("unit_price", "charge", "tax_federal", "tax_state", "tax_local")
    assert [rows[0][name] for name in amounts] == [
        "0.013", "0.026", "0.00607464", "0.00065", "0.000767",
    ]  # fmt: skip
    assert (rows[0]["raw_seconds"], rows[0]["billed"], rows[0]["unit"]) == (61, 2, "minute")
    assert (rows[0]["occurred_at"], rows[0]["status"]) == ("2026-08-10T12:00:00Z", "rated")
    assert "1 monthly" in done.err
    assert files_below(tmp_path) == before


def test_rating_without_json_prints_a_summary_and_writes_nothing(
    rater: Rater, tmp_path: Path
) -> None:
    file = write(tmp_path / "events.jsonl", call(), text())
    before = files_below(tmp_path)
    done = rater("rate", file)
    assert (done.status, done.err) == (0, "")
    assert one_line(done.out) == (
        "events.jsonl: 2 events in 3 charges, 0.0369 USD and 0.00773654 tax; "
        "0 monthly states, 0 parked, 0 rejected"
    )
    assert files_below(tmp_path) == before


def test_rejects_and_parked_events_are_named_by_file_and_line_and_the_status_is_3(
    process: Rater, tmp_path: Path
) -> None:
    early = text(sent_at="2010-01-01T00:00:00Z")
    one = write(tmp_path / "one.jsonl", call(), b"", b"{", early)
    two = write(tmp_path / "two.jsonl", *(call(id=f"c{n}") for n in range(99)), call(to="nobody"))
    done = process("rate", one, two, "--json")
    assert done.status == 3
    assert len(done.out.splitlines()) == 100
    lines = [re.match(r"(\S+?):(\d+): (rejected|parked) \((\w+)\): .{20,}", x) for x in
             done.err.splitlines()]  # fmt: skip
    assert [match.groups() for match in lines if match] == [
        ("one.jsonl", "3", "rejected", "bad_json"),
        ("one.jsonl", "4", "parked", "no_version"),
        ("two.jsonl", "100", "rejected", "bad_number"),
    ]
    assert "1 parked, 1 rejected" in done.err


def test_a_field_that_no_kind_has_is_named_once_with_the_one_that_is_meant(
    rater: Rater, tmp_path: Path
) -> None:
    lines = [text(id=f"t{n}", carier="AT&T") for n in range(3)] + [call() | {"+14155550100": 1}]
    done = rater("rate", write(tmp_path / "events.jsonl", *lines))
    assert done.status == 0
    assert done.err.splitlines() == [
        "events.jsonl: carier of text events is unknown and ignored; did you mean carrier?",
        "events.jsonl: a field of call events that has no name of letters is unknown and ignored",
    ]


def charges_said(line: str) -> tuple[int, str]:
    match = re.search(r"(\d+) charges, (\S+) USD", line)
    assert match, line
    return int(match[1]), match[2]


def test_what_is_printed_is_what_the_ledger_charges(rater: Rater, tmp_path: Path) -> None:
    """Copies and the losers of conflicts were summed, and after a change of prices what was rated
    now was printed, though what is in the ledger stands."""
    book = tmp_path / "book.toml"
    prices = (
        'currency = "USD"\n[accounts.default]\ntariff = "t"\nzone = "UTC"\n[[tariff]]\nname = "t"\n'
        "valid_from = 2012-01-01T00:00:00Z\n"
        + "".join(
            f'[[tariff.price]]\nline = "{line}"\nunit = "{unit}"\nrate = RATE\nfree = ["failed"]\n'
            for line, unit in (("calls", "minute"), ("texts", "text"), ("carrier_fees", "message"))
        )
    )
    moved = call(
        dialed_at="2026-07-31T23:59:00Z", answered_at=None, ended_at="2026-08-01T00:00:59Z"
    )
    one = write(
        tmp_path / "one.jsonl", call(), call(), call(to="+13105550101"), text(status="sent")
    )
    two = write(tmp_path / "two.jsonl", text(status="failed"), moved, call(id="other"))
    store = tmp_path / "store"
    for rate, more in (("0.01", []), ("0.01", ["--store", store]), ("0.02", ["--store", store])):
        book.write_text(prices.replace("RATE", rate))
        done = rater("rate", one, two, "--tariff", book, *more)
        assert done.status == 0
        of_one, _, together = done.out.splitlines()
        if rate == "0.01":  # a call of two minutes; a text and its fee, which are free at the end
            assert charges_said(of_one) == (3, "0.04")
            assert charges_said(together) == (4, "0.04")
        assert charges_said(together) == (4, "0.04")
        assert ("as the ledger has them" in together) == bool(more)
        assert ("what was there first stands" in done.err) == bool(more)
        rows = rater("rate", one, two, "--tariff", book, "--json").out.splitlines()
        assert len(rows) == 4
    shown = rater("usage", "acme", "--month", "2026-08", "--store", store, "--json")
    assert orjson.loads(shown.out)["usage_total"] == "0.04"


def test_prices_edited_in_place_are_told_of_by_a_check_against_the_book_in_force(
    rater: Rater, tmp_path: Path
) -> None:
    sample = schemas.SAMPLE_TARIFF.read_text()
    for file in schemas.SAMPLE_TARIFF.parent.iterdir():
        if file.suffix in (".csv", ".toml"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    edited = tmp_path / "edited.toml"
    edited.write_text(sample.replace("rate = 0.0085", "rate = 0.0095"))
    against = ("--against", schemas.SAMPLE_TARIFF)
    done = rater("tariff", "check", edited, *against)
    assert done.status == 0
    assert "standard@2012-01-01T00:00:00Z has other prices than in" in done.err
    edited.write_text(sample)
    assert rater("tariff", "check", edited, *against).err == ""


def test_of_many_rejects_of_one_reason_some_are_said_and_the_rest_are_counted(
    rater: Rater, tmp_path: Path
) -> None:
    early = text(sent_at="2010-01-01T00:00:00Z")
    file = write(tmp_path / "bad.jsonl", *[b"{"] * 50, *(early | {"id": f"{n}"} for n in range(31)))
    said = rater("rate", file).err.splitlines()
    assert len(said) == 20 + 20 + 2
    assert said[-2:] == [
        "bad.jsonl: 30 more rejected (bad_json)",
        "bad.jsonl: 11 more parked (no_version)",
    ]


def test_parked_events_alone_are_no_rejects(rater: Rater, tmp_path: Path) -> None:
    file = write(tmp_path / "early.jsonl", text(sent_at="2010-01-01T00:00:00Z"))
    done = rater("rate", file)
    assert done.status == 0
    assert "1 parked, 0 rejected" in " ".join(done.out.split())


# ------------------------------------------------------------------ rate --store, usage, monthly


def some_traffic() -> list[dict[str, object]]:
    """Three months of an account's events, of every kind."""
    simulator = Simulator(seed=21, accounts=1)
    events = [orjson.loads(simulated.value) for simulated in simulator.opening()]
    now = datetime(2026, 7, 31, 20, tzinfo=UTC)
    for n in range(250):
        events += [
            orjson.loads(simulated.value)
            for simulated in simulator.happen(now + n * timedelta(hours=8, minutes=7))
        ]
    return [*events, recording(), recording(id="r2", deleted_at="2026-09-03T00:00:00Z")]


def test_a_file_rated_into_a_store_has_the_oracles_statement_and_twice_the_same(
    rater: Rater, process: Rater, tmp_path: Path, oracle_book: oracle.Book
) -> None:
    events = some_traffic()
    file, store = write(tmp_path / "events.jsonl", *events), tmp_path / "store"
    expected = oracle.rate_lines(events, oracle_book)
    seen = []
    for run in (process, rater):
        done = run("rate", file, "--store", store)
        assert (done.status, done.err) == (0, "")
        shown = run("usage", "acme", "--month", "2026-08", "--store", store, "--json")
        assert (shown.status, shown.err) == (0, "")
        statement = orjson.loads(shown.out)
        assert comparable(statement) == expected.statement("acme", "2026-08")
        assert statement["status"] == "estimate"
        assert len(statement["products"]) == 2
        del statement["as_of"]
        seen.append(statement)
    assert seen[0] == seen[1]

    table = rater("usage", "acme", "--month", "2026-08", "--store", store)
    assert table.status == 0
    assert Decimal(seen[0]["total"]) > 0
    assert f"{seen[0]['total']} USD" in table.out
    for line in seen[0]["lines"]:
        if line["parts"]:
            assert all(part_title(part) in table.out for part in line["parts"])
    as_csv = rater("usage", "acme", "--month", "2026-08", "--store", store, "--csv")
    assert as_csv.status == 0
    assert list(csv_differences(as_csv.out, expected.statement("acme", "2026-08"))) == []
    both = rater("usage", "acme", "--month", "2026-08", "--store", store, "--csv", "--json")
    assert (both.status, both.out) == (2, "")
    for account, month in (("acme", "2019-01"), ("acme", "2100-01"), ("nobody", "2026-08")):
        never = rater("usage", account, "--month", month, "--store", store)
        assert (never.status, never.out) == (1, "")
        assert account in one_line(never.err)
    assert "America/New_York" in table.out

    again = rater("monthly", "--month", "2026-09", "--store", store)
    assert again.status == 0
    assert re.match(r"2026-09: [1-9]\d* monthly charges made, 0 things without", again.out)
    shown = rater("usage", "acme", "--month", "2026-09", "--store", store, "--json")
    assert comparable(orjson.loads(shown.out)) == expected.statement("acme", "2026-09")


def test_migrating_a_store_twice_does_nothing_the_second_time(rater: Rater, tmp_path: Path) -> None:
    names = sorted(path.name for path in schemas.MIGRATIONS.glob("*.sql"))
    applied = "".join(f"applied {name}\n" for name in names)
    assert rater("migrate", "--store", tmp_path / "store") == Done(0, applied, "")
    assert rater("migrate", "--store", tmp_path / "store") == Done(0, "nothing to do\n", "")


READS = [
    ["usage", "acme"],
    ["audit", "--offline"],
    ["monthly"],
    ["dlq", "list"],
    ["dlq", "show", "usage.call.v1", "0", "1"],
    ["dlq", "replay", "--all"],
    ["parked", "list"],
    ["parked", "retry"],
    ["reconcile", "--from-kafka"],
]


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
def test_what_reads_a_store_makes_none(rater: Rater, tmp_path: Path, arguments: list[str]) -> None:
    before = files_below(tmp_path)
    done = rater(*arguments, "--store", tmp_path / "none")
    assert (done.status, done.out) == (2, "")
    assert one_line(done.err).startswith(f"no store at {tmp_path / 'none'}; ")
    assert files_below(tmp_path) == before


def test_the_page_is_served_of_a_store_that_is_there(process: Rater, tmp_path: Path) -> None:
    done = process("api", RATER_CLICKHOUSE_URL=f"chdb:{tmp_path / 'none'}", RATER_OPS_PORT="0")
    assert (done.status, done.out) == (1, "")
    assert one_line(done.err).startswith(f"no store at {tmp_path / 'none'}; ")
    assert not (tmp_path / "none").exists()


def test_a_store_that_another_process_holds_is_one_clear_line_that_names_it(
    process: Rater, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    make_ledger()
    done = process("usage", "acme", "--month", "2026-08", "--store", tmp_path / "store-0")
    assert (done.status, done.out) == (1, "")
    line = one_line(done.err)
    assert line.startswith(
        f"the store at {tmp_path / 'store-0'} is in use by process {os.getpid()}"
    )
    assert "pytest" in line or "python" in line


# ------------------------------------------------------------------ tariff check


def test_the_sample_tariff_has_no_mistakes(rater: Rater) -> None:
    done = rater("tariff", "check", schemas.SAMPLE_TARIFF)
    assert (done.status, done.err) == (0, "")
    assert one_line(done.out) == f"{schemas.SAMPLE_TARIFF}: no mistakes"


def test_every_mistake_of_a_tariff_is_said_at_once_with_its_line(
    rater: Rater, tmp_path: Path
) -> None:
    book = tmp_path / "book.toml"
    book.write_text(
        'currency = "USD"\n'
        "[accounts.default]\n"
        'tariff = "standard"\n'
        'zone = "Mars/Olympus"\n'
        "[[tariff]]\n"
        'name = "standard"\n'
        "[[tariff.price]]\n"
        'line = "calls"\n'
        'unit = "minute"\n'
        "rate = -0.5\n"
        "[[tariff.price]]\n"
        'line = "cals"\n'
        'unit = "minute"\n'
        "rate = 1\n"
    )
    done = rater("tariff", "check", book)
    assert (done.status, done.out) == (1, "")
    said = done.err.splitlines()
    for part, line in (("Mars/Olympus", 2), ("-0.5", 7), ("cals", 11)):
        assert any(
            part in mistake and re.match(rf"\S*book\.toml:{line}: ", mistake) for mistake in said
        ), done.err
    loading = rater("rate", write(tmp_path / "events.jsonl", call()), "--tariff", book)
    assert loading.status == 2
    assert "Mars/Olympus" in loading.err


def test_a_tariff_file_that_is_missing_is_wrong_use(rater: Rater) -> None:
    done = rater("tariff", "check", "missing.toml")
    assert (done.status, done.out) == (2, "")
    assert "missing.toml" in done.err


def test_a_book_that_sells_calls_alone_has_warnings_and_no_mistakes(
    rater: Rater, tmp_path: Path
) -> None:
    book = tmp_path / "book.toml"
    head = (
        'currency = "USD"\n[accounts.default]\ntariff = "t"\nzone = "UTC"\n'
        '[[tariff]]\nname = "t"\nvalid_from = 2012-01-01T00:00:00Z\n'
    )
    calls = '[[tariff.price]]\nline = "calls"\nunit = "minute"\nrate = 0.01\n'
    book.write_text(head + calls)
    done = rater("tariff", "check", book)
    assert done.status == 0
    assert re.match(r".*: no mistakes, \d+ warnings$", one_line(done.out))
    assert all(line.startswith("warning: ") for line in done.err.splitlines())
    assert "no price for texts" in done.err
    # What keeps it from loading stands before what follows from it.
    book.write_text(head + calls.replace("calls", "cals"))
    done = rater("tariff", "check", book)
    assert done.status == 1
    assert "cals" in done.err.splitlines()[0]


# ------------------------------------------------------------------ servers that are not there

NEED_STORE = [
    ["usage", "acme", "--month", "2026-08"],
    ["migrate"],
]


@pytest.mark.parametrize("arguments", NEED_STORE, ids=" ".join)
def test_without_clickhouse_a_command_ends_quickly_with_one_clear_line(
    process: Rater, closed_port: str, arguments: list[str]
) -> None:
    started = time.monotonic()
    done = process(*arguments, RATER_CLICKHOUSE_URL=f"http://{closed_port}", RATER_WEB_PORT="0")
    assert time.monotonic() - started < QUICKLY_S
    assert (done.status, done.out) == (1, "")
    said = f"the store at http://{closed_port} can't be used: connection refused"
    assert one_line(done.err) == said


NEED_KAFKA = [
    ["topics", "create"],
    ["send", "events.jsonl"],
    ["simulate", "--seconds", "1"],
]


@pytest.mark.parametrize("arguments", NEED_KAFKA, ids=" ".join)
def test_without_kafka_a_command_ends_quickly_with_one_clear_line(
    process: Rater, tmp_path: Path, closed_port: str, arguments: list[str]
) -> None:
    write(tmp_path / "events.jsonl", call())
    started = time.monotonic()
    done = process(*arguments, RATER_KAFKA_BOOTSTRAP=closed_port)
    assert time.monotonic() - started < QUICKLY_S
    assert (done.status, done.out) == (1, "")
    assert f"Kafka at {closed_port} can't be used" in one_line(done.err)
    assert not CLASS_NAME.search(done.err)


@pytest.mark.parametrize("service", ["worker", "api"])
def test_a_service_without_its_server_ends_quickly_and_says_which_in_its_last_line(
    process: Rater, tmp_path: Path, closed_port: str, service: str
) -> None:
    variables = {"RATER_WEB_PORT": "0", "RATER_OPS_PORT": "0", "RATER_LOG_FORMAT": "json"}
    if service == "worker":
        variables["RATER_KAFKA_BOOTSTRAP"] = closed_port
        variables["RATER_CLICKHOUSE_URL"] = f"chdb:{tmp_path / 'store'}"
    else:
        variables["RATER_CLICKHOUSE_URL"] = f"http://{closed_port}"
    started = time.monotonic()
    done = process(service, **variables)
    assert time.monotonic() - started < QUICKLY_S
    assert done.status == 1
    assert "Traceback" not in done.err
    assert re.search(rf"{closed_port} can't be used", done.err.splitlines()[-1]), done.err


def test_tokens_are_made_listed_and_revoked(rater: Rater, tmp_path: Path) -> None:
    path = str(tmp_path / "tokens.toml")
    made = rater("token", "create", "acme-1", "--account", "acme", RATER_API_TOKENS_FILE=path)
    assert (made.status, len(made.out.strip())) == (0, 43)
    listed = rater("token", "list", RATER_API_TOKENS_FILE=path)
    assert listed.out.split() == ["acme-1", "acme", "read"]
    again = rater("token", "create", "acme-1", "--account", "acme", RATER_API_TOKENS_FILE=path)
    assert (again.status, again.out) == (1, "")
    assert "there is a token acme-1 already" in one_line(again.err)
    revoked = rater("token", "revoke", "acme-1", RATER_API_TOKENS_FILE=path)
    assert (revoked.status, revoked.out) == (0, "acme-1 is revoked\n")
    assert rater("token", "list", RATER_API_TOKENS_FILE=path).status == 1
    assert rater("token", "list").status == 2


def test_a_secret_file_that_is_missing_is_one_clear_line(rater: Rater) -> None:
    done = rater("migrate", RATER_CLICKHOUSE_PASSWORD_FILE="missing-secret")
    assert (done.status, done.out) == (2, "")
    assert "missing-secret" in one_line(done.err)


# ------------------------------------------------------------------ foreign files

DATA = Path(__file__).parent.parent / "data"


def test_a_foreign_file_is_rated_with_its_region(rater: Rater) -> None:
    done = rater(
        "rate", "--format", "freeswitch", "--region", "US",
        DATA / "freeswitch-8-columns.csv", "--json",
    )  # fmt: skip
    assert done.status == 0
    charges = [Decimal(orjson.loads(line)["charge"]) for line in done.out.splitlines()]
    assert charges == [Decimal(x) for x in ("0.026", "0.042", "0.005", "0", "0.25")]


def test_without_a_region_a_national_number_is_refused_and_the_message_says_what_to_do(
    rater: Rater,
) -> None:
    done = rater("rate", "--format", "freeswitch", DATA / "freeswitch-8-columns.csv", "--json")
    assert (done.status, done.out) == (3, "")
    assert done.err.count("rejected (bad_number)") == 5
    assert "--region US" in " ".join(done.err.split())
    assert "2125550100" not in done.err


WRONG_FORMATS = [
    # option             value    the message names
    ("--format",         "fax",   "json, freeswitch"),
    ("--region",         "us",    "US"),
    ("--region",         "USA",   "US"),
    ("--zone",           "Mars",  "America/New_York"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value", "named"), WRONG_FORMATS)
def test_what_is_told_of_a_file_is_checked(
    rater: Rater, option: str, value: str, named: str
) -> None:
    done = rater("rate", option, value, DATA / "freeswitch-default.csv")
    assert (done.status, done.out) == (2, "")
    assert named in done.err


def test_the_help_lists_each_format(rater: Rater) -> None:
    for command in ("rate", "send"):
        said = rater(command, "--help").out
        assert all(f"{name}:" in said for name in IMPORTERS)


# ------------------------------------------------------------------ forgetting


def old_call(**more: object) -> dict[str, object]:
    """A call of January 2024."""
    moved = dict.fromkeys(("dialed_at", "answered_at", "ended_at"), "2024-01-10T12:00:00Z")
    return call(**(moved | more))


def rate_file(rater: Rater, folder: Path, *events: dict[str, object]) -> None:
    lines = b"\n".join([*map(orjson.dumps, events), b"{bad"])
    (folder / "events.jsonl").write_bytes(lines)
    assert rater("rate", "events.jsonl", "--store", "store").status == 3


def test_forget_does_what_the_settings_say_and_no_more(rater: Rater, tmp_path: Path) -> None:
    rate_file(rater, tmp_path, old_call(), call(id="new"))
    before = rater("usage", "acme", "--month", "2024-01", "--store", "store", "--json").out
    assert rater("forget", "--store", "store").status == 2
    months = {"RATER_KEEP_NUMBERS_MONTHS": "12"}
    dry = rater("forget", "--dry-run", "--store", "store", **months)
    cut = "numbers of 2024-01 in full, cut (keys and sums stay): 1 rows"
    assert (dry.status, dry.out) == (0, f"{cut} would be\n")
    assert rater("forget", "--store", "store", **months).out == f"{cut}\n"
    assert rater("forget", "--store", "store", **months).out == ""
    after = rater("usage", "acme", "--month", "2024-01", "--store", "store", "--json").out
    assert comparable(orjson.loads(after)) == comparable(orjson.loads(before))
    kept = rater("forget", "--store", "store", RATER_KEEP_REJECTED_DAYS="1")
    assert ": 0 rows" in kept.out
    assert "1 dead letters" in rater("dlq", "list", "--store", "store").out


def test_an_account_is_erased_by_who_says_yes(rater: Rater, process: Rater, tmp_path: Path) -> None:
    rate_file(rater, tmp_path, old_call(), old_call(account_id="globex"))
    unasked = process("erase", "acme", "--store", "store")
    assert unasked.status == 130  # nobody answers
    assert "rated: 1 rows, kept" in unasked.out
    nobody = rater("erase", "nobody", "--yes", "--store", "store")
    assert (nobody.status, nobody.err) == (1, "the ledger has nothing of that account\n")
    done = rater("erase", "acme", "--yes", "--store", "store")
    assert done.status == 0
    assert "rated: 1 rows, kept, without from_number, to_number, user_id, team" in done.out
    month = ("--month", "2024-01", "--store", "store")
    assert rater("usage", "acme", *month).status == 0
    all_of_it = rater("erase", "acme", "--charges", "--yes", "--store", "store")
    assert "rated: 1 rows, removed" in all_of_it.out
    assert rater("usage", "acme", *month).status == 1
    assert rater("usage", "globex", *month).status == 0
