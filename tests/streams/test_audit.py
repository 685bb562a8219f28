"""The audit: clean where nothing is wrong, and each fault found, named and told."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from rater.tariff import Book
from streams.cli.console import FAILED
from streams.cli.main import app
from streams.maintenance.audit import CHECKS, Audit, audit_lately, audit_ledger
from streams.maintenance.audit_metrics import ShownFindings
from streams.maintenance.conflicts import resolve_conflicts
from streams.store.ledger import Ledger
from tests.conftest import Log, amd, call, environment, number, text

AUGUST, SEPTEMBER = date(2026, 8, 1), date(2026, 9, 1)
CALLS = "usage.call.v1"
EVENTS = [
    *(call(id=f"c{n}") for n in range(4)),
    call(id="c1"),  # a re-send
    text(), amd(), number(), call(id="late", revision=1),
    *(call(id=f"d{n}") for n in range(4)),
]  # fmt: skip


def run(ledger: Ledger, sql: str) -> None:
    ledger.command(sql + " SETTINGS mutations_sync = 2")


def filled(ledger: Ledger, book: Book) -> Log:
    """A log in two writes."""
    log = Log(EVENTS)
    ledger.write(log.batch(book, [list(range(5)), [5], [6], [7]]))
    ledger.write(log.batch(book, [[8, 9, 10, 11, 12]]))
    return log


def every_way(ledger: Ledger, **more: Any) -> list[Audit]:
    """Of everything, and of what was written lately."""
    since = datetime.now(UTC) - timedelta(hours=1)
    return [
        audit_ledger(ledger, [], **more),
        audit_lately(ledger, [AUGUST], since, **more),
        audit_lately(ledger, [SEPTEMBER], since, **more),
    ]


def found(audit: Audit) -> list[tuple[str, str]]:
    return [(finding.check, finding.where) for finding in audit.findings]


def test_an_audit_of_a_whole_ledger_has_no_findings_and_counts(ledger: Ledger, book: Book) -> None:
    log = filled(ledger, book)
    # Each kind's offsets are its topic's here, with holes where the other kinds' records lie.
    committed = {(CALLS, 0): len(log.records)}
    for audit in every_way(ledger, committed=committed):
        assert [check for check, _ in found(audit) if check != "gap"] == []
    figures = audit_ledger(ledger, [], committed=committed).figures
    assert (figures["records"], figures["parked"], figures["conflicts"]) == (len(EVENTS), 1, 0)
    assert figures["copies_not_yet_merged"] <= 1


FAULTS = [
    # statement                                                              | found
    ("ALTER TABLE receipts DELETE WHERE first_offset = 5",                     []),
    ("ALTER TABLE receipts DELETE WHERE first_offset = 8",
     [("committed", f"{CALLS} 0")]),
    ("ALTER TABLE accepted DELETE WHERE event_id = 'c2'",
     [("outcomes", f"{CALLS} 0")]),
    ("ALTER TABLE parked DELETE WHERE 1",
     [("outcomes", f"{CALLS} 0")]),
    ("ALTER TABLE accepted DELETE WHERE kind IN ('number', 'text')",
     [("outcomes", "usage.number.v1 0"), ("outcomes", "usage.text.v1 0")]),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), FAULTS)
def test_what_was_lost_is_found_by_its_check(
    ledger: Ledger, book: Book, statement: str, expected: list[tuple[str, str]]
) -> None:
    log = filled(ledger, book)
    run(ledger, statement)
    for audit in every_way(ledger, committed={(CALLS, 0): len(log.records)}):
        assert [one for one in found(audit) if one[0] != "gap"] == expected


def test_a_hole_in_the_offsets_is_a_gap_and_says_which(ledger: Ledger, book: Book) -> None:
    log = Log(call(id=f"c{n}") for n in range(12))
    for stretch in ([0, 1, 2], [3, 4], [5, 6, 7], [8, 9, 10, 11]):
        ledger.write(log.batch(book, [stretch]))
    assert [audit.findings for audit in every_way(ledger)] == [[], [], []]
    run(ledger, "ALTER TABLE receipts DELETE WHERE first_offset = 3")
    for audit in every_way(ledger):
        assert found(audit) == [("gap", f"{CALLS} 0")]
        assert "offsets 3 to 4 have no receipt" in audit.findings[0].message
        assert audit.figures["gaps"] == 1
    # Nothing from the committed offset on was acknowledged: it is read again.
    for offset, gaps in ((3, 0), (4, 1), (12, 1)):
        for audit in every_way(ledger, committed={(CALLS, 0): offset}):
            assert (len(audit.findings), audit.figures["gaps"]) == (gaps, gaps)


def test_what_was_skipped_is_no_gap_and_no_record(ledger: Ledger, book: Book) -> None:
    """Markers of transactions and what these took back; re-read in other stretches too."""
    log = Log(call(id=f"c{n}") for n in range(16))
    for stretch, skipped in (
        ([0, 1, 2], ()),
        ([4, 5, 7, 8], ((3, 3), (6, 6))),
        ([7, 8, 14], ((6, 6), (9, 13))),
    ):
        batch = log.batch(book, [stretch])
        batch.receipts = [batch.receipts[0]._replace(skipped=skipped)]
        ledger.write(batch)
    for audit in every_way(ledger, committed={(CALLS, 0): 15}):
        assert (audit.findings, audit.figures["records"]) == ([], 8)
    batch = log.batch(book, [[15]])
    batch.receipts = [
        batch.receipts[0]._replace(first_offset=17, last_offset=17, skipped=((16, 16),))
    ]
    ledger.write(batch)
    for audit in every_way(ledger):
        assert ("gap", f"{CALLS} 0") in found(audit)
        assert "offsets 15 to 15 have no receipt" in audit.findings[0].message


def test_what_was_written_lately_is_joined_to_what_was_there_before(
    ledger: Ledger, book: Book
) -> None:
    """Old stretches are not looked at again; a re-reading of some of them makes no hole."""
    log = Log(call(id=f"c{n}") for n in range(12))
    for stretch in ([0, 1, 2], [3, 4, 5, 6], [5, 6], [7, 8]):
        ledger.write(log.batch(book, [stretch]))
    for statement in (
        "CREATE TABLE aged AS receipts",
        "INSERT INTO aged SELECT * REPLACE (now64(3) - INTERVAL 2 HOUR AS written_at) FROM"
        " receipts",
        "EXCHANGE TABLES aged AND receipts",
    ):
        ledger.command(statement)
    since = datetime.now(UTC) - timedelta(hours=1)

    def lately() -> tuple[int, list[tuple[str, str]]]:
        audit = audit_lately(ledger, [AUGUST], since)
        return audit.figures["records"], found(audit)

    assert lately() == (0, [])
    ledger.write(log.batch(book, [[9, 10]]))
    assert lately() == (4, [])  # with the stretch before it
    run(ledger, "ALTER TABLE accepted DELETE WHERE event_id = 'c1'")
    assert lately() == (4, [])
    ledger.write(log.batch(book, [[4, 5]]))  # some worker read it again
    records, findings = lately()
    assert (records >= 7, findings) == (True, [])
    run(ledger, "ALTER TABLE accepted DELETE WHERE event_id = 'c10'")
    assert lately()[1] == [("outcomes", f"{CALLS} 0")]
    run(ledger, "ALTER TABLE receipts DELETE WHERE first_offset = 7")
    assert ("gap", f"{CALLS} 0") in lately()[1]


def test_a_conflict_that_is_charged_twice_is_a_finding_until_it_is_settled(
    ledger: Ledger, book: Book
) -> None:
    moved = {name: call()[name].replace("-08-", "-07-") for name in ("dialed_at", "ended_at")}
    ledger.write(Log([call(), call(**moved, answered_at=None)]).batch(book))
    for audit in every_way(ledger)[:2]:
        assert found(audit) == [("unsettled", "acme 2026-07 calls call-1")]
    resolve_conflicts(ledger)
    for audit in every_way(ledger)[:2]:
        assert audit.findings == []
        assert audit.figures["conflicts"] == 1


def test_a_conflict_within_a_month_is_charged_once_and_no_finding(
    ledger: Ledger, book: Book
) -> None:
    ledger.write(Log([call(), call(to="+442079460999")]).batch(book))
    audit = audit_ledger(ledger, [])
    assert (audit.findings, audit.figures["conflicts"]) == ([], 1)


def test_the_command_says_it_to_machines_and_by_its_status(
    ledger: Ledger, book: Book, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(call(id=f"c{n}") for n in range(6))
    for stretch in ([0, 1], [2, 3], [4, 5]):
        ledger.write(log.batch(book, [stretch]))

    def audit() -> tuple[int, dict[str, Any]]:
        with environment(RATER_CLICKHOUSE_URL=f"chdb:{tmp_path / 'store-0'}"):
            status = app(["audit", "--json", "--offline"], standalone_mode=False) or 0
        return status, orjson.loads(capsys.readouterr().out)

    status, clean = audit()
    assert (status, clean["findings"], clean["figures"]["records"]) == (0, [], 6)
    run(ledger, "ALTER TABLE receipts DELETE WHERE first_offset = 2")
    status, unclean = audit()
    assert (status, [one["check"] for one in unclean["findings"]]) == (FAILED, ["gap"])


def test_the_gauges_show_each_checks_findings(ledger: Ledger, book: Book) -> None:
    log = Log(call(id=f"c{n}") for n in range(6))
    for stretch in ([0, 1], [2, 3], [4, 5]):
        ledger.write(log.batch(book, [stretch]))

    gauges = ShownFindings()

    def shown(source: str = "lately") -> dict[str, float | None]:
        gauges.show(source, every_way(ledger)[1].findings)
        return {
            check: REGISTRY.get_sample_value("rater_audit_findings", {"check": check})
            for check in CHECKS
        }

    assert shown() == dict.fromkeys(CHECKS, 0)
    run(ledger, "ALTER TABLE accepted DELETE WHERE event_id = 'c5'")
    assert shown() == dict.fromkeys(CHECKS, 0) | {"outcomes": 1}
    assert shown("a walk") == dict.fromkeys(CHECKS, 0) | {"outcomes": 2}  # each tells its own
    gauges.clear()
    assert REGISTRY.get_sample_value("rater_audit_findings", {"check": "outcomes"}) == 0
    message = every_way(ledger)[1].findings[0].message
    assert message.startswith("receipts cover 6 records, the ledger has outcomes of 5:")
