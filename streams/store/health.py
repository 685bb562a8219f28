"""Whether the store can be worked with: it answers, and its disk has room."""

import shutil

from streams.store.errors import StoreErrors
from streams.store.ledger import Ledger

# Less is a disk that the next merge fills.
FREE_MIN_BYTES = 268_435_456

_FREE = "SELECT min(free_space) FROM system.disks WHERE type = 'Local' OR type = 'local'"


def why_not_ready(ledger: Ledger) -> str | None:
    """None where it answers and has room; what is wrong, as one line."""
    if not ledger.ping():
        return "the store does not answer"
    free = read_free_bytes(ledger)
    if free is not None and free < FREE_MIN_BYTES:
        return f"the store's disk is full: {free // 1_048_576} MiB are left"
    return None


def read_free_bytes(ledger: Ledger) -> int | None:
    """Of the fullest of its disks; None where its user may not know."""
    if ledger.path is not None:
        return shutil.disk_usage(ledger.path).free
    try:
        ((free,),) = ledger.query(_FREE)
    except StoreErrors:
        return None
    return int(free) if free else None
