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
ROW = re.compile(r'<tr role="row" data-row="([^"]+)"')
LEAF = re.compile(r'<span id="([^"]+)"(?: class="tick")?>(.*?)</span>', re.DOTALL)


def leaves_of(text: str) -> dict[str, str]:
    """The text of each leaf of a page, by its id."""
    return {
        name: html.unescape(re.sub(r"<[^>]*>", "", inner)) for name, inner in LEAF.findall(text)
    }


def number_in(text: str) -> Decimal | None:
    """The number that a text begins with, as the page shows it; None is a dash."""
    digits = re.match(r"[^0-9.]*([0-9.,]+)", text)
    if digits is None:
        return None
    number = Decimal(digits[1].replace(",", ""))
    return -number if text.startswith("−") else number


def count_in(note: str, noun: str) -> Decimal | None:
    """What stands below a line's name: "1 of them free, unknown for 2 charges"."""
    found = re.search(rf"([0-9,]+) {noun}", note)
    return Decimal(found[1].replace(",", "")) if found else None


def page_differences(text: str, want: Mapping[str, Any]) -> Iterator[str]:
    """Where a page of exact amounts is not the statement, digit for digit."""
    told = leaves_of(text)
    expected = dict(rows_of_page(want))
    rows = ROW.findall(text)
    before = {key for key in rows if number_in(told.get(f"{key}-before", "")) is not None}
    if (
        set(rows) - before > expected.keys()
        or expected.keys() - set(rows)
        or len(rows) != len(set(rows))
    ):
        yield f"rows {sorted(set(rows) ^ expected.keys())} are on one side only"
    for key, row in expected.items():
        unused = not row["amount"] and row["charge"] == "0"
        note = told.get(f"{key}-note", "")
        shown = {
            "amount": number_in(told[f"{key}-amount"]),
            "segments" if "segments" in row else "quantity": number_in(told[f"{key}-billed"]),
            "average_price": number_in(told[f"{key}-price"]),
            "charge": number_in(told[f"{key}-charge"]),
            "free": count_in(note, "of them free") or Decimal(0),
        }
        if "unknown" in row and not unused:
            shown["unknown"] = count_in(note, "charge") or Decimal(0)
        for field, number in shown.items():
            value = row[field]
            exact = None if value is None or (unused and field != "free") else Decimal(value)
            if number != exact:
                yield f"{key} {field}: {number}, not {exact}"
    for name, leaf in zip(TOTALS, ("usage-total", "products-total", "total"), strict=True):
        if number_in(told[leaf]) != Decimal(want[name]):
            yield f"{name}: {told[leaf]}, not {want[name]}"


def rows_of_page(want: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of the usage list by their names; products have a list of their own."""
    for line in want["lines"]:
        key = "-".join(filter(None, (line["line"], line.get("direction", ""))))
        if line["line"] != "subscriptions":
            yield key, line
        for part in line["parts"]:
            apart = [cell(part[name]) for name in APART if name in part]
            yield "-".join((key, *apart)), part


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
