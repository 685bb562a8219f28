"""What the tests of the shell share."""

from collections.abc import AsyncIterator, Iterator

import pytest

import schemas
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.runtime.worker import Worker
from streams.store.ledger import Ledger
from streams.web import live


@pytest.fixture
async def idle_worker(ledger: Ledger) -> AsyncIterator[Worker]:
    """A worker that was not started."""
    idle = Worker(Settings(), ledger, BookFile(schemas.SAMPLE_TARIFF))
    yield idle
    await idle._producer.stop()
    idle._writer.close()


@pytest.fixture(autouse=True, scope="session")
def quick_streams() -> Iterator[None]:
    """Most tests write what was logged long ago: open streams look again soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "AGAIN_S", 0.3)
        yield
