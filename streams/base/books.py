"""The tariff book in force: loaded at start, looked at again while the worker runs.

A book with a mistake is refused and the one in force stays, loudly: a price is never guessed.
"""

from pathlib import Path

import structlog

from rater.tariff_file import TariffError, load_book
from streams.base import metrics

log = structlog.get_logger()


class BookFile:
    """The book of a tariff file and the CSV files beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._stamp()
        self.book = load_book(path)
        self._show()

    def reload(self) -> bool:
        """Loads the book again if a file changed; says whether there is a new one in force."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen, before = stamp, self.book
        try:
            self.book = load_book(self._path)
        except TariffError as error:
            log.error(
                "tariff_refused",
                file=str(self._path),
                mistakes=[str(mistake) for mistake in error.mistakes],
                action="the book in force stays; mend the file",
            )
            return False
        self._show()
        if edited := self.book.edited_since(before):
            log.warning(
                "tariff_edited_in_place",
                file=str(self._path),
                versions=edited,
                action="rows from now on have other prices under the same version; "
                "change prices by a new [[tariff]] with its valid_from",
            )
        log.info("tariff_loaded", file=str(self._path), version=self.book.label())
        return True

    def _show(self) -> None:
        metrics.TARIFF_INFO.clear()
        metrics.TARIFF_INFO.labels(self.book.label()).set(1)

    def _stamp(self) -> list[tuple[str, int, int]]:
        files = [self._path, *sorted(self._path.parent.glob("*.csv"))]
        stats = [(path.name, path.stat()) for path in files if path.exists()]
        return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats]
