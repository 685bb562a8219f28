"""A mistake in the files of a tariff book: a value, so that all of them are said at once."""

from typing import NamedTuple


class Mistake(NamedTuple):
    """What is wrong in a tariff file. A book with a fatal mistake does not load."""

    file: str
    line: int
    message: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"
