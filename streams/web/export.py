"""Exports: the statement as a file. The same numbers as the page and the API, digit for digit."""

import csv
import io
import re
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


def attachment(account: str, month: str, extension: str) -> dict[str, str]:
    """The header that names the file: `usage-acme-2026-11.csv`."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"usage-{account}-{month}.{extension}")
    return {"Content-Disposition": f'attachment; filename="{name}"'}
