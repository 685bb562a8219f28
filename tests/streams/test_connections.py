"""A page's question waits for no other's: each has a connection of its own, up to some."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.store import ledger as store
from streams.store.errors import StoreErrors
from streams.store.ledger import Ledger
from tests.support.workers import wait_for

RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1.5)%'"
NOT_ITSELF = " AND query NOT LIKE '%processes%'"


def test_a_question_is_answered_while_another_takes_long(any_ledger: Ledger) -> None:
    with ThreadPoolExecutor(2) as threads:
        slow = [threads.submit(any_ledger.query, "SELECT sleep(1.5)") for _ in range(2)]
        wait_for(
            lambda: any_ledger.query(RUNNING + NOT_ITSELF) == [(2,)] or slow[0].done(), "both run"
        )
        assert not slow[0].done()
        assert [one.result() for one in slow] == [[(0,)], [(0,)]]


def test_there_are_no_more_connections_than_that_at_once(ledger: Ledger) -> None:
    before = threading.active_count()
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda n: ledger.query(f"SELECT {n}, sleep(0.01)"), range(60)))
    assert answers == [[(n, 0)] for n in range(60)]
    assert 1 <= ledger._readers.made <= store.READERS
    assert threading.active_count() <= before + 1


def test_a_question_that_fails_gives_its_connection_back(ledger: Ledger) -> None:
    for _ in range(store.READERS + 2):
        with pytest.raises(StoreErrors):
            ledger.query("SELECT no_such_column FROM rated")
    assert ledger.query("SELECT 1") == [(1,)]
    assert ledger._readers.made == 1
