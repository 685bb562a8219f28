"""Our own events: JSON lines, each with its `kind`."""

from collections.abc import Iterator
from typing import BinaryIO

from streams.formats.importer import Imported, Source, lines_of


def read_events(file: BinaryIO, _: Source) -> Iterator[Imported]:
    """Each line as it stands: what it holds is looked at where every event is decoded."""
    for number, raw in lines_of(file):
        yield Imported(number, raw, raw)
