"""Rows of any table as a file, page by page: what is made of one page is given before the next.

Each takes pages of one shape, at least one, and gives the file in pieces.
"""

import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from rater.charge import format_us
from rater.instants import to_us
from rater.money import format_nanos, parse_nanos

SHEET_ROWS = 1_048_576  # of one sheet, its head among them; then there is a next
PIECE_BYTES = 1 << 20
PART_ROWS = 1000  # of a page, that are objects of Python at once
DIGITS = 15  # that a spreadsheet's number keeps; a decimal with more is text


def rows_to_json(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    """One array of objects, a row a line."""
    between = b"[\n"
    for page in pages:
        for part in page.to_batches(PART_ROWS):
            yield between + b",\n".join(map(orjson.dumps, part.to_pylist()))
            between = b",\n"
    yield b"[]\n" if between == b"[\n" else b"\n]\n"


def rows_to_parquet(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    """A row group a page."""
    first = next(pages)
    piece = _Piece()
    with pa.parquet.ParquetWriter(piece, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        yield piece.take()
        for page in pages:
            writer.write_table(page)
            yield piece.take()
    yield piece.take()


class _Piece(BytesIO):
    """A file that is taken away while it is written; it knows how far it is all the same."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def take(self) -> bytes:
        piece = self.getvalue()
        self._taken += len(piece)
        self.seek(0)
        self.truncate()
        return piece

    def close(self) -> None:
        """The last piece is taken after the writer has closed."""


def rows_to_xlsx(pages: Iterator[pa.Table]) -> Iterator[bytes]:
    """A workbook; it is put together in a folder of its own and sent once it is whole.

    Until then each part of a page gives an empty piece: a workbook takes long to write. No cell
    is a formula, a link or a changed number.
    """
    with tempfile.TemporaryDirectory(prefix="rater-export-") as folder:
        path = f"{folder}/rows.xlsx"
        book = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": folder})
        sheet, at = book.add_worksheet(), 0
        sheets = 0
        for page in pages:
            if not sheets:
                sheet = _sheet(book, sheets, page.column_names)
                sheets, at = 1, 1
            for part in page.to_batches(PART_ROWS):
                for cells in zip(*(column.to_pylist() for column in part.columns), strict=True):
                    if at >= SHEET_ROWS:
                        sheet = _sheet(book, sheets, page.column_names)
                        sheets, at = sheets + 1, 1
                    _write_row(sheet, at, cells)
                    at += 1
                yield b""
        book.close()
        with open(path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


def _sheet(book: xlsxwriter.Workbook, sheets: int, names: Sequence[str]) -> Worksheet:
    sheet = book.add_worksheet() if sheets else book.worksheets()[0]
    _write_row(sheet, 0, names)
    return sheet


def _write_row(sheet: Worksheet, at: int, cells: Sequence[Any]) -> None:
    for column, value in enumerate(cells):
        if isinstance(value, bool):
            sheet.write_boolean(at, column, value)
        elif isinstance(value, int) and abs(value) < 10**DIGITS:
            sheet.write_number(at, column, value)
        elif isinstance(value, Decimal):
            _write_decimal(sheet, at, column, value)
        elif value not in (None, ""):
            sheet.write_string(at, column, _text(value))


def _write_decimal(sheet: Worksheet, at: int, column: int, value: Decimal) -> None:
    if len(value.normalize().as_tuple().digits) <= DIGITS:
        sheet.write_number(at, column, value)
    else:
        sheet.write_string(at, column, format_nanos(parse_nanos(value)))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return format_us(to_us(value))
    return f"{value:%Y-%m-%d}" if isinstance(value, date) else str(value)
