"""Poison of each kind between good records of others: all good ones are rated, by one worker and by
two, and after a restart. Real broker, real worker processes.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from streams.base.settings import Settings
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.maintenance.audit import audit_ledger
from streams.store.ledger import Ledger, open_ledger
from tests.conftest import LOS_ANGELES, NEW_YORK, Event, call, number
from tests.support.broker import committed
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.poison import MARK, POISONS, REFUSING, send
from tests.support.workers import WorkerProcess, environment_of, own_settings, wait_for

PARTITIONS = 4
HASTE = {"RATER_SESSION_TIMEOUT_S": "6", "RATER_INSERT_TIMEOUT_S": "10"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    with ClickHouseHttp(tmp_path_factory.mktemp("clickhouse")) as http:
        yield http


async def plant(settings: Settings) -> list[Event]:
    """Each poison between good calls, on each partition in turn; and a number of another topic."""
    good: list[Event] = []
    for n, (_, how, values) in enumerate(POISONS):
        partition = n % PARTITIONS
        for some in ([], values, []):
            if some:
                await send(settings, "usage.call.v1", partition, *some, **how)
                continue
            good.append(call(id=f"{MARK}-good-{len(good)}", account_id=f"{MARK}-{partition}"))
            await send(settings, "usage.call.v1", partition, orjson.dumps(good[-1]))
    # The marker of the last one's transaction is the end of its partition.
    await send(settings, "usage.call.v1", 1, values[0], transaction="last")
    await send(settings, "usage.number.v1", 0, orjson.dumps(number(account_id="other")))
    return good


def rated(ledger: Ledger) -> set[str]:
    return {name for (name,) in ledger.query("SELECT DISTINCT event_id FROM rated_rows")}


def reasons(ledger: Ledger) -> dict[str, int]:
    """How many dead letters there are of each reason."""
    return dict(
        ledger.query("SELECT reason, toInt64(count()) FROM rejected FINAL GROUP BY 1 ORDER BY 1")
    )


def lags(worker: WorkerProcess) -> set[str]:
    shown = worker.get("/metrics")[1].splitlines()
    return {line.split()[-1] for line in shown if line.startswith("rater_consumer_lag_messages{")}


@pytest.mark.parametrize("count", [1, 2])
def test_all_good_records_are_rated_whatever_lies_between_and_after_a_restart(
    broker: EmbeddedKafka, store: ClickHouseHttp, tmp_path: Path, count: int
) -> None:
    settings = own_settings(broker.bootstrap, store.url, tmp_path)
    ledger = open_ledger(settings, migrate=False)
    ledger.command(REFUSING)
    good = {event["id"] for event in asyncio.run(plant(settings))}
    also = {"packed", "header", "transaction"} | {f"old-{n}" for n in range(150)}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                WorkerProcess(environment_of(settings) | HASTE, tmp_path / f"worker-{n}.log")
            )
            for n in range(count)
        ]

        def logs() -> str:
            return "\n".join(worker.log()[-3000:] for worker in workers)

        for worker in workers:
            worker.start()
        wait_for(lambda: good | also <= rated(ledger), "all good ones are rated", 60, logs)
        wait_for(lambda: {lag for one in workers for lag in lags(one)} == {"0.0"}, "lag", 30, logs)
        well = [200] * count
        wait_for(lambda: [one.get("/healthz")[0] for one in workers] == well, "health", 20, logs)
        audit = audit_ledger(
            ledger, [], topic_prefix=settings.topic_prefix, committed=committed(settings)
        )
        assert not audit.findings
        assert reasons(ledger) == {"bad_batch": 3, "bad_field": 2, "bad_json": 2, "not_stored": 1}
        for worker in workers:
            assert worker.terminate()[0] == 0
        before = committed(settings)
        workers[0].start()
        asyncio.run(send(settings, "usage.call.v1", 2, orjson.dumps(call(id="late"))))
        wait_for(lambda: "late" in rated(ledger), "what came after the restart", 30, logs)
        assert all(offset >= before[place] for place, offset in committed(settings).items())
        said = "\n".join(worker.log() for worker in workers)
        assert "not_stored" in said
        for mark in (MARK, NEW_YORK[1:], LOS_ANGELES[1:], "SELECT", "INSERT"):
            assert mark not in said
    ledger.close()
