"""What must hold: at any moment, and at rest. Each function names the differences, as texts."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rater.statement import statement_to_json
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.kafka.topics import REJECTED
from streams.maintenance.audit import audit_ledger
from streams.maintenance.conflicts import resolve_conflicts
from streams.maintenance.recurring import make_months
from streams.store.ledger import Ledger
from streams.store.statements import read_statement
from tests import oracle
from tests.conftest import comparable, rows_by_oracle, rows_of
from tests.faults.traffic import MONTHS
from tests.support.broker import Logged, committed, ends_of, is_bad, oracle_of, read_topics
from tests.support.readings import csv_differences, page_differences

Offsets = dict[tuple[str, int], int]
SHOWN = 5
AT_REST = ("unsettled", "gap")  # checks of the audit that may find something for a moment

_RECEIPTS = "SELECT topic, partition, first_offset, last_offset FROM receipts FINAL"
# What holds no record: the ends of such ranges come one after the other.
_SKIPPED = """
SELECT topic, partition, skipped[number * 2 + 1], skipped[number * 2 + 2]
FROM (SELECT topic, partition, skipped FROM receipts FINAL)
ARRAY JOIN range(intDiv(length(skipped), 2)) AS number
"""
_COPIES = """
SELECT account_id, month, line, identity, revision FROM rated_rows
GROUP BY ALL HAVING count() > 1
"""
# Where a record that was rated is, or was before a copy stood for it.
_RATED_AT = "SELECT DISTINCT topic, partition, offset FROM {table}"


def stored_ends(ledger: Ledger) -> tuple[Offsets, list[tuple[str, int, int, int]]]:
    """Up to where each partition's receipts go, and the holes in them, by first and last offset."""
    ends: Offsets = {}
    holes = []
    told = [*ledger.query(_RECEIPTS), *ledger.query(_SKIPPED)]
    for topic, partition, first, last in sorted(told):
        end = ends.get((topic, partition), 0)
        if first > end:
            holes.append((topic, partition, end, first - 1))
        ends[topic, partition] = max(end, last + 1)
    return ends, holes


def moment_differences(ledger: Ledger, settings: Settings, offsets: Offsets) -> list[str]:
    """At any moment, faults or not: what was committed before has its rows.

    What the store refuses becomes a dead letter last, once others were taken: until then it has no
    receipt, and nothing from it on is committed.
    """
    ends, holes = stored_ends(ledger)
    found = [
        f"{topic} {partition}: no receipt for {first} to {last}"
        for topic, partition, first, last in holes
        if first < offsets.get((topic, partition), 0)
    ]
    for place, offset in offsets.items():
        if offset > ends.get(place, 0):
            found.append(f"{place}: committed {offset}, stored up to {ends.get(place, 0)}")
    audit = audit_ledger(ledger, [], topic_prefix=settings.topic_prefix, committed=offsets)
    return found + [f"audit: {one}" for one in audit.findings if one.check not in AT_REST]


def rest_differences(
    ledger: Ledger, settings: Settings, logged: list[Logged], get: Callable[[str], str]
) -> list[str]:
    """At rest: outcomes, rows, statements, rejects, parked; `get` asks a worker's web."""
    book = load_book(settings.tariff)
    make_months(ledger, book, MONTHS, as_of=datetime.now(UTC))
    resolve_conflicts(ledger)
    expected = oracle_of(settings, logged)
    accounts = sorted({name.account_id for name in expected.rows})
    found = []
    offsets = committed(settings)
    found += [
        f"lag: {place} is at {offsets.get(place, 0)} of {end}"
        for place, end in ends_of(logged).items()
        if offsets.get(place, 0) != end
    ]
    found += moment_differences(ledger, settings, offsets)
    audit = audit_ledger(ledger, [], topic_prefix=settings.topic_prefix, committed=offsets)
    found += [f"audit: {one}" for one in audit.findings if one.check in AT_REST]
    found += _outcome_differences(ledger, settings, logged)
    found += _row_differences(ledger, expected, accounts)
    found += _statement_differences(ledger, book, expected, accounts, get)
    return found


def _outcome_differences(ledger: Ledger, settings: Settings, logged: list[Logged]) -> Iterator[str]:
    """Every record has exactly one outcome: rejected, parked, or rated and so covered."""
    places = {(r.topic, r.partition, r.offset): r for r in logged}
    bad = {place for place, r in places.items() if is_bad(r.value)}
    waiting = {
        p for p, r in places.items() if p not in bad and b'"revision": 1' in (r.value or b"")
    }
    rejected = set(
        ledger.query("SELECT topic, partition, offset FROM rejected WHERE reason != 'conflict'")
    )
    parked = set(
        ledger.query("SELECT topic, partition, offset FROM parked FINAL WHERE resolved = 0")
    )
    rated = set(
        ledger.query(
            _RATED_AT.format(
                table="rated WHERE kind NOT IN ('number', 'recording', 'subscription', 'campaign')"
            )
        )
    )
    rated |= set(ledger.query(_RATED_AT.format(table="states")))
    letters = {
        (
            headers["rater_origin_topic"],
            int(headers["rater_origin_partition"]),
            int(headers["rater_origin_offset"]),
        )
        for letter in read_topics(settings.kafka_bootstrap, [settings.topic(REJECTED)])
        for headers in [{name: value.decode(errors="replace") for name, value in letter.headers}]
    }
    yield from _unequal("rejected", rejected, bad)
    yield from _unequal("dead letters on the topic", letters, bad)
    yield from _unequal("parked", parked, waiting)
    yield from _unequal("rated as well as rejected or parked", rated & (bad | waiting), set())
    yield from _unequal("rated though not in the log", rated - places.keys(), set())
    covered, skipped = (
        {
            (topic, partition, offset)
            for topic, partition, first, last in ledger.query(question)
            for offset in range(first, last + 1)
        }
        for question in (_RECEIPTS, _SKIPPED)
    )
    yield from _unequal("covered by receipts", covered - skipped, set(places))
    yield from _unequal("skipped though it is a record", skipped & set(places), set())


def _row_differences(ledger: Ledger, expected: oracle.Ledger, accounts: list[str]) -> Iterator[str]:
    months = [f"{month:%Y-%m}" for month in MONTHS]
    want = rows_by_oracle(expected, accounts, months)
    got = {name: row for name, row in rows_of(ledger).items() if name[1] in months}
    yield from _unequal("identities of rows", set(got), set(want))
    for name in sorted(got.keys() & want.keys()):
        if got[name] != want[name]:
            yield f"row {name}: {got[name]}, the oracle says {want[name]}"
    yield from _unequal("rows twice", set(ledger.query(_COPIES)), set())


def _statement_differences(
    ledger: Ledger,
    book: Book,
    expected: oracle.Ledger,
    accounts: list[str],
    get: Callable[[str], str],
) -> Iterator[str]:
    """The ledger's statements = the oracle's = what the web shows, streams and exports."""
    for account in accounts:
        shown = {}
        for month in MONTHS:
            name = f"{month:%Y-%m}"
            want = comparable(expected.statement(account, name))
            got = statement_to_json(read_statement(ledger, book, account, month))
            yield from _unlike(f"statement {account} {name}", got, want)
            if any(line["amount"] for line in want["lines"]):
                shown[name] = want
        if not shown:  # all that it has is of other months
            continue
        # The web shows the last of the months as well as any other.
        name, want = shown.popitem()
        month_is = f"?month={name}"
        base = f"/v1/accounts/{account}"
        for what in ("usage", "usage.json", "live"):
            statement = json.loads(get(f"{base}/{what}{month_is}"))
            yield from _unlike(f"{what} {account} {name}", statement, want)
        differences = (
            *csv_differences(get(f"{base}/usage.csv{month_is}"), want),
            *page_differences(get(f"/accounts/{account}/usage{month_is}&exact=1"), want),
        )
        for difference in differences:
            yield f"CSV or page {account} {name}: {difference}"


def _unlike(where: str, statement: dict[str, Any], want: dict[str, Any]) -> Iterator[str]:
    got = comparable(statement)
    for name in want:
        if got.get(name) != want[name] and name != "lines":
            yield f"{where}: {name} {got.get(name)!r}, the oracle says {want[name]!r}"
    if got["lines"] != want["lines"]:
        lines = [line for line in got["lines"] if line not in want["lines"]]
        others = [line for line in want["lines"] if line not in got["lines"]]
        yield f"{where}: lines {lines}, the oracle says {others}"


def _unequal(what: str, got: set[Any], want: set[Any]) -> Iterator[str]:
    for problem, some in (("missing", want - got), ("too many", got - want)):
        if some:
            yield f"{what}: {len(some)} {problem}, such as {sorted(some)[:SHOWN]}"
