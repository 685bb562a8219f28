"""What an importer is: it takes an open file and gives each record as an event, or why it is none.

A file and not a line: some switches tell a call on several rows.
"""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from rater.reject import Reject


class Source(NamedTuple):
    """What the file itself does not say."""

    account_id: str = "default"  # whose usage it is, where no record says so
    region: str = ""  # of national numbers, such as US; without it they are refused
    zone: str = "UTC"  # of instants without an offset: an IANA name


class Imported(NamedTuple):
    """A record: the first of its lines (from 1), its bytes, its event as JSON or a reject."""

    line: int
    raw: bytes
    value: bytes | Reject


class Importer(NamedTuple):
    """An entry of IMPORTERS. `needs` are the options of a command that it asks for."""

    title: str
    read: Callable[[BinaryIO, Source], Iterator[Imported]]
    needs: tuple[str, ...] = ()


def lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(line, its bytes without space around) of each line that is not empty.

    A byte-order mark is no data, wherever files were put together.
    """
    for number, line in enumerate(file, 1):
        raw = line.strip().removeprefix(BOM_UTF8).strip()
        if raw:
            yield number, raw
