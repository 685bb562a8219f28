"""Rows of `rated` and `states` against their counterfoils, which are merged by the same rule: what
stands among these stands among the rows, at the same version, and comes to the same amount.

A first look compares hashes within a part of the ledger. Of what differs there the counterfoil that
stands is looked up by its key, for a row outside the part may stand in its place; and then its row.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from streams.rows.log_position import Span
from streams.store.ledger import Ledger
from streams.store.parts import AT, IS_OF, LOGGED, Accounts

FOUND_MAX = 500  # of one part: their names travel in a query's address

# A row's name and its amount as the views of `counterfoils` have them.
_RATED = "cityHash64(month, line, identity, revision)"
_STATE = "cityHash64(kind, event_id, revision)"
_AMOUNT = "charge + tax_federal + tax_state + tax_local"
_ZERO = "toDecimal64(0, 9)"
_ON_DISK = "SETTINGS max_bytes_before_external_group_by = 268435456"

_BOTH = f"""
SELECT cityHash64(account_id, row) AS key, 1 AS told, version, amount
FROM counterfoils WHERE {{told}}
UNION ALL
SELECT cityHash64(account_id, {_RATED}), 0, version, {_AMOUNT} FROM rated WHERE {{stored}}
UNION ALL
SELECT cityHash64(account_id, {_STATE}), 0, version, {_ZERO} FROM states WHERE {{stored}}"""
_DIFFER = f"""
SELECT key FROM ({_BOTH})
GROUP BY key
HAVING max(told) AND (maxIf(version, told) > maxIf(version, NOT told)
    OR maxIf(version, told) = maxIf(version, NOT told)
    AND argMaxIf(amount, version, told) != argMaxIf(amount, version, NOT told))
{_ON_DISK}"""
_TOLD = f"""
SELECT account_id, row, any(month), any(line), max(version) AS stands, argMax(amount, version)
FROM counterfoils
WHERE (account_id, row) IN (
    SELECT account_id, row FROM counterfoils
    WHERE {{told}} AND cityHash64(account_id, row) IN ({_DIFFER}))
GROUP BY account_id, row
HAVING {{stands}}
ORDER BY account_id, row
LIMIT {FOUND_MAX}
"""
_SPANNED = {"told": AT, "stored": LOGGED, "stands": AT.replace("version", "stands")}
_OF_ACCOUNTS = {"told": IS_OF, "stored": IS_OF, "stands": "1"}
_TOLD_RECENT, _TOLD_OF_ACCOUNTS = (
    _TOLD.replace("{told}", by["told"])
    .replace("{stored}", by["stored"])
    .replace("{stands}", by["stands"])
    for by in (_SPANNED, _OF_ACCOUNTS)
)
_STORED = f"""
SELECT account_id, {_RATED} AS row, version, {_AMOUNT} FROM rated FINAL
WHERE account_id IN {{accounts:Array(String)}} AND month IN {{months:Array(Date)}}
  AND row IN {{rows:Array(UInt64)}}
UNION ALL
SELECT account_id, {_STATE} AS row, version, {_ZERO} FROM states FINAL
WHERE account_id IN {{accounts:Array(String)}} AND row IN {{rows:Array(UInt64)}}
"""
_NOT_CHECKED = f"""
SELECT count() FROM (
    SELECT key FROM ({_BOTH.replace("{told}", IS_OF).replace("{stored}", IS_OF)})
    GROUP BY key HAVING NOT max(told))
{_ON_DISK}
"""


class Counterfoil(NamedTuple):
    """What was written of a row; `line` is empty of a state."""

    account_id: str
    row: int
    month: date
    line: str
    version: int
    amount: Decimal


class Lost(NamedTuple):
    """Rows of a month and line that do not stand as they were written: FOUND_MAX at most."""

    month: date
    line: str
    gone: int
    other_amount: int


def find_lost(ledger: Ledger, part: Span | Accounts) -> list[Lost]:
    """What rows of some accounts, or of a part of the log, do not stand as they were written.

    Recurring charges are no part of the log. Raises one of StoreErrors.
    """
    if isinstance(part, Span):
        rows = ledger.search(_TOLD_RECENT, part.parameters())
    else:
        rows = ledger.search(_TOLD_OF_ACCOUNTS, part.parameters())
    told = [Counterfoil._make(row) for row in rows]
    stored = _read_stored(ledger, told) if told else {}
    lost: dict[tuple[date, str], list[int]] = {}
    for one in told:
        version, amount = stored.get((one.account_id, one.row), (-1, one.amount))
        gone = version < one.version
        if gone or (version == one.version and amount != one.amount):
            counts = lost.setdefault((one.month, one.line), [0, 0])
            counts[0 if gone else 1] += 1
    return [Lost(*name, *counts) for name, counts in sorted(lost.items())]


def count_not_checked(ledger: Ledger, part: Accounts) -> int:
    """Rows that have no counterfoil: written before there were any. Raises one of StoreErrors."""
    return int(ledger.search(_NOT_CHECKED, part.parameters())[0][0])


def _read_stored(
    ledger: Ledger, told: Sequence[Counterfoil]
) -> Mapping[tuple[str, int], tuple[int, Decimal]]:
    """The rows that stand, by account and name: their versions and amounts."""
    parameters: dict[str, Any] = {
        "accounts": sorted({one.account_id for one in told}),
        "months": sorted({one.month for one in told}),
        "rows": sorted({one.row for one in told}),
    }
    return {
        (account, row): (version, amount)
        for account, row, version, amount in ledger.search(_STORED, parameters)
    }
