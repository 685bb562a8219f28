"""The statement as CSV. The same numbers as the page and the API, digit for digit."""

import csv
import io
from typing import Any

COLUMNS = (
    "account_id", "month", "zone", "as_of", "status", "currency",
    "row", "line", "direction", "media", "registered", "level", "authorities", "reason", "since",
    "amount", "free", "quantity", "unit", "segments", "unknown", "average_price", "charge",
)  # fmt: skip
TOTALS = ("usage_total", "products_total", "total")


def statement_to_csv(statement: dict[str, Any]) -> str:
    """A row for each line, each part of one, what waits, and each total, told apart by `row`.

    Rows of one `row` can be summed: the charges of `line` are the total, exactly; those of `part`
    are their lines'. What the statement says of itself stands on each.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    head = {name: statement[name] for name in COLUMNS[:6]}
    head["account_id"] = as_text(head["account_id"])
    for line in statement["lines"]:
        writer.writerow(head | _cells(line) | {"row": "line"})
        writer.writerows(
            head | {"line": line["line"]} | _cells(part) | {"row": "part"} for part in line["parts"]
        )
    for waiting in statement["waiting"]["reasons"]:
        writer.writerow(
            head | waiting | {"row": "waiting", "line": "waiting", "amount": waiting["count"]}
        )
    writer.writerows(
        head | {"row": "total", "line": name, "charge": statement[name]} for name in TOTALS
    )
    return text.getvalue()


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
        cells["authorities"] = as_text("; ".join(cells["authorities"]))
    return cells
