"""The statement as CSV. The same numbers as the page and the API, digit for digit."""

import csv
import io
from typing import Any

COLUMNS = (
    "account_id", "month", "zone", "as_of", "status", "currency",
    "line", "direction", "quantity", "unit", "count", "segments", "average_price", "charge",
)  # fmt: skip


def statement_to_csv(statement: dict[str, Any]) -> str:
    """A row for each line, then the row `total`; what the statement says of itself on each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
    writer.writeheader()
    head = {name: statement[name] for name in COLUMNS[:6]}
    writer.writerows(head | line for line in statement["lines"])
    writer.writerow(head | {"line": "total", "charge": statement["total"]})
    return text.getvalue()
