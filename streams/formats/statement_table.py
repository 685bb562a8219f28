"""The statement as a table: its rows with types, for formats that have some."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from streams.formats.statement_csv import COLUMNS, statement_rows

_COUNTS = ("amount", "free", "segments", "unknown")
_DECIMALS = ("quantity", "average_price", "charge")


def statement_table(statement: dict[str, Any]) -> Iterator[pa.Table]:
    """The rows of the statement's CSV file, in one page. What there is none of is empty."""
    rows = [
        {name: Decimal(value) if name in _DECIMALS else value for name, value in row.items()}
        for row in statement_rows(statement)
    ]
    yield pa.Table.from_pylist(rows, schema=pa.schema([(name, _type(name)) for name in COLUMNS]))


def statement_to_json(statement: dict[str, Any]) -> bytes:
    """The statement whole, as the API answers it."""
    return orjson.dumps(statement)


def _type(name: str) -> pa.DataType:
    if name in _COUNTS:
        return pa.int64()
    return pa.decimal128(38, 9) if name in _DECIMALS else pa.string()
