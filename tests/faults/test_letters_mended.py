"""A dead letter that an operator mends: it goes to where its record came from, and is rated."""

import asyncio
from pathlib import Path

import orjson

from rater.kinds import KINDS
from rater.tariff_file import load_book
from streams.kafka.embedded.kafka import EmbeddedKafka
from streams.kafka.topics import INPUTS
from streams.operations.letters import send_fixed
from streams.rows.batch import Batch, add_records
from streams.store.ledger import open_ledger
from streams.store.letters import Content, Selection, list_letters
from tests.conftest import LOGGED_MS, Logged, call
from tests.support.broker import read_topics
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.workers import own_settings


def test_what_was_mended_is_on_its_topic_again_and_counted_as_sent(
    chaos_broker: EmbeddedKafka, chaos_store: ClickHouseHttp, tmp_path: Path
) -> None:
    settings = own_settings(chaos_broker.bootstrap, chaos_store.url, tmp_path)
    ledger = open_ledger(settings, migrate=False)
    topic, batch = settings.topic(INPUTS[0]), Batch()
    for partition in (3, 99):  # the other one the topic does not have
        record = Logged(7, LOGGED_MS, b"acme", b"{bad")
        add_records(batch, KINDS["call"], topic, partition, [record], load_book(settings.tariff))
    ledger.write(batch)
    letters = {one.partition: one for one in list_letters(ledger, Selection(), 10)}
    fixed = Content(b"acme", orjson.dumps(call(id="mended")), [("ce_id", b"x")])
    assert asyncio.run(send_fixed(settings, ledger, letters[3], fixed)) == ""
    (sent,) = read_topics(settings.kafka_bootstrap, [topic])
    assert (sent.partition, sent.key, sent.value) == (3, b"acme", fixed.value)
    assert ("rater_replay_attempt", b"1") in sent.headers
    assert {one.partition: one.replays for one in list_letters(ledger, Selection(), 10)} == {
        3: 1, 99: 0,
    }  # fmt: skip
    why = asyncio.run(send_fixed(settings, ledger, letters[99], fixed))
    assert why == "its topic or partition does not exist on this broker"
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    why = asyncio.run(send_fixed(away, ledger, letters[3], fixed))
    assert why.startswith("Kafka did not take it")
    ledger.close()
