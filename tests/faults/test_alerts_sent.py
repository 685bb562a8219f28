"""A budget's alert on the whole line: a worker that is killed as it sends, and what the receiver
and the topic have of it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from rater.budgets import Budget
from rater.money import parse_nanos
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.produce import send_all
from streams.kafka.simulate import Simulated
from streams.kafka.topics import ALERTS
from streams.store.budgets import set_budget
from streams.store.ledger import open_ledger
from tests.conftest import call
from tests.support.broker import read_topics
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.receiver import receiving
from tests.support.workers import WorkerProcess, environment_of, own_settings, wait_for

SECRET = "whsec_" + "A" * 40 + "=="


def test_a_worker_that_is_killed_as_it_sends_is_followed_by_one_that_sends_the_same(
    chaos_broker: EmbeddedKafka, chaos_store: ClickHouseHttp, tmp_path: Path
) -> None:
    settings = own_settings(chaos_broker.bootstrap, chaos_store.url, tmp_path)
    ledger = open_ledger(settings, migrate=False)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    set_budget(ledger, Budget("acme", "office", parse_nanos("0.02")), datetime.now(UTC))
    at = datetime.now(UTC).isoformat()
    times = {"dialed_at": at, "answered_at": at, "ended_at": at}
    events = [call(id=f"c{n}", **times) for n in range(4)]
    sent = [Simulated("call", "acme", orjson.dumps(event)) for event in events]
    with receiving() as receiver:
        own = environment_of(settings) | {
            "RATER_ALERTS_URL": receiver.url,
            "RATER_ALERTS_SECRET_FILE": str(secret),
            "RATER_SESSION_TIMEOUT_S": "6",
        }
        with (
            WorkerProcess(own, tmp_path / "first.log") as first,
            WorkerProcess(own, tmp_path / "second.log") as second,
        ):
            receiver.before_answer = first.kill
            first.start()
            asyncio.run(send_all(settings, sent))
            wait_for(lambda: receiver.posts, "a post", log=first.log)
            wait_for(lambda: first.process.poll() is not None, "the worker killed")
            receiver.before_answer = None
            second.start(wait_ready=False)

            def noted() -> Any:
                return ledger.query(
                    "SELECT count() FROM deliveries FINAL WHERE sent AND channel = 'webhook'"
                )[0][0]

            told = {one for (one,) in ledger.query("SELECT alert_id FROM alerts FINAL")}
            wait_for(lambda: noted() >= len(told), "all noted", 60, log=second.log)
            assert second.terminate()[0] == 0
            logs = first.log() + second.log()
        told = {one for (one,) in ledger.query("SELECT alert_id FROM alerts FINAL")}
        bodies = {post.headers["webhook-id"]: post.body for post in receiver.posts}
        assert set(bodies) == told
        assert len(receiver.posts) > len(told)  # what the killed one had posted came again
        assert all(post.body == bodies[post.headers["webhook-id"]] for post in receiver.posts)
    on_topic = [
        orjson.loads(record.value or b"")
        for record in read_topics(settings.kafka_bootstrap, [settings.topic(ALERTS)])
    ]
    assert {one["id"] for one in on_topic} == told
    assert {one["account_id"] for one in on_topic} == {"acme"}
    assert SECRET not in logs
    assert "acme" not in logs
    ledger.close()
