"""Budgets over a real ledger: who is read, what is told, and that it is told once."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rater.budgets import Budget
from rater.money import parse_nanos
from rater.tariff import Book
from streams.maintenance import budgets as watching
from streams.maintenance.budgets import BudgetsJob
from streams.rows.batch import Batch
from streams.store.alerts import read_alerts
from streams.store.budgets import read_budgets, read_costs, remove_budget, set_budget
from streams.store.ledger import Ledger
from tests.conftest import Log, Logged, call, dial, text

NOW = datetime.now(UTC)


def job_of(ledger: Ledger, book: Book) -> BudgetsJob:
    return BudgetsJob(ledger, lambda: book)


def declare(ledger: Ledger, amount: str, name: str = "all", **part: Any) -> Budget:
    budget = Budget(part.pop("account_id", "acme"), name, parse_nanos(amount), **part)
    set_budget(ledger, budget, datetime.now(UTC))
    return budget


def use(ledger: Ledger, book: Book, *events: dict[str, Any], make: Any = call) -> None:
    """Events of this minute, which the log takes now: calls of 2 minutes at $0.013, with taxes."""
    times = {
        name: NOW.isoformat()
        for name in ("dialed_at", "answered_at", "ended_at", "sent_at")
        if name in make()
    }
    log = Log([make(**(times | event)) for event in events])
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    log.records = [
        (kind, Logged(offset, now_ms, record.key, record.value))
        for (kind, record), offset in zip(log.records, offsets(len(log.records)), strict=True)
    ]
    batch: Batch = log.batch(book)
    assert not batch.rejected, batch.rejected
    assert not batch.parked, batch.parked
    ledger.write(batch)


_next = iter(range(10**9))


def offsets(count: int) -> list[int]:
    return [next(_next) for _ in range(count)]


def told(ledger: Ledger, account: str = "acme") -> list[tuple[str, str, int]]:
    month = NOW.replace(day=1).date()
    found = [
        *read_alerts(ledger, account, month, limit=100),
        # A zone behind UTC may be in the month before still.
        *read_alerts(ledger, account, (month - timedelta(days=1)).replace(day=1), limit=100),
    ]
    return sorted((one.budget, one.what, one.percent) for one, _ in found)


async def test_what_is_reached_is_told_once_and_the_rest_as_it_is_reached(
    any_ledger: Ledger, book: Book
) -> None:
    declare(any_ledger, "0.05")
    job = job_of(any_ledger, book)
    assert await job.run() == 0
    use(any_ledger, book, {"id": "a"})  # $0.013 with its taxes
    use(any_ledger, book, {"id": "b"})
    assert await job.run() == 1 + 1  # it all came in one minute, too
    assert await job.run() == 0
    assert told(any_ledger) == [("all", "actual", 50), ("all", "runaway", 0)]
    use(any_ledger, book, {"id": "c"}, {"id": "d"})
    await job.run()
    await job.run()
    reached = {percent for _, what, percent in told(any_ledger) if what == "actual"}
    assert reached == {50, 75, 100}
    assert len(told(any_ledger)) == 4


PARTS: list[tuple[dict[str, Any], list[str]]] = [
    # the part of the usage         | what tells of it
    ({},                              ["call", "text", "dial", "user"]),
    ({"lines": ("calls",)},           ["call", "user"]),
    ({"lines": ("calls", "texts")},   ["call", "text", "user"]),
    ({"lines": ("campaign_calls",)},  ["dial"]),
    ({"campaign_id": "spring"},       ["dial"]),
    ({"campaign_id": "autumn"},       []),
    ({"user_id": "u1"},               ["user"]),
    ({"user_id": "u1", "lines": ("texts",)}, []),
]  # fmt: skip
EVENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "call": (call, {}),
    "text": (text, {}),
    "dial": (dial, {"campaign_id": "spring"}),
    "user": (call, {"user_id": "u1", "id": "by-user"}),
}


async def test_a_budget_is_of_the_part_of_the_usage_that_it_says(
    ledger: Ledger, book: Book
) -> None:
    for event, (make, more) in EVENTS.items():
        for index, (part, _) in enumerate(PARTS):
            declare(ledger, "0.001", str(index), account_id=event, **part)
        use(ledger, book, more | {"account_id": event}, make=make)
    await job_of(ledger, book).run()
    for event in EVENTS:
        reached = {int(name) for name, what, _ in told(ledger, event) if what == "actual"}
        assert reached == {index for index, (_, by) in enumerate(PARTS) if event in by}, event


async def test_only_accounts_with_budgets_and_news_are_read(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []
    read = read_costs

    def listen(ledger: Ledger, accounts: Collection[str], *rest: Any, **more: Any) -> Any:
        asked.append(set(accounts))
        return read(ledger, accounts, *rest, **more)

    monkeypatch.setattr(watching, "read_costs", listen)
    for account in ("acme", "globex", "quiet"):
        declare(ledger, "1000", account_id=account)
    job = job_of(ledger, book)
    await job.run()
    assert set().union(*asked) == {"acme", "globex", "quiet"}  # at first all, and the months before
    asked.clear()
    use(ledger, book, {}, {"account_id": "without", "id": "w"})
    await job.run()
    assert asked == [{"acme"}]
    asked.clear()
    await job.run()
    assert asked == []
    declare(ledger, "10", account_id="globex")  # changed: looked at at once
    await job.run()
    assert set().union(*asked) == {"globex"}
    asked.clear()
    await job.run(datetime.now(UTC) + watching.ALL_EVERY)
    assert set().union(*asked) == {"acme", "globex", "quiet"}


async def test_a_search_that_failed_leaves_nobody_out(
    ledger: Ledger, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(ledger, "0.001")
    job = job_of(ledger, book)
    await job.run()
    use(ledger, book, {})
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> Any:
            raise OSError("connection refused")

        patch.setattr(watching, "read_costs", fail)
        with pytest.raises(OSError, match="refused"):
            await job.run()
    assert await job.run() >= 3


async def test_two_workers_that_tell_the_same_have_one_row(ledger: Ledger, book: Book) -> None:
    """As of a hand-over: neither knows of the other's look."""
    declare(ledger, "0.001")
    use(ledger, book, {})
    one, other = job_of(ledger, book), job_of(ledger, book)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "read_told", lambda *_: set())
        assert await one.run() == await other.run() > 0
    by_id = ledger.query("SELECT count() FROM alerts FINAL GROUP BY alert_id")
    assert set(by_id) == {(1,)}
    third = job_of(ledger, book)  # another that takes it over
    assert await third.run() == 0


async def test_a_budget_that_is_taken_back_tells_nothing(ledger: Ledger, book: Book) -> None:
    declare(ledger, "0.001")
    declare(ledger, "5", "other")
    remove_budget(ledger, "acme", "all", datetime.now(UTC))
    assert [one.name for one in read_budgets(ledger, "acme")] == ["other"]
    use(ledger, book, {})
    await job_of(ledger, book).run()
    assert told(ledger) == []


async def test_a_minute_far_above_the_past_is_told(ledger: Ledger, book: Book) -> None:
    """Eight days of a call a day, then fifty calls in one minute."""
    declare(ledger, "20")
    for back in range(1, 9):
        at = (NOW - timedelta(days=back)).isoformat()
        use(
            ledger,
            book,
            {"id": f"d{back}", "dialed_at": at, "answered_at": at, "ended_at": at},
        )
    job = job_of(ledger, book)
    await job.run()
    assert told(ledger) == []
    use(ledger, book, *({"id": f"r{n}"} for n in range(50)))
    await job.run()
    assert [what for _, what, _ in told(ledger)] == ["runaway"]
    ((alert, _),) = read_alerts(ledger, "acme", NOW.replace(day=1).date(), limit=1) or read_alerts(
        ledger, "acme", (NOW.replace(day=1) - timedelta(days=1)).date().replace(day=1), limit=1
    )
    assert "in the minute from" in alert.sentence
    assert "stops nothing" in alert.sentence
