"""What the log says of fields that no kind has: of each once, and of a bounded number of them."""

import structlog

from streams.base.words import unknown_field
from streams.rows.batch import Batch

TOLD_MOST = 200  # (kind, name) that are remembered, and told of

log = structlog.get_logger()


class UnknownFieldLog:
    """Warns of the unknown fields of batches, by the life of a worker."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, batch: Batch) -> None:
        for kind, unknown in batch.unknown.items():
            for name in sorted(unknown.names):
                if (kind, name) in self._told or len(self._told) >= TOLD_MOST:
                    continue
                self._told.add((kind, name))
                log.warning("unknown_field", what=unknown_field(kind, name))
