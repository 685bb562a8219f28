"""Files of charges and statements: the figures of the API, to the last digit, in each format."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet
import pytest

from streams.formats import tables
from streams.formats.registry import EXPORTERS
from streams.store.events import Filter, read_sum
from streams.store.exports import harmless, read_all_charges
from streams.web import charges, export
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

AT = datetime(2026, 1, 10, 15, 0, 0, 250_000, tzinfo=UTC)
JANUARY = date(2026, 1, 1)
EVENTS = "/v1/accounts/acme/events"
ROW = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}row"
CELL = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}c"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("exports") / "store") as filled:
        for n in range(20):
            filled.call(AT + timedelta(hours=9 * n), seconds=31 * n, id=f"c{n}", user_id="=1+1")
            filled.text(AT, id=f"t{n}", campaign_id="-2+3", status="failed" if n % 5 else "sent")
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, Served(filled) as served:
        patch.setattr(charges, "PAGE_ROWS", 7)
        yield served


# ------------------------------------------------------------------ read back as a reader would


def rows_of(ending: str, file: bytes) -> Rows:
    """A file's rows; each value as text, as the API has it."""
    if ending == "csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(file.decode(), newline=""))]
    if ending == "json":
        return [{name: as_cell(value) for name, value in row.items()} for row in json.loads(file)]
    if ending == "parquet":
        found = pa.parquet.read_table(io.BytesIO(file)).to_pylist()
        return [{name: as_cell(value) for name, value in row.items()} for row in found]
    head, *rows = cells_of(file)
    names = [head[column] for column in head]
    return [{n: row.get(c, "") for n, c in zip(names, head, strict=True)} for row in rows]


def as_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        text = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip(".")
        return f"{text}Z"
    return f"{value:%Y-%m}" if isinstance(value, date) else str(value)


def cells_of(file: bytes) -> list[dict[str, str]]:
    """Each row of a workbook as its cells by column. A cell that is a formula fails."""
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        names = sorted(name for name in book.namelist() if "worksheets/sheet" in name)
        sheets = [ElementTree.fromstring(book.read(name)) for name in names]
    rows = []
    for index, sheet in enumerate(sheets):
        for row in list(sheet.iter(ROW))[bool(index) :]:
            cells = {}
            for cell in row.iter(CELL):
                column = re.sub("[0-9]", "", cell.attrib["r"])
                (value,) = cell
                assert not value.tag.endswith("}f"), "a formula"
                text = "".join(value.itertext())
                kind = cell.attrib.get("t", "n")
                cells[column] = text if kind != "n" else as_cell(Decimal(text))
                if kind == "b":
                    cells[column] = {"1": "true", "0": "false"}[text]
            rows.append(cells)
    return rows


def by_key(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: (row["month"], row["line"], row["identity"]))


def without_apostrophes(rows: Rows) -> Rows:
    return [{name: re.sub("^'", "", value) for name, value in row.items()} for row in rows]


FILTERS: list[dict[str, str]] = [
    {},
    {"line": "texts", "status": "sent"},
    {"from": "2026-01-11", "to": "2026-01-13"},
    {"campaign": "none such"},
]


@pytest.mark.parametrize("chosen", FILTERS, ids=str)
@pytest.mark.parametrize("ending", EXPORTERS)
def test_a_file_has_the_rows_of_the_api_to_the_last_digit(
    served: Served, ending: str, chosen: dict[str, str]
) -> None:
    told = served.get(EVENTS, params={"month": MONTH, "limit": 500} | chosen).json()
    answer = served.get(f"{EVENTS}.{ending}", params={"month": MONTH} | chosen)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(EXPORTERS[ending].media_type)
    assert f'.{ending}"' in answer.headers["content-disposition"]
    rows = rows_of(ending, answer.content)
    if ending == "csv":
        assert {row["user_id"] for row in rows} <= {"", "'=1+1"}
        assert {row["campaign_id"] for row in rows} <= {"", "'-2+3"}
        assert {row["from"] for row in rows} <= {"", "+14155550100"}
        rows = without_apostrophes(rows)
    wanted = [{name: as_cell(value) for name, value in row.items()} for row in told["rows"]]
    assert by_key(rows) == by_key(wanted)
    assert sum(Decimal(row["charge"]) for row in rows) == sum(
        Decimal(one["charge"]) for one in told["sums"]
    )


@pytest.mark.parametrize("ending", ["xlsx", "parquet"])
def test_a_statement_has_the_rows_of_its_csv_file(served: Served, ending: str) -> None:
    path = f"/v1/accounts/acme/usage.%s?month={MONTH}"
    wanted = rows_of("csv", served.get(path % "csv").content)
    rows = rows_of(ending, served.get(path % ending).content)
    for row in (*wanted, *rows):
        row["as_of"] = ""
        if row["row"] == "total":  # of money with two places; a decimal has none
            row["charge"] = as_cell(Decimal(row["charge"]))
    assert rows == wanted


def test_a_statement_as_json_is_the_statement(served: Served) -> None:
    statement = served.get(f"/v1/accounts/acme/usage?month={MONTH}").json()
    as_json = served.get(f"/v1/accounts/acme/usage.json?month={MONTH}").json()
    assert as_json | {"as_of": ""} == statement | {"as_of": ""}


# ------------------------------------------------------------------ page by page


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_pages_have_each_charge_once_whatever_their_size(filled: Filled, rows: int) -> None:
    chosen = Filter((JANUARY,))
    pages = list(read_all_charges(filled.ledger, "acme", chosen, as_text=False, rows=rows))
    assert all(page.num_rows <= rows for page in pages)
    whole = pa.concat_tables(pages)
    keys = set(zip(whole["line"].to_pylist(), whole["identity"].to_pylist(), strict=True))
    assert len(keys) == whole.num_rows == read_sum(filled.ledger, "acme", chosen).rows


def test_a_workbook_goes_on_in_another_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SHEET_ROWS", 4)
    pages = [pa.table({"n": [1, 2, 3, 4]}), pa.table({"n": [5, 6, 7]})]
    file = b"".join(tables.rows_to_xlsx(iter(pages)))
    assert [row["A"] for row in cells_of(file)[1:]] == [str(n) for n in range(1, 8)]
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        assert sum("worksheets/sheet" in name for name in book.namelist()) == 3


EXACT = [
    # decimal               | in the file                | as
    ("0.0079",                "0.0079",                    "n"),
    ("123456.789012345",      "123456.789012345",          "n"),
    ("123456789.000000001",   "123456789.000000001",       "s"),
    ("0.000000001",           "0.000000001",               "n"),
    ("-2.50",                 "-2.5",                      "n"),
]  # fmt: skip


@pytest.mark.parametrize(("decimal", "shown", "kind"), EXACT)
def test_a_decimal_that_a_spreadsheet_would_round_is_text(
    decimal: str, shown: str, kind: str
) -> None:
    column = pa.array([Decimal(decimal)], pa.decimal128(18, 9))
    file = b"".join(tables.rows_to_xlsx(iter([pa.table({"charge": column})])))
    assert cells_of(file)[1] == {"A": shown}
    with zipfile.ZipFile(io.BytesIO(file)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert ('t="inlineStr"' in sheet.partition('r="A2"')[2]) is (kind == "s")


HARMLESS = [
    # cell            | in the CSV file
    ("=1+1",            "'=1+1"),
    ("+1+1",            "'+1+1"),
    ("-1+1",            "'-1+1"),
    ("@SUM(A1)",        "'@SUM(A1)"),
    ("\t=1",            "'\t=1"),
    ("\r=1",            "'\r=1"),
    ("\n+14155550100",  "'\n+14155550100"),
    ("+14155550100\n",  "'+14155550100\n"),
    ("+14155550100",    "+14155550100"),
    ("-0.5",            "-0.5"),
    ('a"b,c',           'a"b,c'),
    ("",                ""),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "shown"), HARMLESS)
def test_no_cell_of_a_file_of_charges_is_a_formula(filled: Filled, cell: str, shown: str) -> None:
    file = filled.ledger.search_file(f"SELECT {harmless('{cell:String}')}", {"cell": cell}, "CSV")
    assert list(csv.reader(io.StringIO(file.decode(), ""))) == [[shown]]
    page = pa.table({"a": [cell, "x"], "b": ["y", "z"]})
    with_it = b"".join(tables.rows_to_xlsx(iter([page])))
    assert cells_of(with_it)[1].get("A", "") == cell.replace("\r", "_x000D_")


def test_an_accounts_exports_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORTS_MOST", 0)
    answer = served.get(f"{EVENTS}.csv?month={MONTH}")
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    monkeypatch.undo()
    assert served.get(f"{EVENTS}.csv?month={MONTH}").status_code == 200


def test_a_filter_that_is_none_is_refused_before_a_file_begins(served: Served) -> None:
    for ending in EXPORTERS:
        answer = served.get(f"{EVENTS}.{ending}?from=2026-02-01&to=2026-01-01")
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
