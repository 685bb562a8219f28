"""How alerts go out: signed, to nobody else, again and again but not for ever, and counted once."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

import schemas
from rater.budgets import Budget, What, alerts_of, standing_of
from rater.forecast import DayCost
from rater.money import NANOS
from streams.base.settings import Settings, SettingsError, load_settings
from streams.maintenance import webhook as webhooks
from streams.maintenance.jobs import ways_of
from streams.maintenance.tell import TRIED_FOR, WAITS_S, AlertsJob, Way, is_due
from streams.maintenance.webhook import PublicResolver, Webhook, is_public
from streams.rows.alert import AlertEvent, Answer
from streams.store.alerts import Tried, read_alerts, read_recent, write_alerts
from streams.store.ledger import Ledger
from tests.conftest import environment
from tests.support.receiver import Post, Receiver, receiving

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = datetime.now(UTC)
MONTH = NOW.date().replace(day=1)
EVENT = AlertEvent(
    type="budget.actual", id="one", timestamp="2026-11-28T10:00:00Z", account_id="acme",
    month="2026-11", budget="office", percent=50, amount="100", spent="50.1", currency="USD",
    sentence="said",
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def webhook(url: str, secret_file: Path, **more: Any) -> Webhook:
    with environment():
        return Webhook(load_settings(alerts_url=url, alerts_secret_file=secret_file, **more))


def tell(ledger: Ledger, account: str = "acme", percents: int = 1) -> list[str]:
    """Alerts as a look at budgets keeps them; their ids."""
    budget = Budget(account, "office", 100 * NANOS)
    days = [DayCost(MONTH, MONTH, False, 100 * NANOS)]
    alerts = alerts_of(budget, MONTH, standing_of(days, MONTH, MONTH), None, set())[:percents]
    assert all(one.what == What.ACTUAL for one in alerts)
    write_alerts(ledger, [(one, "said") for one in alerts], "USD", datetime.now(UTC))
    return [one.alert_id for one in alerts]


# ------------------------------------------------------------------ signed


def check(post: Post, key: bytes) -> None:
    """As a receiver does by the text of Standard Webhooks."""
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(key, signed + post.body, hashlib.sha256).digest()
    assert post.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    """From the text of Standard Webhooks."""
    key = webhooks.secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = webhooks.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_alert_is_posted_and_signed(receiver: Receiver, secret_file: Path) -> None:
    (answer,) = await webhook(receiver.url, secret_file).send([EVENT])
    assert answer == Answer(True, "HTTP 204")
    (post,) = receiver.posts
    check(post, KEY)
    assert post.path == "/hook"
    assert post.headers["content-type"] == "application/json"
    assert abs(int(post.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    body = orjson.loads(post.body)
    assert (body["id"], body["spent"]) == (post.headers["webhook-id"], "50.1") == ("one", "50.1")
    document = orjson.loads(schemas.ASYNCAPI.read_bytes())
    Draft202012Validator(document["components"]["messages"]["alert"]["payload"]).validate(body)


BAD_SECRETS = ["plain", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode()]


@pytest.mark.parametrize("secret", BAD_SECRETS)
def test_a_secret_that_can_be_guessed_is_refused_and_not_repeated(
    tmp_path: Path, secret: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(secret)
    with pytest.raises(SettingsError) as error:
        webhook("https://example.com/x", path)
    assert "openssl rand" in str(error.value)
    assert secret == "whsec_" or secret not in str(error.value)


# ------------------------------------------------------------------ to nobody else

URLS = [
    # url                              | secret | is refused for
    ("https://example.com/hook",         True,  ""),
    ("http://127.0.0.1:8080/hook",       True,  ""),
    ("http://localhost/hook",            True,  ""),
    ("http://example.com/hook",          True,  "not https"),
    ("http://10.0.0.1/hook",             True,  "not https"),
    ("ftp://example.com/hook",           True,  "not https"),
    ("https:///hook",                    True,  "not https"),
    ("https://[::1/hook",                True,  "no address"),
    ("https://example.com:99999/",       True,  "no address"),
    ("https://user:w0rd@example.com/",   True,  "carries a user"),
    ("https://example.com/hook",         False, "RATER_ALERTS_SECRET_FILE"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "with_secret", "why"), URLS)
def test_a_webhook_is_https_and_signed_or_refused(
    secret_file: Path, url: str, with_secret: bool, why: str
) -> None:
    more = {"alerts_secret_file": secret_file} if with_secret else {}
    with environment():
        if not why:
            assert load_settings(alerts_url=url, **more).alerts_url == url
            return
        with pytest.raises(SettingsError, match=why) as error:
            load_settings(alerts_url=url, **more)
    assert "w0rd" not in str(error.value)


ADDRESSES = [
    # address                  | is public
    ("93.184.216.34",            True),
    ("2606:2800:220:1::1",       True),
    ("10.1.2.3",                 False),
    ("127.0.0.1",                False),
    ("169.254.169.254",          False),
    ("100.64.0.1",               False),
    ("192.168.1.1",              False),
    ("0.0.0.0",                  False),
    ("224.0.1.1",                False),
    ("::1",                      False),
    ("fe80::1%eth0",             False),
    ("fd00::1",                  False),
    ("::ffff:10.0.0.1",          False),
    ("::ffff:93.184.216.34",     True),
    ("2002:a00:1::1",            False),   # 10.0.0.1 behind 6to4
    ("64:ff9b::a00:1",           False),   # 10.0.0.1 behind a gateway
]  # fmt: skip


@pytest.mark.parametrize(("address", "public"), ADDRESSES)
def test_an_address_of_a_network_of_ours_is_known(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::ffff:192.168.0.1]"])
async def test_a_private_address_is_not_connected_to(secret_file: Path, host: str) -> None:
    (answer,) = await webhook(f"https://{host}/hook", secret_file).send([EVENT])
    assert answer == Answer(False, "refused: it is a private address")


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(
    receiver: Receiver, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the open net that its owner lets lead to this machine."""

    def lead_home(host: str, port: int, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lead_home)
    port = receiver.url.rsplit(":", 1)[1]
    (answer,) = await webhook(f"https://hook.example:{port}", secret_file).send([EVENT])
    assert answer == Answer(False, "refused: the name leads to a private address")
    assert receiver.posts == []
    with pytest.raises(webhooks.PrivateAddressError):
        await PublicResolver().resolve("hook.example", 443)
    meant = webhook(f"https://hook.example:{port}", secret_file, alerts_private=True)
    (answer,) = await meant.send([EVENT])
    assert answer.text == "can't be connected to"  # it is there, and speaks no TLS


async def test_no_redirect_is_followed(receiver: Receiver, secret_file: Path) -> None:
    with receiving() as other:
        receiver.answers = [(307, {"Location": other.url})]
        (answer,) = await webhook(receiver.url, secret_file).send([EVENT])
        assert answer == Answer(False, "HTTP 307")
        assert other.posts == []


async def test_who_does_not_answer_is_given_up(
    secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        answers = await webhook(url, secret_file).send([EVENT, EVENT])
    assert answers == [Answer(False, "no answer within 0.2 s")] * 2
    (answer,) = await webhook(url, secret_file).send([EVENT])
    assert answer == Answer(False, "can't be connected to")


# ------------------------------------------------------------------ again, but not for ever


def test_attempts_are_bounded_in_number_and_time() -> None:
    """In virtual time, asked each second, of a receiver that refuses each."""
    tried: Tried | None = None
    at_s, sent_at_s = 0, []
    while at_s < TRIED_FOR.total_seconds():
        now = NOW + timedelta(seconds=at_s)
        if is_due(tried, now):
            sent_at_s.append(at_s)
            attempts = 1 if tried is None else tried.attempts + 1
            tried = Tried("webhook", attempts, False, "HTTP 500", now)
        at_s += 1 if at_s < 10_000 else 60
    waits = [after - before for before, after in itertools.pairwise(sent_at_s)]
    assert len(sent_at_s) == len(WAITS_S)
    assert all(wait <= waited < wait + 60 for wait, waited in zip(WAITS_S[1:], waits, strict=True))
    assert tried is not None
    assert not is_due(tried, NOW + timedelta(days=365))
    assert not is_due(Tried("webhook", 1, True, "", NOW), NOW + timedelta(days=1))


async def test_a_receiver_that_fails_is_asked_again_and_the_log_says_so(
    ledger: Ledger, receiver: Receiver, secret_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.maintenance.tell.WAITS_S", (0, 0, 0))
    receiver.answers = [(500, {}), (429, {}), (200, {})]
    (alert_id,) = tell(ledger)
    job = AlertsJob(ledger, {"webhook": webhook(receiver.url, secret_file).send})
    for _ in range(5):
        await job.run()
    assert receiver.ids() == [alert_id] * 3
    assert len({post.body for post in receiver.posts}) == 1
    ((told, (tried,)),) = read_alerts(ledger, "acme", MONTH, limit=10)
    assert told.alert_id == alert_id
    assert (tried.attempts, tried.was_sent, tried.answer) == (3, True, "HTTP 200")
    answers = ledger.query("SELECT attempt, sent, answer FROM deliveries ORDER BY attempt")
    assert answers == [(1, 0, "HTTP 500"), (2, 0, "HTTP 429"), (3, 1, "HTTP 200")]
    rows = str(ledger.query("SELECT * FROM deliveries")) + str(ledger.query("SELECT * FROM alerts"))
    assert SECRET not in rows
    assert receiver.url not in rows


async def test_one_way_that_fails_holds_up_no_other(ledger: Ledger) -> None:
    sent: list[str] = []

    async def works(events: Sequence[AlertEvent]) -> list[Answer]:
        sent.extend(event.id for event in events)
        return [Answer(True, "")] * len(events)

    async def hangs(events: Sequence[AlertEvent]) -> list[Answer]:
        while len(sent) < 3:  # until the other has done all of it
            await asyncio.sleep(0.01)
        return [Answer(False, "late")] * len(events)

    ids = tell(ledger, percents=3)
    await AlertsJob(ledger, {"topic": works, "webhook": hangs}).run()
    assert sent == ids or sorted(sent) == sorted(ids)
    ways = {
        one.channel: (one.was_sent, one.attempts)
        for _, ways in read_recent(ledger, 0)
        for one in ways
    }
    assert ways == {"topic": (True, 1), "webhook": (False, 1)}


# ------------------------------------------------------------------ received once, by its id


class KilledError(BaseException):
    """The process that was sending is gone."""


@pytest.mark.parametrize("when", ["before it is sent", "before it is noted"])
async def test_a_worker_that_is_killed_leaves_none_out_and_none_counts_twice(
    ledger: Ledger,
    receiver: Receiver,
    secret_file: Path,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = tell(ledger, percents=3)
    send = webhook(receiver.url, secret_file).send

    async def die(events: Sequence[AlertEvent]) -> list[Answer]:
        if when == "before it is noted":
            await send(events)
        raise KilledError

    with pytest.raises(KilledError):
        await AlertsJob(ledger, {"webhook": die}).run()
    for _ in range(3):  # whoever takes it over
        await AlertsJob(ledger, {"webhook": send}).run()
    times = 2 if when == "before it is noted" else 1
    assert sorted(receiver.ids()) == sorted(ids * times)
    assert sorted(set(receiver.ids())) == sorted(ids)  # as a receiver has it that drops repeats
    bodies = {post.headers["webhook-id"]: post.body for post in receiver.posts}
    assert all(post.body == bodies[post.headers["webhook-id"]] for post in receiver.posts)


def test_without_a_webhook_alerts_go_to_the_topic_alone(secret_file: Path) -> None:
    assert list(ways_of(Settings())) == ["topic"]
    with environment():
        settings = load_settings(alerts_url="https://a.example", alerts_secret_file=secret_file)
    ways: dict[str, Way] = ways_of(settings)
    assert list(ways) == ["topic", "webhook"]
