"""The formats of files: a new one is a file beside this one and an entry here."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from streams.formats.asterisk import read_asterisk
from streams.formats.events import read_events
from streams.formats.freeswitch import read_freeswitch
from streams.formats.importer import Importer
from streams.formats.statement_csv import statement_to_csv
from streams.formats.statement_table import statement_table, statement_to_json
from streams.formats.tables import rows_to_json, rows_to_parquet, rows_to_xlsx

IMPORTERS = {
    "json": Importer("events with their kind, a JSON a line", read_events),
    "freeswitch": Importer(
        "FreeSWITCH's CSV of calls: its default template, or 8 columns",
        read_freeswitch,
        ("account", "region", "zone"),
    ),
    "asterisk": Importer(
        "Asterisk's CSV of legs: 10 columns of cdr_custom.conf",
        read_asterisk,
        ("account", "region", "zone"),
    ),
}


class Exporter(NamedTuple):
    """An entry of EXPORTERS, named as its files end: how a statement and rows become a file.

    `statement` takes it as the API gives it. `rows` takes pages of a table and gives pieces of the
    file; where `is_text` the pages have decimals and instants as the API says them. None: the store
    writes the rows of such a file by itself.
    """

    title: str
    media_type: str
    statement: Callable[[dict[str, Any]], Iterable[bytes]]
    rows: Callable[[Iterator[pa.Table]], Iterator[bytes]] | None
    is_text: bool


EXPORTERS = {
    "csv": Exporter(
        "comma-separated values",
        "text/csv",
        lambda statement: [statement_to_csv(statement)],
        None,
        is_text=True,
    ),
    "json": Exporter(
        "JSON",
        "application/json",
        lambda statement: [statement_to_json(statement)],
        rows_to_json,
        is_text=True,
    ),
    "parquet": Exporter(
        "Parquet",
        "application/vnd.apache.parquet",
        lambda statement: rows_to_parquet(statement_table(statement)),
        rows_to_parquet,
        is_text=False,
    ),
    "xlsx": Exporter(
        "a workbook",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        lambda statement: rows_to_xlsx(statement_table(statement)),
        rows_to_xlsx,
        is_text=False,
    ),
}
