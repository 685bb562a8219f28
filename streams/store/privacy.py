"""What is forgotten: old dead letters, parked events that were rated, numbers, a whole account.

Rows are changed where they lie, by the store's mutations; of `rated` no column that a sum, a key or
the search for conflicts reads. Mutations are the one thing here that a worker's user may not do.
"""

import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from rater.instants import to_us
from streams.store.ledger import Ledger

POLL_S = 0.1
NUMBER_KEPT = 5  # characters of a number that is cut: the plus and four digits

# An account's number in full is E.164; short numbers are nobody's, and an address has its scheme.
_CUT = f"""multiIf(startsWith({{0}}, '+'), substring({{0}}, 1, {NUMBER_KEPT}),
    position({{0}}, ':') > 0, substring({{0}}, 1, position({{0}}, ':')), {{0}})"""
_NUMBERS = ("from_number", "to_number")
_CUTS = ", ".join(f"{name} = {_CUT.format(name)}" for name in _NUMBERS)
_IS_WHOLE = "(" + " OR ".join(f"{name} != {_CUT.format(name)}" for name in _NUMBERS) + ")"

# What names a person in rows that are kept. The account's own numbers are what it pays for.
_NAMES = {"rated": (*_NUMBERS, "user_id", "team"), "states": ("name", "user_id", "team")}
_OF_CHARGES = ("rated", "states", "accepted", "losers", "counterfoils")
_OF_BUDGETS = ("budgets", "alerts", "deliveries")
_OF_ACCOUNT = "account_id = {account:String}"
_LETTER_OF_ACCOUNT = """(key = {account:String}
    OR JSONExtractString(raw, 'account_id') = {account:String})"""

# All that a statement, a key or the search for conflicts reads of rows.
_SUMS = """
SELECT count(), sum(charge), sum(tax_federal + tax_state + tax_local),
       sum(cityHash64(account_id, month, line, identity, revision, content_hash, version))
FROM rated WHERE {where}
"""


class PrivacyError(RuntimeError):
    """What was to be forgotten is not, or more than that; the message says what to do."""


class Forgotten(NamedTuple):
    """What became of a table's rows."""

    table: str
    what: str
    rows: int


def count_whole_numbers(ledger: Ledger, before: date) -> dict[date, int]:
    """Rows with a number in full in the months before one, by month."""
    rows = ledger.search(
        f"SELECT month, count() FROM rated WHERE month < {{before:Date}} AND {_IS_WHOLE}"
        " GROUP BY month ORDER BY month",
        {"before": before},
    )
    return {month: int(count) for month, count in rows}


def cut_numbers(ledger: Ledger, month: date) -> None:
    """Cuts the numbers of a month's rows to a prefix: `+12125550100` is `+1212`, `sip:a@b` `sip:`.

    Raises PrivacyError where a row's key or amounts are not what they were: then no month more
    should be cut.
    """
    of_month = f"month = '{month}'"
    before = ledger.search(_SUMS.format(where=of_month))
    partition = f"{month:%Y%m}"
    _mutate(ledger, "rated", f"UPDATE {_CUTS} IN PARTITION {partition} WHERE {of_month}")
    if ledger.search(_SUMS.format(where=of_month)) != before:
        raise PrivacyError(
            f"keys or sums of {month:%Y-%m} changed while its numbers were cut: was it written to? "
            "Compare it with a backup, or with `rater reconcile`, and run this again"
        )


def count_old_letters(ledger: Ledger, before: datetime) -> int:
    """Dead letters that were written before an instant."""
    return _count(ledger, "rejected", _before("rejected_at"), {"before_ms": to_us(before) // 1000})


def forget_letters(ledger: Ledger, before: datetime) -> None:
    """Removes dead letters that were written before an instant."""
    parameters = {"before_ms": to_us(before) // 1000}
    _mutate(ledger, "rejected", f"DELETE WHERE {_before('rejected_at')}", parameters)


_PARKED_KEY = "(topic, partition, offset, record_hash)"
# An event's two rows go together: of one that lost its second alone the first would wait again.
_RATED_LONG_AGO = f"""{_PARKED_KEY} IN (
    SELECT {_PARKED_KEY} FROM parked WHERE resolved = 1
    AND parked_at < fromUnixTimestamp64Milli({{before_ms:Int64}}, 'UTC'))"""


def count_old_parked(ledger: Ledger, before: datetime) -> int:
    """Rows of events that were parked before an instant and have been rated since."""
    return _count(ledger, "parked", _RATED_LONG_AGO, {"before_ms": to_us(before) // 1000})


def forget_parked(ledger: Ledger, before: datetime) -> None:
    """Removes them; what waits still is kept however old it is."""
    parameters = {"before_ms": to_us(before) // 1000}
    _mutate(ledger, "parked", f"DELETE WHERE {_RATED_LONG_AGO}", parameters)


def plan_erasure(ledger: Ledger, account: str, *, charges: bool) -> list[Forgotten]:
    """What erasing an account would do to each table, with how many rows each has of it."""
    removed = ["parked", "rejected", *_OF_BUDGETS, *(_OF_CHARGES if charges else ())]
    plan = [
        Forgotten(table, "removed", _count(ledger, table, _where(table), {"account": account}))
        for table in removed
    ]
    for table, names in _NAMES.items():
        if table not in removed:
            rows = _count(ledger, table, _where(table), {"account": account})
            plan.append(Forgotten(table, f"kept, without {', '.join(names)}", rows))
    return plan


def erase(ledger: Ledger, account: str, plan: list[Forgotten]) -> None:
    """Does what the plan says. Safe to call again."""
    for table, what, rows in plan:
        if not rows:
            continue
        if what == "removed":
            _mutate(ledger, table, f"DELETE WHERE {_where(table)}", {"account": account})
        else:
            blank = ", ".join(f"{name} = ''" for name in _NAMES[table])
            _mutate(ledger, table, f"UPDATE {blank} WHERE {_where(table)}", {"account": account})


def _where(table: str) -> str:
    return _LETTER_OF_ACCOUNT if table == "rejected" else _OF_ACCOUNT


def _before(column: str) -> str:
    return f"{column} < fromUnixTimestamp64Milli({{before_ms:Int64}}, 'UTC')"


def _count(ledger: Ledger, table: str, where: str, parameters: Mapping[str, Any]) -> int:
    ((count,),) = ledger.search(f"SELECT count() FROM {table} WHERE {where}", parameters)
    return int(count)


def _mutate(
    ledger: Ledger, table: str, change: str, parameters: Mapping[str, Any] | None = None
) -> None:
    """Changes a table's rows, and returns when all are. Raises PrivacyError where the store can't.

    Not one request that waits: a month of much usage takes longer than a request may.
    """
    ledger.command(f"ALTER TABLE {table} {change} SETTINGS mutations_sync = 0", parameters)
    while unfinished := ledger.search(
        "SELECT latest_fail_reason FROM system.mutations"
        " WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done",
        {"table": table},
    ):
        if failed := next((reason for (reason,) in unfinished if reason), ""):
            raise PrivacyError(f"the store can't change {table}: {failed.split('(')[0].strip()}")
        time.sleep(POLL_S)
