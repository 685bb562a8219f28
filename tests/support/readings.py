"""What a page and a CSV file say, read back into numbers and held against a statement."""

import csv
import html
import io
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

TOTALS = ("usage_total", "products_total", "total")
APART = ("media", "registered", "direction", "level")  # as rows of the page are named, in order
VALUE = re.compile(
    r'<span class="value" data-key="([^"]+)" data-field="([^"]+)">'
    r'<span class="main">([^<]*)</span><span class="fine">([^<]*)</span>'
)
ROW = re.compile(r'<tr role="row"(?: class="(part)")? data-row="([^"]+)"([^>]*)>')


def exact(main: str, fine: str = "") -> Decimal | None:
    """A number as the page shows it; None is a dash."""
    digits = re.sub(r"[^0-9.−]", "", html.unescape(main)).replace("−", "-")
    return Decimal(digits + fine) if digits else None


def page_differences(text: str, want: Mapping[str, Any]) -> Iterator[str]:
    """Where a page, as it comes from the server, is not the statement, digit for digit."""
    values = {(key, field): exact(main, fine) for key, field, main, fine in VALUE.findall(text)}
    shown = {key for part, key, rest in ROW.findall(text) if " hidden" not in rest}
    expected = dict(rows_of_page(want))
    if shown != expected.keys():
        yield f"rows {sorted(shown ^ expected.keys())} are on one side only"
    for key, row in expected.items():
        unused = not row["amount"] and row["charge"] == "0"
        for field in ("amount", "quantity", "segments", "free", "unknown", *MONEY):
            if field not in row or (key, field) not in values:
                continue
            told = row[field]
            counted = field in ("free", "unknown")
            number = None if told is None or (unused and not counted) else Decimal(told)
            if values[key, field] != number:
                yield f"{key} {field}: {values[key, field]}, not {number}"
        if not {(key, field) for field in ("amount", "free", *MONEY)} <= values.keys():
            yield f"{key}: not all of its numbers"
    for name in TOTALS:
        totals = re.findall(rf'data-total="{name}">([^<]*)<', text)
        if not totals or {exact(total) for total in totals} != {Decimal(want[name])}:
            yield f"{name}: {totals}, not {want[name]}"


MONEY = ("average_price", "charge")


def rows_of_page(want: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of the usage list by their names; products have a list of their own."""
    for line in want["lines"]:
        key = f"{line['line']}/{line.get('direction', '')}"
        if line["line"] != "subscriptions":
            yield key, line
        for part in line["parts"]:
            apart = [cell(part[name]) for name in APART if name in part]
            yield "/".join((key, *apart)), part


def csv_differences(text: str, want: Mapping[str, Any]) -> Iterator[str]:
    """Where a CSV file is not the statement: lines, then each one's parts, then the totals."""
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["row"] != "waiting"]
    expected = []
    for line in want["lines"]:
        expected.append({"row": "line"} | {k: v for k, v in line.items() if k != "parts"})
        expected += [{"row": "part", "line": line["line"]} | part for part in line["parts"]]
    expected += [{"row": "total", "line": name, "charge": want[name]} for name in TOTALS]
    if len(rows) != len(expected):
        yield f"{len(rows)} rows, not {len(expected)}"
    for row, told in zip(rows, expected, strict=False):
        head = {name: want[name] for name in ("account_id", "month", "zone", "currency")}
        cells = {name: cell(value) for name, value in (head | told).items()}
        cells |= {name: "" for name in row if name not in (*cells, "as_of", "status")}
        differ = {name: row.get(name) for name in cells if row.get(name) != cells[name]}
        if differ:
            yield f"{told}: {differ}"


def cell(value: Any) -> str:
    """A value of the statement as a file has it."""
    if isinstance(value, list):
        return "; ".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
