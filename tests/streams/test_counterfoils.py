"""Rows that were written and are gone are found: each table's, in whatever state of merging."""

from datetime import UTC, date, datetime, timedelta

from rater.tariff import Book
from streams.maintenance.audit import Audit, audit_lately, audit_ledger
from streams.maintenance.recurring import make_months
from streams.store.ledger import Ledger
from tests.conftest import Log, amd, call, number, text

AUGUST, SEPTEMBER = date(2026, 8, 1), date(2026, 9, 1)
EVENTS = [
    *(call(id=f"c{n}") for n in range(6)),
    call(id="c1"),  # a re-send
    text(), text(id="text-2", account_id="zeta"), amd(), number(),
    text(id="text-3", status="queued"), text(id="text-3", status="delivered"),
]  # fmt: skip


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql + " SETTINGS mutations_sync = 2")


def filled(ledger: Ledger, book: Book) -> Log:
    log = Log(EVENTS)
    ledger.write(log.batch(book))
    make_months(ledger, book, [AUGUST, SEPTEMBER], as_of=datetime(2026, 9, 2, tzinfo=UTC))
    return log


def lately(ledger: Ledger) -> Audit:
    return audit_lately(ledger, [AUGUST], datetime.now(UTC) - timedelta(hours=1))


def of_rows(audit: Audit) -> dict[str, tuple[int, int]]:
    """By month and line, how many rows are gone, and how many of another amount."""
    found = {one.where: one.message for one in audit.findings if one.check == "rows"}
    return {where: (int(m.split()[0]), int(m.split()[2])) for where, m in found.items()}


ZETAS = "line = 'texts' AND account_id = 'zeta'"
LOSSES = [
    # what is lost, after all above | of which month and line | gone, of another amount
    ("rated DELETE WHERE event_id = 'c2'", "2026-08 calls",             (1, 0)),
    ("rated UPDATE charge = charge + 1 WHERE event_id = 'c3'", "2026-08 calls",             (1, 1)),
    ("rated DELETE WHERE line = 'calls'", "2026-08 calls",             (6, 0)),
    (f"rated UPDATE tax_local = 7 WHERE {ZETAS}", "2026-08 texts",             (0, 1)),
    ("rated DELETE WHERE line = 'carrier_fees'", "2026-08 carrier_fees",      (3, 0)),
    ("rated DELETE WHERE kind = 'amd'", "2026-08 ai_voice_detection", (1, 0)),
    ("states DELETE WHERE 1", "2026-08 states",            (1, 0)),
]  # fmt: skip


def test_a_row_that_is_gone_is_found_by_both_ways(ledger: Ledger, book: Book) -> None:
    filled(ledger, book)
    told: dict[str, tuple[int, int]] = {}
    assert of_rows(audit_ledger(ledger, [])) == of_rows(lately(ledger)) == told
    for loss, where, counts in LOSSES:
        run(ledger, f"ALTER TABLE {loss}")
        told[where] = counts
        assert of_rows(audit_ledger(ledger, [])) == of_rows(lately(ledger)) == told
    # Of a recurring charge the log does not say when it was made: the walk finds it.
    run(ledger, "ALTER TABLE rated DELETE WHERE line = 'phone_numbers' AND month = '2026-09-01'")
    told["2026-09 phone_numbers"] = (1, 0)
    assert of_rows(audit_ledger(ledger, [])) == told


def test_what_another_row_stands_for_is_not_lost_whatever_was_merged(
    ledger: Ledger, book: Book
) -> None:
    log = filled(ledger, book)
    for tables in (["rated"], ["counterfoils"], ["rated", "states", "counterfoils"]):
        ledger.write(log.batch(book))  # read again, after a crash
        make_months(ledger, book, [AUGUST, SEPTEMBER], as_of=datetime(2026, 9, 3, tzinfo=UTC))
        for table in tables:
            ledger.command(f"OPTIMIZE TABLE {table} FINAL")
        assert of_rows(audit_ledger(ledger, [])) == of_rows(lately(ledger)) == {}
    # Of a text's two tellings the furthest along stands, and of a re-sent call the first.
    run(ledger, "ALTER TABLE rated DELETE WHERE event_id IN ('text-3', 'c1')")
    told = {f"2026-08 {line}": (1, 0) for line in ("calls", "carrier_fees", "texts")}
    assert of_rows(audit_ledger(ledger, [])) == of_rows(lately(ledger)) == told


def test_the_row_that_stood_and_is_gone_is_found_though_an_earlier_one_is_left(
    ledger: Ledger, book: Book
) -> None:
    filled(ledger, book)
    run(ledger, "ALTER TABLE rated DELETE WHERE event_id = 'text-3' AND event_status = 'delivered'")
    told = {f"2026-08 {line}": (1, 0) for line in ("carrier_fees", "texts")}
    assert of_rows(audit_ledger(ledger, [])) == of_rows(lately(ledger)) == told


def test_rows_of_before_there_were_counterfoils_are_said_to_be_unchecked(
    ledger: Ledger, book: Book
) -> None:
    filled(ledger, book)
    assert audit_ledger(ledger, []).figures["rows_not_checked"] == 0
    ledger.command("TRUNCATE TABLE counterfoils")
    ledger.write(Log([call(id="new")]).batch(book))
    audit = audit_ledger(ledger, [])
    assert (of_rows(audit), audit.figures["rows_not_checked"]) == ({}, 16)
