"""A broker with TLS, SASL/SCRAM and access lists: who has a job has its rights and no more."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiokafka
import orjson
import pytest
from aiokafka.admin import NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    for_code,
)

from streams.base.settings import Settings, load_settings
from streams.kafka.clients import admin_client, client_options, make_producer
from streams.kafka.produce import send_all
from streams.kafka.rights import grant
from streams.kafka.simulate import Simulated
from streams.kafka.topics import REJECTED
from streams.store.ledger import open_ledger
from tests.conftest import SAMPLES, assert_rows, rows_by_oracle, rows_of
from tests.support.broker import BAD, oracle_of, read_log, read_topics, wait_until_committed
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.secure_kafka import SecureKafka
from tests.support.workers import WorkerProcess, environment_of, own_settings

PASSWORDS = {"worker": "of-the-worker", "producer": "of-the-producer", "stranger": "of-a-stranger"}
MONTHLY = {"phone_numbers", "recording_storage", "subscriptions"}
LOUD_S = 30  # by when a worker that is not let in has said so and ended


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("kafka"), PASSWORDS) as kafka:
        yield kafka


@pytest.fixture
def admin(broker: SecureKafka, http_server: ClickHouseHttp, tmp_path: Path) -> Settings:
    """A test's own topics and group, seen by who may do everything, with the rights given."""
    settings = own_settings(broker.bootstrap, http_server.url, tmp_path)
    asyncio.run(grant(settings, "worker", "worker"))
    asyncio.run(grant(settings, "producer", "producer"))
    return settings


def as_user(
    broker: SecureKafka, admin: Settings, user: str, *, password: str = "", **more: Any
) -> Settings:
    """The settings of who logs in as this user, over TLS."""
    file = admin.tariff.with_name(f"password-of-{user}")
    file.write_text(password or PASSWORDS[user])
    login = {
        "kafka_bootstrap": broker.secure,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_username": user,
        "kafka_sasl_password_file": file,
        "kafka_ca_file": broker.ca_file,
    }
    values = admin.model_dump(exclude_unset=True) | login | more
    return load_settings(**{name: value for name, value in values.items() if value is not None})


def test_a_worker_with_the_rights_of_its_job_rates_what_a_producer_sends(
    broker: SecureKafka, admin: Settings, tmp_path: Path
) -> None:
    events = [sample(account_id=account) for sample in SAMPLES.values() for account in "abc"]
    sent = [Simulated(e["kind"], e["account_id"], orjson.dumps(e)) for e in events]
    producer = as_user(broker, admin, "producer")
    asyncio.run(send_all(producer, [*sent, Simulated("call", "a", BAD[1])]))
    logged = read_log(admin)
    assert len(logged) == len(events) + 1
    worker = as_user(broker, admin, "worker")
    with WorkerProcess(environment_of(worker), tmp_path / "worker.log") as process:
        process.start()
        wait_until_committed(worker, logged, log=process.log)
        assert process.terminate()[0] == 0
        assert "timestamp_type_unknown" not in process.log()  # it may ask for it
    ledger = open_ledger(admin, migrate=False)
    try:
        rated = {name: row for name, row in rows_of(ledger).items() if name[2] not in MONTHLY}
    finally:
        ledger.close()
    expected = oracle_of(admin, logged)
    assert_rows(rated, rows_by_oracle(expected, [], {name.month for name in expected.rows}))
    (letter,) = read_topics(broker.bootstrap, [admin.topic(REJECTED)])
    assert letter.value == BAD[1]


Does = Callable[[Settings], Coroutine[Any, Any, object]]
Refused = type[Exception] | tuple[type[Exception], ...]
NO_TOPIC = TopicAuthorizationFailedError
NO_GROUP = GroupAuthorizationFailedError
# Who may write to no topic may not even be told which producer he is.
NO_PRODUCER = (NO_TOPIC, ClusterAuthorizationFailedError)
# user     | does                                                     | is refused
MAY_NOT: list[tuple[str, Does, Refused]] = [
    ("worker",   lambda s: write(s, s.topic("usage.call.v1")),           NO_TOPIC),
    ("worker",   lambda s: read(s, s.topic(REJECTED), s.group),          NO_TOPIC),
    ("worker",   lambda s: read(s, s.topic("others"), s.group),          NO_TOPIC),
    ("worker",   lambda s: write(s, s.topic("others")),                  NO_TOPIC),
    ("worker",   lambda s: read(s, s.topic("usage.call.v1"), "others"),  NO_GROUP),
    ("worker",   lambda s: make(s, s.topic("new")),                      NO_TOPIC),
    ("worker",   lambda s: grant(s, "worker", "producer"),  ClusterAuthorizationFailedError),
    ("producer", lambda s: read(s, s.topic("usage.call.v1"), "own"),     NO_GROUP),
    ("producer", lambda s: read(s, s.topic("usage.call.v1"), None),      NO_TOPIC),
    ("producer", lambda s: write(s, s.topic(REJECTED)),                  NO_TOPIC),
    ("stranger", lambda s: write(s, s.topic("usage.call.v1")),           NO_PRODUCER),
    ("stranger", lambda s: read(s, s.topic("usage.call.v1"), None),      NO_TOPIC),
]  # fmt: skip


async def write(settings: Settings, topic: str) -> None:
    producer = make_producer(settings)
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"{}")
    finally:
        await producer.stop()


async def read(settings: Settings, topic: str, group: str | None) -> None:
    options = client_options(settings) | {"group_id": group, "auto_offset_reset": "earliest"}
    consumer = aiokafka.AIOKafkaConsumer(topic, **options)
    try:
        await consumer.start()
        async with asyncio.timeout(20):
            await consumer.getone()
    finally:
        await consumer.stop()


async def make(settings: Settings, topic: str) -> None:
    async with admin_client(settings) as client:
        answer = await client.create_topics([NewTopic(topic, 1, 1)])
    if code := answer.topic_errors[0][1]:
        raise for_code(code)


async def test_nobody_may_more_than_his_job(broker: SecureKafka, admin: Settings) -> None:
    await make(admin, admin.topic("others"))
    await write(admin, admin.topic("usage.call.v1"))
    wrong = []
    for row, (user, does, refused) in enumerate(MAY_NOT):
        try:
            await does(as_user(broker, admin, user))
            wrong.append((row, "may"))
        except refused:
            pass
        except Exception as error:
            wrong.append((row, repr(error)))
    assert wrong == []


# what is wrong         | what the worker says of it
NOT_LET_IN = [
    ({"password": "guessed"},          "RATER_KAFKA_SASL_PASSWORD_FILE"),
    ({"kafka_sasl_username": "nobody"}, "RATER_KAFKA_SASL_USERNAME"),
    ({"kafka_ca_file": None},          "RATER_KAFKA_CA_FILE"),  # whom the system trusts
    ({"kafka_ca_file": Path("/none")}, "RATER_KAFKA_CA_FILE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "said"), NOT_LET_IN, ids=["password", "user", "authority", "file"]
)
def test_a_worker_that_is_not_let_in_says_why_and_ends(
    broker: SecureKafka, admin: Settings, tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    settings = as_user(broker, admin, "worker", **wrong)
    with WorkerProcess(environment_of(settings), tmp_path / "worker.log") as process:
        process.start(wait_ready=False)
        assert process.process.wait(LOUD_S) in (1, 2), process.log()
        last = process.log().splitlines()[-1]
    assert said in last
    assert not any(password in process.log() for password in [*PASSWORDS.values(), "guessed"])
