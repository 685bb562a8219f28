"""What the tests of the shell share."""

from collections.abc import AsyncIterator

import pytest

import schemas
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.runtime.worker import Worker
from streams.store.ledger import Ledger


@pytest.fixture
async def idle_worker(ledger: Ledger) -> AsyncIterator[Worker]:
    """A worker that was not started."""
    idle = Worker(Settings(), ledger, BookFile(schemas.SAMPLE_TARIFF))
    yield idle
    await idle._producer.stop()
    idle._writer.close()
