"""The ledger, on both ways to the store: the engine in the process, and HTTP as in production."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import schemas
from rater.charge import MONEY, Charge, Cost, Terms
from rater.monthly import Telling
from rater.rate import Parked, Wait
from rater.reject import Reason, Reject
from rater.statement import statement_to_json
from rater.tariff import Book
from rater.usage import State
from streams.base.settings import Settings
from streams.maintenance.recurring import make_months
from streams.rows.batch import Batch, ParkedRow, RatedRow, Receipt, RejectedRow, StateRow
from streams.rows.changed import Changed
from streams.rows.log_position import Place
from streams.store.events import read_event
from streams.store.ledger import (
    TABLES,
    Ledger,
    NoStoreError,
    StoreErrors,
    StoreHeldError,
    open_ledger,
)
from streams.store.parked import BEFORE_ALL, read_waiting, resolve_parked
from streams.store.statements import read_months, read_statement
from tests.conftest import LOGGED_MS, Log, MakeLedger, amd, call, number, recording, text
from tests.support.clickhouse_http import ClickHouseHttp

AUGUST = date(2026, 8, 1)
AS_OF = datetime(2026, 11, 2, tzinfo=UTC)
LARGEST = 999_999_999_999_999_999  # nanos: Decimal(18, 9) holds no more
EARLIEST_US, LATEST_US = -1_500_000_000_000_001, 9_000_000_000_000_001
ODD_TEXT = 'O\'Hara "x" \\ \t\n {a:String} %s é€😀 -- ;'
# When a row was written; two writings differ in nothing else.
CLOCKS = {"parked": "parked_at", "rejected": "rejected_at", "receipts": "written_at"}


def charge(**more: Any) -> Charge:
    """A charge of which no two fields hold the same."""
    terms = Terms(
        month=AUGUST, line="calls", kind="call", direction="outbound", media="voice", device="web",
        sender="10dlc", carrier="att", registered="true", number_type="local",
        product="power-dialer", recorded="false", dialed=False, event_status="completed",
        unit="minute", unit_price=8_500_000, per=1, connection_fee=5_000, currency="USD",
        tariff="standard",
        tariff_version="2025-01-01T00:00:00Z", zone="America/New_York", status="rated",
    )  # fmt: skip
    cost = Cost(
        segments=3, raw_seconds=61, billed_seconds=120, billed=2, charge=17_000_001,
        tax_federal=1_000_000_001, tax_state=20_000_002, tax_local=300_003, tax_status="taxed",
        tax_rule="US", rule="60/60", stood_us=86_400_000_001,
    )  # fmt: skip
    return Charge(
        account_id="acme", identity="id-1", revision=0, event_id="event-1",
        from_="+12125550100", to="+13105550100", group_id="group-1", campaign_id="campaign-1",
        call_id="call-1", user_id="user-1", team="team-1", verdict="human", encoding="gsm7",
        occurred_us=1_786_363_200_000_001, answered_us=1_786_363_200_000_002,
        ended_us=1_786_363_261_999_999, terms=terms, cost=cost,
    ).changed(**more)  # fmt: skip


def rated(offset: int = 7, **more: Any) -> RatedRow:
    place = Place("usage.call.v1", 3, offset, LOGGED_MS + 7)
    return RatedRow(charge(**more), 2**64 - 1, place, 2**127 + offset)


def nanos(amount: Decimal) -> int:
    return int(amount.scaleb(9))


def shape(ledger: Ledger, table: str) -> list[tuple[str, str]]:
    """The columns of a table in their order, with their types."""
    rows = ledger.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase()"
        " AND table = {table:String} ORDER BY position",
        {"table": table},
    )
    return [(name, type_) for name, type_ in rows]


def stored(ledger: Ledger, table: str) -> list[dict[str, Any]]:
    """Every column of every row: instants as integers, bytes as hexadecimals, money as it is."""
    columns = shape(ledger, table)
    exact = []
    for name, type_ in columns:
        if "DateTime64(6" in type_:
            exact.append(f"toUnixTimestamp64Micro({name})")
        elif "DateTime64(3" in type_:
            exact.append(f"toUnixTimestamp64Milli({name})")
        else:
            exact.append(f"hex({name})" if name in ("raw", "key") else name)
    names = [name for name, _ in columns]
    rows = ledger.query(f"SELECT {', '.join(exact)} FROM {table} FINAL ORDER BY ALL")
    return [dict(zip(names, row, strict=True)) for row in rows]


def everything(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """All tables, without the clock of writing."""
    return {
        table: [
            {name: value for name, value in row.items() if name != CLOCKS.get(table)}
            for row in stored(ledger, table)
        ]
        for table in TABLES
    }


# ------------------------------------------------------------------ migrations


def test_migrations_run_once_and_the_second_time_there_is_nothing_to_do(any_ledger: Ledger) -> None:
    names = sorted(path.name for path in schemas.MIGRATIONS.glob("*.sql"))
    any_ledger.write(Batch(rated=[rated()]))
    before = everything(any_ledger)
    assert any_ledger.migrate() == []
    assert any_ledger.query("SELECT name FROM migrations FINAL ORDER BY name") == [
        (name,) for name in names
    ]
    assert everything(any_ledger) == before


def test_migrations_that_were_cut_off_are_run_again_and_lose_nothing(any_ledger: Ledger) -> None:
    """A crash after the statements and before the note of it: all of them, at the worst."""
    any_ledger.write(Batch(rated=[rated()]))
    before, shown = everything(any_ledger), views(any_ledger)
    run(any_ledger, "TRUNCATE TABLE migrations")
    assert any_ledger.migrate() == sorted(path.name for path in schemas.MIGRATIONS.glob("*.sql"))
    assert everything(any_ledger) == before
    assert views(any_ledger) == shown


def test_a_ledger_of_the_version_before_keeps_its_rows_and_learns_their_zones(
    any_ledger: Ledger, book: Book
) -> None:
    any_ledger.write(Batch(rated=[rated()]))
    before = everything(any_ledger)
    run(any_ledger, "ALTER TABLE rated DROP COLUMN zone")
    run(any_ledger, "DELETE FROM migrations WHERE name = '0011_accounts.sql'")
    assert any_ledger.migrate() == ["0011_accounts.sql"]
    before["rated"][0]["zone"] = ""
    assert everything(any_ledger) == before
    # What an old row does not say, the book says.
    assert read_statement(any_ledger, book, "acme", AUGUST).zone == "America/New_York"
    newer = {"identity": "id-2", "zone": "Asia/Tokyo"}
    any_ledger.write(Batch(rated=[rated(8, **newer)]))
    statement = read_statement(any_ledger, book, "acme", AUGUST)
    assert (statement.zone, statement.remarks) == ("Asia/Tokyo", ())


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql)


def test_an_opened_ledger_answers(any_ledger: Ledger) -> None:
    assert any_ledger.ping()


def test_a_store_that_was_never_migrated_is_refused(
    http_server: ClickHouseHttp, ledger: Ledger, tmp_path: Path
) -> None:
    for url in (http_server.url, f"chdb:{tmp_path / 'store-0'}"):
        with pytest.raises(StoreErrors, match="never_made"):
            open_ledger(
                Settings(clickhouse_url=url, clickhouse_database="never_made"), migrate=False
            )


def test_a_store_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    none = tmp_path / "none"
    for migrate in (False, True):
        with pytest.raises(NoStoreError, match=f"no store at {none}; "):
            open_ledger(Settings(clickhouse_url=f"chdb:{none}"), migrate=migrate, make=False)
    assert not none.exists()


def test_a_second_folder_in_one_process_says_that_the_store_is_held(
    ledger: Ledger, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with pytest.raises(StoreHeldError, match=f"{other}.*another process"):
        open_ledger(Settings(clickhouse_url=f"chdb:{other}"), migrate=True)
    assert ledger.ping()


# ------------------------------------------------------------------ every column, exactly

AMOUNTS = [0, 1, -1, 8_500_000, -17_000_001, LARGEST, -LARGEST, 2**32, -(2**32), 2**59]


def test_every_amount_of_a_charge_returns_to_the_last_nano(any_ledger: Ledger) -> None:
    told = {
        (field, n): {name: AMOUNTS[n] if name == field else 7 for name in MONEY}
        for field in MONEY
        for n in range(len(AMOUNTS))
    }
    rows = [rated(identity=f"{field}-{n}", **told[field, n]) for field, n in told]
    any_ledger.write(Batch(rated=rows))
    returned = {
        row["identity"]: {name: nanos(row[name]) for name in MONEY}
        for row in stored(any_ledger, "rated")
    }
    assert returned == {f"{field}-{n}": amounts for (field, n), amounts in told.items()}


CHARGES: list[tuple[str, dict[str, Any]]] = [
    # what                      | what differs
    ("as usual",                  {}),
    ("never answered",            {"answered_us": None}),
    ("no end",                    {"answered_us": None, "ended_us": None}),
    ("long ago",                  {"occurred_us": EARLIEST_US, "month": date(1970, 1, 1)}),
    ("far ahead",                 {"occurred_us": LATEST_US, "ended_us": LATEST_US}),
    ("the largest integers",      {"raw_seconds": 2**32 - 1, "billed": 2**32 - 1,
                                   "segments": 65_535, "per": 2**32 - 1, "revision": 2**31 - 1}),
    ("odd texts",                 {"identity": ODD_TEXT, "from_": ODD_TEXT, "rule": ODD_TEXT,
                                   "group_id": "\0", "campaign_id": ""}),
    ("the end of a leap month",   {"month": date(2028, 2, 1)}),
]  # fmt: skip


def test_every_column_of_a_rated_row_returns_exactly(any_ledger: Ledger) -> None:
    rows = [rated(event_id=what, **{"identity": what} | more) for what, more in CHARGES]
    any_ledger.write(Batch(rated=rows))
    returned = {row["event_id"]: row for row in stored(any_ledger, "rated")}
    for row in rows:
        expected: dict[str, Any] = row.charge.columns()
        for field, column in (
            ("from_", "from_number"), ("to", "to_number"), ("occurred_us", "occurred_at"),
            ("answered_us", "answered_at"), ("ended_us", "ended_at"),
        ):  # fmt: skip
            expected[column] = expected.pop(field)
        expected |= {name: Decimal(expected[name]).scaleb(-9) for name in MONEY}
        expected |= {
            "content_hash": 2**64 - 1, "topic": "usage.call.v1", "partition": 3, "offset": 7,
            "logged_at": LOGGED_MS + 7, "version": 2**127 + 7,
        }  # fmt: skip
        assert returned[row.charge.event_id] == expected


def test_a_version_of_128_bits_returns_exactly(any_ledger: Ledger) -> None:
    versions = [0, 1, 2**64 - 1, 2**64, 2**127 - 1, 2**127, 2**128 - 1]
    any_ledger.write(
        Batch(rated=[rated(identity=f"{v}")._replace(version=v) for v in reversed(versions)])
    )
    assert any_ledger.query("SELECT version FROM rated ORDER BY version") == [
        (version,) for version in versions
    ]


def state(event_id: str, **more: Any) -> StateRow:
    told = State(
        "phone_numbers", "thing-1", "billed-as", EARLIEST_US, None, 90, "+12125550100",
        (None,) * 8 + ("local", "power-dialer"), "call-1", user_id="user-1", team="team-1",
    )._replace(**more)  # fmt: skip
    place = Place("usage.number.v1", 3, 2**62, LOGGED_MS)
    return StateRow(Telling("acme", "number", event_id, 5, told), 2, 2**63, place, 2**127 - 5)


def test_every_column_of_a_state_returns_exactly(any_ledger: Ledger) -> None:
    ended = state("ended", until_us=LATEST_US, dims=(None,) * 8 + ("tollfree", None))
    any_ledger.write(Batch(states=[state("stands"), ended]))
    stands: dict[str, Any] = {
        "account_id": "acme", "kind": "number", "event_id": "stands", "revision": 2,
        "line": "phone_numbers", "thing": "thing-1", "billed_as": "billed-as",
        "from_at": EARLIEST_US, "until_at": None, "seconds": 90, "number": "+12125550100",
        "number_type": "local", "product": "power-dialer", "call_id": "call-1",
        "name": "", "detection": None, "user_id": "user-1", "team": "team-1",
        "content_hash": 2**63, "topic": "usage.number.v1",
        "partition": 3, "offset": 2**62,
        "logged_at": LOGGED_MS, "version": 2**127 - 5,
    }  # fmt: skip
    assert stored(any_ledger, "states") == [
        stands
        | {"event_id": "ended", "until_at": LATEST_US, "number_type": "tollfree", "product": ""},
        stands,
    ]


def parked(offset: int = 9) -> ParkedRow:
    reason = Parked(Wait.NO_PRICE, ODD_TEXT)
    event = f'{{"id":"{offset}é"}}'.encode()
    return ParkedRow(Place("usage.text.v1", 3, offset, LOGGED_MS), "text", "a", "e", reason, event)


def test_every_column_of_a_parked_row_returns_exactly(any_ledger: Ledger) -> None:
    started_ms = now_ms()
    any_ledger.write(Batch(parked=[parked()]))
    (row,) = stored(any_ledger, "parked")
    assert started_ms <= row.pop("parked_at") <= now_ms()
    assert row == {
        "topic": "usage.text.v1", "partition": 3, "offset": 9, "kind": "text", "account_id": "a",
        "record_hash": parked().record_hash(),
        "event_id": "e", "reason": "no_price", "message": ODD_TEXT, "event": '{"id":"9é"}',
        "logged_at": LOGGED_MS, "resolved": 0,
    }  # fmt: skip


def test_every_column_of_a_rejected_row_returns_exactly(any_ledger: Ledger) -> None:
    raw = bytes(range(256)) * 300
    reject = Reject(Reason.BAD_JSON, ODD_TEXT)
    headers = [("traceparent", b"00-\xff"), ("ce_id", b"")]
    place = Place("usage.text.v1", 3, 9, LOGGED_MS)
    started_ms = now_ms()
    rejected = RejectedRow(place, "text", reject, b"\xfe", raw, headers)
    any_ledger.write(Batch(rejected=[rejected]))
    (row,) = stored(any_ledger, "rejected")
    assert started_ms <= row.pop("rejected_at") <= now_ms()
    assert row.pop("raw") == raw[:65_536].hex().upper()
    assert row.pop("raw_hash") == hashlib.blake2b(raw, digest_size=16).hexdigest()
    assert row.pop("engine_version") != ""
    assert row == {
        "topic": "usage.text.v1", "partition": 3, "offset": 9, "kind": "text",
        "reason": "bad_json", "message": ODD_TEXT, "key": "FE", "raw_bytes": len(raw),
        "record_hash": rejected.record_hash(),
        "headers": '[["traceparent","00-�"],["ce_id",""]]', "logged_at": LOGGED_MS,
    }  # fmt: skip


def test_a_tombstone_without_a_key_returns_as_empty_bytes(any_ledger: Ledger) -> None:
    place, reject = Place("usage.text.v1", 3, 9, LOGGED_MS), Reject(Reason.EMPTY, "no value")
    any_ledger.write(Batch(rejected=[RejectedRow(place, "text", reject, None, b"", ())]))
    (row,) = stored(any_ledger, "rejected")
    assert (row["key"], row["raw"], row["raw_bytes"], row["headers"]) == ("", "", 0, "")


def test_every_column_of_a_receipt_returns_exactly(any_ledger: Ledger) -> None:
    counts = (6, 1, 2, 3, 4, 5)
    receipts = [
        Receipt(
            "usage.call.v1",
            3,
            2**62 + n,
            2**62 + n,
            LOGGED_MS,
            LOGGED_MS + n,
            *counts,
            charged,
            ((5, 6), (2**62 - 1, 2**62 - 1)),
        )
        for n, charged in enumerate((0, -1, LARGEST, LARGEST + 1, 2**63 - 1))
    ]
    any_ledger.write(Batch(receipts=receipts))
    assert everything(any_ledger)["receipts"] == [
        {name.replace("logged_ms", "logged_at"): of for name, of in receipt._asdict().items()}
        | {"charge": Decimal(receipt.charge).scaleb(-9), "skipped": [5, 6, 2**62 - 1, 2**62 - 1]}
        for receipt in receipts
    ]


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


# ------------------------------------------------------------------ identity


def mixed(book: Book) -> Batch:
    log = Log([call(), text(), amd(), number(), recording(), call(id="odd", revision=1)])
    batch = log.batch(book)
    batch.rejected.append(
        RejectedRow(
            Place("usage.call.v1", 0, 99, LOGGED_MS), "call", Reject(Reason.EMPTY, ""), b"", b"", ()
        )
    )
    return batch


def test_a_batch_written_twice_changes_nothing(any_ledger: Ledger, book: Book) -> None:
    batch = mixed(book)
    any_ledger.write(batch)
    once, shown = everything(any_ledger), views(any_ledger)
    assert all(once[table] for table in TABLES)
    any_ledger.write(batch)
    assert everything(any_ledger) == once
    assert views(any_ledger) == shown
    run(any_ledger, "OPTIMIZE TABLE rated FINAL")
    assert everything(any_ledger) == once


def views(ledger: Ledger) -> list[list[tuple[Any, ...]]]:
    names = ("rated_rows", "statement_lines", "statement_totals")
    return [ledger.query(f"SELECT * FROM {name} ORDER BY ALL") for name in names]


CONFLICTS = [call(ended_at=f"2026-08-10T12:{n:02}:00Z", answered_at=None) for n in (5, 2, 9)]


def test_the_first_record_of_an_id_stands_whatever_is_written_first(
    any_ledger: Ledger, book: Book
) -> None:
    orders = list(permutations(range(3)))
    for n, order in enumerate(orders):
        log = Log([event | {"id": f"call-{n}"} for event in CONFLICTS])
        for place in order:
            any_ledger.write(log.batch(book, [[place]]))
    rows = stored(any_ledger, "rated")
    assert [(row["identity"], row["billed"], row["offset"]) for row in rows] == [
        (f"call-{n}", 5, 0) for n in range(len(orders))
    ]


DETECTIONS = [
    amd(id="d0", answered_at=None, verdict="unknown"),
    amd(id="d1", answered_at="2026-08-10T12:00:20Z", verdict="machine"),
    amd(id="d2", answered_at="2026-08-10T12:00:30Z", verdict="human"),
]


def test_the_first_answered_detection_of_a_call_stands(any_ledger: Ledger, book: Book) -> None:
    orders = list(permutations(range(3)))
    for n, order in enumerate(orders):
        log = Log([event | {"call_id": f"dial-{n}"} for event in DETECTIONS])
        for place in order:
            any_ledger.write(log.batch(book, [[place]]))
    rows = stored(any_ledger, "rated")
    assert [(row["identity"], row["event_id"], row["charge"]) for row in rows] == [
        (f"dial-{n}", "d1", Decimal("0.01")) for n in range(len(orders))
    ]


def test_a_status_update_of_a_text_is_not_a_new_charge(any_ledger: Ledger, book: Book) -> None:
    any_ledger.write(Log([text(), text(status="delivered")]).batch(book))
    assert [row["line"] for row in stored(any_ledger, "rated")] == ["carrier_fees", "texts"]


def test_the_first_telling_of_an_event_id_stands(any_ledger: Ledger, book: Book) -> None:
    log = Log([recording(duration_s=60), recording(duration_s=600)])
    for place in (1, 0):
        any_ledger.write(log.batch(book, [[place]]))
    assert [row["seconds"] for row in stored(any_ledger, "states")] == [60]


def test_a_resolved_record_stays_resolved_when_it_is_read_again(
    any_ledger: Ledger, book: Book
) -> None:
    batch = Batch(parked=[parked(1), parked(2)])
    any_ledger.write(batch)
    first = read_waiting(any_ledger, BEFORE_ALL, 1)
    resolve_parked(any_ledger, first)
    any_ledger.write(batch)
    rows = stored(any_ledger, "parked")
    assert [(row["offset"], row["resolved"], row["event"]) for row in rows] == [
        (1, 1, '{"id":"1é"}'),
        (2, 0, '{"id":"2é"}'),
    ]


def test_receipts_of_a_log_without_gaps_lie_end_to_end(any_ledger: Ledger, book: Book) -> None:
    log = Log([call(id=f"call-{n}") for n in range(9)])
    for stretch in ([0, 1, 2], [3], [4, 5, 6, 7, 8]):
        any_ledger.write(log.batch(book, [stretch]))
    rows = any_ledger.query(
        "SELECT first_offset, last_offset, records, events, toString(charge)"
        " FROM receipts FINAL ORDER BY first_offset"
    )
    assert rows == [(0, 2, 3, 3, "0.078"), (3, 3, 1, 1, "0.026"), (4, 8, 5, 5, "0.13")]


# ------------------------------------------------------------------ what readers see

TOTALS = [
    # charges in nanos                      | exact           total
    ([5_000_000],                             "0.005",        "0.00"),
    ([15_000_000],                            "0.015",        "0.02"),
    ([25_000_000],                            "0.025",        "0.02"),
    ([5_000_001],                             "0.005000001",  "0.01"),
    ([4_999_999],                             "0.004999999",  "0.00"),
    ([2_500_000, 2_500_000, 120_000_000],     "0.125",        "0.12"),
    ([1_000_000_000, 135_000_000],            "1.135",        "1.14"),
    ([-15_000_000],                           "-0.015",       "-0.02"),
    ([-25_000_000],                           "-0.025",       "-0.02"),
    ([LARGEST, 1, LARGEST, 1],                "2000000000",   "2000000000.00"),
]  # fmt: skip


def test_the_views_and_the_statement_agree_on_the_total_to_the_cent(
    any_ledger: Ledger, book: Book
) -> None:
    untaxed = {"tax_federal": 0, "tax_state": 0, "tax_local": 0}
    rows = [
        rated(account_id=f"account-{n}", identity=f"id-{i}", charge=nanos_, **untaxed)
        for n, (charges, _, _) in enumerate(TOTALS)
        for i, nanos_ in enumerate(charges)
    ]
    any_ledger.write(Batch(rated=rows))
    shown = any_ledger.query(
        "SELECT exact_total, total, currency FROM statement_totals ORDER BY account_id"
    )
    assert shown == [(Decimal(exact), Decimal(total), "USD") for _, exact, total in TOTALS]
    for n, (_, _, total) in enumerate(TOTALS):
        statement = statement_to_json(read_statement(any_ledger, book, f"account-{n}", AUGUST))
        assert statement["total"] == total


def test_the_views_and_the_statement_agree_on_lines_and_taxes(
    any_ledger: Ledger, book: Book
) -> None:
    any_ledger.write(mixed(book))
    run(any_ledger, "OPTIMIZE TABLE rated FINAL")
    statement = statement_to_json(read_statement(any_ledger, book, "acme", AUGUST))
    by_line = any_ledger.query(
        "SELECT line, sum(row_count), sum(charge) FROM statement_lines"
        " WHERE account_id = 'acme' AND month = '2026-08-01' GROUP BY line ORDER BY line"
    )
    assert by_line == [
        ("ai_voice_detection", 1, Decimal("0.01")),
        ("calls", 1, Decimal("0.026")),
        ("carrier_fees", 1, Decimal("0.003")),
        ("texts", 1, Decimal("0.0079")),
    ]
    in_rows = any_ledger.query(
        "SELECT sum(charge), sum(tax_federal + tax_state + tax_local) FROM rated_rows"
    )
    ((total_charge, total_tax, exact, total),) = any_ledger.query(
        "SELECT charge, tax, exact_total, total FROM statement_totals"
    )
    assert in_rows == [(total_charge, total_tax)]
    assert exact == total_charge + total_tax == sum_of(statement)
    assert statement["total"] == f"{total:.2f}"


def sum_of(statement: dict[str, Any]) -> Decimal:
    return sum((Decimal(line["charge"]) for line in statement["lines"]), Decimal(0))


def test_the_view_for_invoicing_shows_each_charge_once_and_every_column(
    any_ledger: Ledger, book: Book
) -> None:
    for _ in range(3):
        any_ledger.write(Batch(rated=[rated()]))
    assert any_ledger.query("SELECT count(), sum(charge) FROM rated_rows") == [
        (1, Decimal("0.017000001"))
    ]
    hidden = {"version", "content_hash"}
    columns = [name for name, _ in shape(any_ledger, "rated") if name not in hidden]
    assert [name for name, _ in shape(any_ledger, "rated_rows")] == columns


ACCOUNTS = [
    "acme",
    "O'Hara",
    "' OR '1'='1",
    "x'; DROP TABLE rated; --",
    'a "quoted" id',
    "back\\slash\\",
    "\\N",
    "tab\tand\nbreak",
    "{account:String}",
    "%s %(account)s",
    "naïve 😀",
]


def test_an_account_id_is_data_and_never_sql(any_ledger: Ledger, book: Book) -> None:
    events = [event(account_id=account) for account in ACCOUNTS for event in (call, number)]
    any_ledger.write(Log(events).batch(book))
    made = make_months(
        any_ledger, book, [AUGUST], as_of=AS_OF, changed=Changed(set(), set(ACCOUNTS))
    )
    assert made[:2] == (len(ACCOUNTS), set())
    for account in ACCOUNTS:
        statement = statement_to_json(read_statement(any_ledger, book, account, AUGUST))
        charges = [line["charge"] for line in statement["lines"][:3]]
        assert (account, *charges) == (account, "1", "0", "0.026")
        assert read_months(any_ledger, account) == [AUGUST]
        assert [row.charge.cost.charge for row in read_event(any_ledger, account, "call-1")] == [
            26_000_000
        ]
    assert any_ledger.query("SELECT count() FROM rated FINAL") == [(2 * len(ACCOUNTS),)]


# ------------------------------------------------------------------ a store that says no


def test_a_table_that_does_not_take_its_rows_raises_and_no_receipt_is_written(
    any_ledger: Ledger, book: Book
) -> None:
    for table in TABLES:
        run(any_ledger, f"RENAME TABLE {table} TO away")
        with pytest.raises(StoreErrors, match=table):
            any_ledger.write(mixed(book))
        run(any_ledger, f"RENAME TABLE away TO {table}")
        assert any_ledger.query("SELECT count() FROM receipts") == [(0,)]
    any_ledger.write(mixed(book))
    assert len(everything(any_ledger)["receipts"]) == 5


@contextmanager
def down(server: ClickHouseHttp) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


def test_a_server_that_is_gone_raises_and_takes_the_batch_when_it_is_back(
    http_ledger: Ledger, http_server: ClickHouseHttp, book: Book
) -> None:
    tried: list[Callable[[], object]] = [
        lambda: http_ledger.write(mixed(book)),
        lambda: http_ledger.query("SELECT 1"),
        lambda: http_ledger.insert("replays", ["origin"], [["a/1/2"]]),
        lambda: open_ledger(Settings(clickhouse_url=http_server.url), migrate=False),
    ]
    with down(http_server):
        for attempt in tried:
            with pytest.raises(StoreErrors):
                attempt()
        assert not http_ledger.ping()
    http_ledger.write(mixed(book))
    assert http_ledger.ping()
    assert len(everything(http_ledger)["receipts"]) == 5


def test_a_closed_ledger_opens_again_on_the_same_rows(
    make_ledger: MakeLedger, tmp_path: Path, book: Book
) -> None:
    first = make_ledger()
    first.write(mixed(book))
    before = everything(first)
    first.close()
    again = open_ledger(Settings(clickhouse_url=f"chdb:{tmp_path / 'store-0'}"), migrate=False)
    try:
        assert everything(again) == before
    finally:
        again.close()
