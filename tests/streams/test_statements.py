"""What readers of the ledger see, against the independent oracle, on a mix of every kind."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from rater.instants import to_us
from rater.kinds import KINDS
from rater.months import parse_month
from rater.statement import statement_to_json
from rater.tariff import Book
from rater.tariff_file import load_book
from schemas import SAMPLE_TARIFF
from streams.base.settings import load_settings
from streams.kafka.simulate import Simulator
from streams.maintenance.recurring import make_months
from streams.operations.explain import explain_event
from streams.rows.batch import Batch
from streams.store.ledger import Ledger
from streams.store.statements import (
    read_months,
    read_products,
    read_standing,
    read_statement,
)
from streams.web.app import create_app
from tests import oracle
from tests.conftest import (
    LOGGED_MS,
    Log,
    MakeLedger,
    Rows,
    assert_rows,
    call,
    comparable,
    number,
    rows_by_oracle,
    rows_of,
    subscription,
    text,
)
from tests.support.readings import csv_differences, page_differences

MONTHS = ("2026-08", "2026-09", "2026-10")
ACCOUNTS = ("acme", "globex", "initech")  # acme's months are New York's, the others' UTC's
AS_OF = datetime.fromtimestamp(LOGGED_MS / 1000, UTC) + timedelta(days=1)


def mixed_log(seed: int, size: int) -> Log:
    """Simulated traffic of three months, then what real logs hold beside it: re-sends, conflicts,
    status updates, ends of things, detections that disagree, corrections, what has no tariff."""
    chance = random.Random(seed)
    simulator = Simulator(seed=seed)
    first = datetime(2026, 7, 31, tzinfo=UTC)
    edges = [datetime(2026, month, 1, hour, tzinfo=UTC) for month in (8, 9, 10) for hour in (0, 4)]
    log = Log(orjson.loads(event.value) for event in simulator.opening())
    while len(log.events) < size:
        now = first + timedelta(seconds=chance.randrange(92 * 86_400), microseconds=37)
        if chance.random() < 0.2:  # at a month's edge, of one zone or the other
            now = chance.choice(edges) + timedelta(seconds=chance.randrange(-90, 90))
        for simulated in simulator.happen(now):
            log.append(orjson.loads(simulated.value))
        if chance.random() < 0.15:
            log.append(echo(chance, chance.choice(log.events), len(log.events)))
    return log


def echo(chance: random.Random, event: Mapping[str, Any], n: int) -> Mapping[str, Any]:
    """An event once more: as it was, in conflict, in another state, corrected, or too old."""
    kind = event["kind"]
    other = dict(event)
    way = chance.choice(["same", "conflict", "follow", "revision", "old"])
    if way == "conflict":
        if kind in ("call", "dial"):
            other["from"] = "+17135550100"
        elif kind == "text":
            other |= {"status": "undelivered", "segments": 9}
        elif kind == "recording":
            other["duration_s"] = 59
        elif kind == "amd":
            other["verdict"] = "fax"
    elif way == "follow":
        other["id"] = f"follow-{n}"
        ends = {"recording": "stored_at", "number": "acquired_at", "subscription": "started_at"}
        if kind in ends:
            end = {"recording": "deleted_at", "number": "released_at", "subscription": "ended_at"}
            started = datetime.fromisoformat(event[ends[kind]])
            ended = started + timedelta(seconds=chance.randrange(60 * 86_400))
            other[end[kind]] = min(ended, AS_OF - timedelta(days=1)).isoformat()
        elif kind == "amd":
            other["answered_at"] = event["dialed_at"]
        elif kind == "text":
            other |= {"segments": None, "body": "{" * chance.randrange(1, 400)}
    elif way == "revision":
        other["revision"] = 1
    elif way == "old":
        other["id"] = f"old-{n}"
        if kind == "amd":
            other["call_id"] = other["id"]
        at = "2011-12-31T23:59:59.999999Z"
        for name in ("dialed_at", "answered_at", "ended_at", "sent_at"):
            if other.get(name):
                other[name] = at
    return other


def make_all(ledger: Ledger, book: Book) -> None:
    make_months(ledger, book, [parse_month(month) for month in MONTHS], as_of=AS_OF)


def statements(ledger: Ledger, book: Book) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (account, month): comparable(
            statement_to_json(read_statement(ledger, book, account, parse_month(month)))
        )
        for account in ACCOUNTS
        for month in MONTHS
    }


def stretches_of(log: Log, chance: random.Random) -> Iterator[list[list[int]]]:
    """Some of the log's records in any order, a few stretches at a time."""
    places = [p for p in range(len(log.records)) if chance.random() < 0.6]
    chance.shuffle(places)
    while places:
        taken, places = places[:400], places[400:]
        yield [[place] for place in taken]


@pytest.mark.parametrize("seed", [7])
def test_a_mix_of_every_kind_is_charged_as_by_the_oracle_and_replays_change_nothing(
    make_ledger: MakeLedger, book: Book, oracle_book: oracle.Book, seed: int
) -> None:
    chance = random.Random(seed)
    log = mixed_log(seed, 3_000)
    kinds = Counter(event["kind"] for event in log.events)
    assert len(kinds) == len(KINDS)
    assert min(kinds.values()) >= 5
    expected = oracle.rate_lines(log.events, oracle_book)
    expected_rows = rows_by_oracle(expected, ACCOUNTS, MONTHS)
    assert len(expected_rows) > 3_000

    ledger = make_ledger()
    ledger.write(log.batch(book))
    make_all(ledger, book)
    assert_rows(rows_in_months(ledger), expected_rows)
    for (account, month), statement in statements(ledger, book).items():
        assert statement == expected.statement(account, month)
    # A detection is its call's: of several the oracle parks one, the ledger each.
    waiting = ledger.query("SELECT DISTINCT kind, event_id FROM parked FINAL WHERE kind != 'amd'")
    assert set(waiting) == {(p.kind, p.event_id) for p in expected.parked if p.kind != "amd"}

    before, shown = rows_of(ledger), statements(ledger, book)
    for stretches in stretches_of(log, chance):
        ledger.write(log.batch(book, stretches))
    make_all(ledger, book)
    assert_rows(rows_of(ledger), before)
    assert statements(ledger, book) == shown

    backwards = make_ledger()
    half = len(log.records) // 2
    for part in (range(len(log.records) - 1, half, -1), range(half, -1, -1)):
        backwards.write(log.batch(book, [[place] for place in part]))
        make_all(backwards, book)  # also from half of what is known
    assert_rows(rows_of(backwards), before)
    assert statements(backwards, book) == shown


def reader(ledger: Ledger, book: Book) -> Callable[[str], httpx.Response]:
    """Asks the web in this process."""
    app = create_app(ledger, lambda: book, load_settings())
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))

    async def ask(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path)

    return lambda path: asyncio.run(ask(path))


def test_every_reader_shows_the_oracles_statement_and_its_parts(
    make_ledger: MakeLedger, book: Book, oracle_book: oracle.Book
) -> None:
    """API, page and CSV, over texts of both directions, media and registrations, some failed."""
    log = mixed_log(11, 600)
    expected = oracle.rate_lines(log.events, oracle_book)
    ledger = make_ledger()
    ledger.write(log.batch(book))
    make_all(ledger, book)
    ask = reader(ledger, book)
    kinds: set[tuple[str, ...]] = set()
    free = 0
    for account in ACCOUNTS:
        for month in MONTHS:
            want = expected.statement(account, month)
            path, asked = f"/accounts/{account}", f"?month={month}"
            assert comparable(ask(f"/v1{path}/usage{asked}").json()) == want
            assert list(page_differences(ask(f"{path}/usage{asked}&exact=1").text, want)) == []
            assert list(csv_differences(ask(f"/v1{path}/usage.csv{asked}").text, want)) == []
            for line in want["lines"]:
                kinds |= {tuple(map(str, part.values()))[:3] for part in line["parts"]}
                free += line["free"]
    assert free > 10
    ways = {
        (m, r, d)
        for m in ("sms", "mms")
        for r in ("True", "False")
        for d in ("outbound", "inbound")
    }
    assert {kind[0] for kind in kinds} >= {"sms", "mms", "federal", "state", "local"}
    assert len(ways & kinds) > 4


READINGS = [
    # what is changed in what a reader shows                        | is found by
    (('id="calls-outbound-charge"><data value="0.', 'id="calls-outbound-charge">9<data value="0.'),
     page_differences),
    (('id="usage-total">$', 'id="usage-total">$9'), page_differences),
    (('data-row="taxes-federal"', 'data-row="taxes-state"'), page_differences),
    (("part,taxes", "line,taxes"), csv_differences),
    (("federal", "state"), csv_differences),
]  # fmt: skip


def test_a_reader_that_differs_is_found(ledger: Ledger, book: Book) -> None:
    ledger.write(Log([call(), text()]).batch(book))
    ask = reader(ledger, book)
    want = ask("/v1/accounts/acme/usage?month=2026-08").json()
    shown = {
        page_differences: ask("/accounts/acme/usage?month=2026-08&exact=1").text,
        csv_differences: ask("/v1/accounts/acme/usage.csv?month=2026-08").text,
    }
    for change, differences in READINGS:
        assert list(differences(shown[differences], want)) == []
        assert change[0] in shown[differences]
        assert list(differences(shown[differences].replace(*change), want)), change


def rows_in_months(ledger: Ledger) -> Rows:
    return {name: row for name, row in rows_of(ledger).items() if name[1] in MONTHS}


# ------------------------------------------------------------------ single answers


def test_an_unknown_account_has_a_statement_of_nothing(ledger: Ledger, book: Book) -> None:
    statement = statement_to_json(read_statement(ledger, book, "nobody", date(2026, 8, 1)))
    assert [line["line"] for line in statement["lines"]] == [line for line, *_ in oracle.STATEMENT]
    assert {line["charge"] for line in statement["lines"]} == {"0"}
    assert (statement["total"], statement["status"], statement["zone"]) == (
        "0.00", "estimate", "UTC",
    )  # fmt: skip
    assert read_months(ledger, "nobody") == []
    assert explain_event(ledger, "nobody", "call-1") is None
    assert read_products(ledger, "nobody", date(2026, 8, 1)) == []


MONTH_EDGES = [
    # account    dialed at                      | month
    ("acme",     "2026-09-01T03:59:59.999999Z",   "2026-08"),
    ("acme",     "2026-09-01T04:00:00Z",          "2026-09"),
    ("acme",     "2026-12-01T04:59:59Z",          "2026-11"),  # winter time: five hours
    ("acme",     "2026-12-01T05:00:00Z",          "2026-12"),
    ("globex",   "2026-08-31T23:59:59.999999Z",   "2026-08"),
    ("globex",   "2026-09-01T00:00:00Z",          "2026-09"),
    ("globex",   "2026-09-01T01:59:59+02:00",     "2026-08"),
]  # fmt: skip


def test_a_call_belongs_to_the_month_of_its_dialing_in_the_accounts_zone(
    ledger: Ledger, book: Book
) -> None:
    events = [
        call(
            id=f"call-{n}", account_id=account, dialed_at=at, answered_at=None,
            ended_at=(datetime.fromisoformat(at) + timedelta(hours=1)).isoformat(),
        )
        for n, (account, at, _) in enumerate(MONTH_EDGES)
    ]  # fmt: skip
    log = Log(events)
    log.records = [(k, r._replace(timestamp=LOGGED_MS * 2)) for k, r in log.records]
    ledger.write(log.batch(book))
    rows = ledger.query(
        "SELECT account_id, formatDateTime(month, '%Y-%m') FROM rated_rows ORDER BY event_id"
    )
    assert rows == [(account, month) for account, _, month in MONTH_EDGES]


def test_months_are_the_ones_with_rows_newest_first(ledger: Ledger, book: Book) -> None:
    ledger.write(
        Log(
            [
                text(),
                text(id="text-2", sent_at="2025-12-31T12:00:00Z"),
                text(id="text-3", account_id="other", sent_at="2026-01-31T12:00:00Z"),
            ]
        ).batch(book)
    )
    assert read_months(ledger, "acme") == [date(2026, 8, 1), date(2025, 12, 1)]


def test_products_are_the_subscriptions_that_stood_in_the_month(ledger: Ledger, book: Book) -> None:
    events = [
        subscription(),
        subscription(id="s2", subscription_id="S2", product="office-phone"),
        subscription(id="s3", subscription_id="S3", started_at="2026-09-01T04:00:00Z"),
        subscription(id="s4", account_id="other", subscription_id="S4"),
    ]
    ledger.write(Log(events).batch(book))
    make_all(ledger, book)
    assert read_products(ledger, "acme", date(2026, 8, 1)) == [
        {
            "product": "office-phone",
            "subscription_id": "S2",
            "charge": "19",
            "since": "2026-08-10",
            "next_billing": "2026-09-01",
        },
        {
            "product": "power-dialer",
            "subscription_id": "S",
            "charge": "49",
            "since": "2026-08-10",
            "next_billing": "2026-09-01",
        },
    ]


def test_a_subscription_that_changed_its_product_is_one_product(ledger: Ledger, book: Book) -> None:
    events = [subscription(product="office-phone"), subscription(id="s2", product="power-dialer")]
    ledger.write(Log(events).batch(book))
    make_all(ledger, book)
    assert read_products(ledger, "acme", date(2026, 8, 1)) == [
        {
            "product": "power-dialer", "subscription_id": "S", "charge": "49",
            "since": "2026-08-10", "next_billing": "2026-09-01",
        },
    ]  # fmt: skip


def test_a_subscription_that_was_voided_is_no_product(ledger: Ledger, book: Book) -> None:
    ledger.write(Log([subscription()]).batch(book))
    make_all(ledger, book)
    month = date(2026, 8, 1)
    later_us = to_us(datetime.now(UTC) + timedelta(hours=1))
    ledger.void_monthly(month, ("acme", "subscriptions", "S"), read_us=later_us)
    assert read_products(ledger, "acme", month) == []


def test_a_charge_explains_itself(ledger: Ledger, book: Book) -> None:
    ledger.write(Log([call(), number()]).batch(book))
    make_all(ledger, book)
    explained = explain_event(ledger, "acme", "call-1")
    assert explained is not None
    (row,) = explained["rows"]
    told = {
        "line": "calls", "event_id": "call-1", "month": "2026-08", "direction": "outbound",
        "occurred_at": "2026-08-10T12:00:00Z", "answered_at": "2026-08-10T12:00:10Z",
        "ended_at": "2026-08-10T12:01:01Z", "event_status": "completed", "raw_seconds": 61,
        "billed_seconds": 120, "billed": 2, "unit": "minute", "unit_price": "0.013", "per": 1,
        "charge": "0.026", "tax_federal": "0.00607464", "tax_state": "0.00065",
        "tax_local": "0.000767", "tariff": "standard",
        "tariff_version": "2012-01-01T00:00:00Z", "zone": "America/New_York",
        "rule": "calls outbound +1*: 0.013 per minute, 60/60 s from dial",
        "sentence": "08:00:00 to 08:01:01 is 61 s, 2 minutes at $0.0130 (outbound, +1) = $0.026,"
        " and $0.00749164 tax",
        "topic": "usage.call.v1", "partition": 0, "offset": 0,
    }  # fmt: skip
    assert {name: row[name] for name in told} == told
    assert [words.partition(":")[0] for words in row["taxes"]] == [
        "Federal", "State", "Local", "Local",
    ]  # fmt: skip
    of_number = explain_event(ledger, "acme", "+12125550100")
    assert of_number is not None
    assert [row["month"] for row in of_number["rows"]] == list(MONTHS)


def per_second(ledger: Ledger, book: Book, account: str, month: date) -> float:
    return read_standing(ledger, book, [(account, month)])[account, month].per_second


def test_the_traffic_is_of_the_last_ten_seconds_and_of_the_account_alone(
    ledger: Ledger, book: Book
) -> None:
    log = Log()
    now_ms = time.time_ns() // 1_000_000
    for account, age_s, count in (("acme", 0, 3), ("acme", 60, 4), ("other", 0, 500)):
        for n in range(count):
            log.append(text(id=f"{age_s}-{n}", account_id=account))
            kind, record = log.records[-1]
            log.records[-1] = kind, record._replace(timestamp=now_ms - age_s * 1000)
    ledger.write(log.batch(book))
    august, july = date(2026, 8, 1), date(2026, 7, 1)
    assert per_second(ledger, book, "acme", august) == 0.3  # each text has two rows
    assert per_second(ledger, book, "other", august) == 50
    assert per_second(ledger, book, "acme", july) == 0
    assert per_second(ledger, book, "nobody", august) == 0


def test_an_old_month_shows_what_its_rows_say_whatever_the_book_says_today(
    ledger: Ledger, book: Book, tmp_path: Path
) -> None:
    ledger.write(Log([call()]).batch(book))
    file = tmp_path / "book.toml"
    edited = SAMPLE_TARIFF.read_text("utf-8")
    for old, new in (
        ("USD", "EUR"),
        ("America/New_York", "America/Chicago"),
        ("standard", "other"),
    ):
        edited = edited.replace(f'"{old}"', f'"{new}"')
    file.write_text(edited, "utf-8")
    for path in SAMPLE_TARIFF.parent.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    today = load_book(file)
    shown = [
        (made.zone, made.currency, made.tariffs, made.remarks)
        for month in ("2026-08", "2026-09")  # with rows, and without
        for made in [read_statement(ledger, today, "acme", parse_month(month))]
    ]
    assert shown == [
        ("America/New_York", "USD", ("standard",), ()),
        ("America/Chicago", "EUR", ("other",), ()),
    ]


def test_a_month_of_several_currencies_zones_and_plans_says_so(ledger: Ledger, book: Book) -> None:
    later = call(
        id="call-2", dialed_at="2026-08-20T12:00:00Z", answered_at=None,
        ended_at="2026-08-20T12:01:01Z",
    )  # fmt: skip
    rows = Log([call(), later]).batch(book).rated
    other = rows[1].charge.changed(zone="Asia/Tokyo", currency="EUR", tariff="gold")
    ledger.write(Batch(rated=[rows[0], rows[1]._replace(charge=other)]))
    made = read_statement(ledger, book, "acme", date(2026, 8, 1))
    assert (made.zone, made.currency, made.tariffs) == (
        "Asia/Tokyo", "EUR and USD", ("standard", "gold"),
    )  # fmt: skip
    assert [remark.partition(":")[0] for remark in made.remarks] == [
        "The time zone changed within the month",
        "Charges in EUR and USD are added up as they stand",
        "The plan changed within the month",
    ]
    totals = ledger.query("SELECT currency, charge FROM statement_totals ORDER BY currency")
    assert [currency for currency, _ in totals] == ["EUR", "USD"]  # no sum of both
    assert sum(charge for _, charge in totals) == Decimal("0.052")
