"""One worker of a group does its maintenance; who takes it over goes on where the other came to."""

import pytest
from prometheus_client import REGISTRY

import schemas
from rater.tariff import Book
from streams.base.books import BookFile
from streams.base.settings import Settings
from streams.maintenance.jobs import Maintenance
from streams.store.ledger import Ledger
from tests.conftest import Log, call, number


class Workers:
    """Maintenances of several workers, and which of them holds the partition."""

    def __init__(self, ledger: Ledger) -> None:
        self.holder = ""
        book_file = BookFile(schemas.SAMPLE_TARIFF)
        self.of = {
            name: Maintenance(Settings(), ledger, book_file, lambda name=name: self.holder == name)  # type: ignore[misc]
            for name in "ab"
        }

    async def give_to(self, holder: str) -> None:
        self.holder = holder
        for one in self.of.values():
            await one._watch_keeper()


@pytest.fixture
def workers(ledger: Ledger) -> Workers:
    return Workers(ledger)


async def test_what_one_left_undone_the_next_one_does(
    workers: Workers, ledger: Ledger, book: Book
) -> None:
    await workers.give_to("a")
    assert [one.is_keeper for one in workers.of.values()] == [True, False]
    first = workers.of["a"]
    await first.months.run()
    await first.conflicts.run()
    # Written by anyone, and the keeper is killed before it has looked.
    moved = {name: call()[name].replace("-08-", "-07-") for name in ("dialed_at", "ended_at")}
    log = Log([call(), call(**moved, answered_at=None), number()])
    ledger.write(log.batch(book))
    ledger.take_written()
    await workers.give_to("b")
    assert [one.is_keeper for one in workers.of.values()] == [False, True]
    await workers.of["b"].conflicts.run()
    await workers.of["b"].months.run()
    assert ledger.query("SELECT count() FROM losers") == [(1,)]
    charged = "SELECT count() > 0 FROM rated WHERE line = 'phone_numbers'"
    assert ledger.query(charged) == [(1,)]


async def test_what_is_told_to_another_worker_the_keeper_charges(
    workers: Workers, ledger: Ledger, book: Book
) -> None:
    await workers.give_to("a")
    months = workers.of["a"].months
    await months.run()
    ledger.write(Log([number()]).batch(book))  # by another
    await months.run()
    assert ledger.query("SELECT uniqExact(identity) FROM rated") == [(1,)]


async def test_the_keeper_says_so_and_who_leaves_shows_nothing_of_it(workers: Workers) -> None:
    await workers.give_to("a")
    assert REGISTRY.get_sample_value("rater_housekeeper") == 1
    await workers.give_to("c")  # of another process
    assert REGISTRY.get_sample_value("rater_housekeeper") == 0
    of_group = {job.name for job in workers.of["a"].jobs() if job.of_group}
    assert of_group == {
        "months", "parked", "parked_now", "conflicts", "audit", "walk_accounts", "walk_receipts",
        "budgets", "alerts",
    }  # fmt: skip
