"""The formats of files: a new one is a file beside this one and an entry here."""

from collections.abc import Callable
from typing import Any, NamedTuple

from streams.formats.events import read_events
from streams.formats.freeswitch import read_freeswitch
from streams.formats.importer import Importer
from streams.formats.statement_csv import statement_to_csv

IMPORTERS = {
    "json": Importer("events with their kind, a JSON a line", read_events),
    "freeswitch": Importer(
        "FreeSWITCH's CSV of calls: its default template, or 8 columns",
        read_freeswitch,
        ("account", "region", "zone"),
    ),
}


class Exporter(NamedTuple):
    """An entry of EXPORTERS: a statement, as the API gives it, to the text of a file."""

    title: str
    media_type: str
    write: Callable[[dict[str, Any]], str]


EXPORTERS = {
    "csv": Exporter("a row for each line, part and total", "text/csv", statement_to_csv),
}
