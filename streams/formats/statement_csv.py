"""The statement as CSV. The same numbers as the page and the API, digit for digit."""

import csv
import io
from collections.abc import Iterator
from typing import Any

COLUMNS = (
    "account_id", "month", "zone", "as_of", "status", "currency",
    "row", "line", "direction", "media", "registered", "level", "authorities", "reason", "since",
    "amount", "free", "quantity", "unit", "segments", "unknown", "average_price", "charge",
)  # fmt: skip
TOTALS = ("usage_total", "products_total", "total")


def statement_to_csv(statement: dict[str, Any]) -> bytes:
    """The rows of a statement as the text of a file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(
        row | {name: as_text(row[name]) for name in ("account_id", "authorities") if name in row}
        for row in statement_rows(statement)
    )
    return text.getvalue().encode()


def statement_rows(statement: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each line, each part of one, what waits, and each total, told apart by `row`.

    Rows of one `row` can be summed: the charges of `line` are the total, exactly; those of `part`
    are their lines'. What the statement says of itself stands on each.
    """
    head = {name: statement[name] for name in COLUMNS[:6]}
    for line in statement["lines"]:
        yield head | _cells(line) | {"row": "line"}
        for part in line["parts"]:
            yield head | {"line": line["line"]} | _cells(part) | {"row": "part"}
    for waiting in statement["waiting"]["reasons"]:
        yield head | waiting | {"row": "waiting", "line": "waiting", "amount": waiting["count"]}
    for name in TOTALS:
        yield head | {"row": "total", "line": name, "charge": statement[name]}


def as_text(cell: str) -> str:
    """A text that a spreadsheet shows and never runs: `=1+1` gets an apostrophe before it."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else cell


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A line or part as cells: true and false as in JSON, what there is none of empty."""
    cells = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in row.items()
        if value is not None
    }
    if "authorities" in cells:
        cells["authorities"] = "; ".join(cells["authorities"])
    return cells
