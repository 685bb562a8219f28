"""An account's usage by day, and by what it was priced by: sums of the ledger's rows."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from rater.changes import GroupSum
from rater.lines import MONTHLY_LINES, TAXES
from streams.store.ledger import Ledger
from streams.store.statements import Key, nanos, parts_of

_DAYS = """
SELECT account_id, month, toDate(occurred_at, {zone:String}) AS day, line,
    countIf(status != 'voided'), sum(charge), sum(tax_federal) + sum(tax_state) + sum(tax_local)
FROM rated_rows
WHERE (account_id, month) IN {keys:Array(Tuple(String, Date))}
GROUP BY account_id, month, day, line ORDER BY day, line
"""
# A rule is "what it matches: what it costs": the part before the colon tells prices apart.
_GROUPS = """
SELECT account_id, month, line, direction, substringIndex(rule, ':', 1) AS prices,
    sumIf(if(unit IN ('minute', 'second'), billed_seconds, billed), charge != 0), sum(charge),
    sum(tax_federal) + sum(tax_state) + sum(tax_local)
FROM rated_rows
WHERE (account_id, month) IN {keys:Array(Tuple(String, Date))} AND status != 'voided'
    AND (line IN {monthly:Array(String)} OR occurred_at < fromUnixTimestamp64Micro({until:Int64}))
GROUP BY account_id, month, line, direction, prices
"""


class DaySum(NamedTuple):
    """One line's rows of a day, in the zone asked for. `charge` and `tax` are nanos."""

    month: date
    day: date
    line: str
    rows: int
    charge: int
    tax: int


def read_days(ledger: Ledger, keys: Sequence[Key], zone: str) -> dict[Key, list[DaySum]]:
    """What each line cost on each day of some accounts' months. Raises one of StoreErrors."""
    days: dict[Key, list[DaySum]] = {key: [] for key in keys}
    for some in parts_of(keys):
        rows = ledger.query(_DAYS, {"keys": some, "zone": zone})
        for account_id, month, day, line, count, charge, tax in rows:
            one = DaySum(month, day, line, count, nanos(charge), nanos(tax))
            days[account_id, month].append(one)
    return days


def read_groups(ledger: Ledger, keys: Sequence[Key], until_us: int) -> dict[Key, list[GroupSum]]:
    """Some accounts' months up to an instant, by line and rule; the taxes are a line of their own.

    What is charged by the month is there whole. Raises one of StoreErrors.
    """
    groups: dict[Key, list[GroupSum]] = {key: [] for key in keys}
    taxes = dict.fromkeys(keys, 0)
    for some in parts_of(keys):
        asked = {"keys": some, "monthly": list(MONTHLY_LINES), "until": until_us}
        for account_id, month, line, direction, prices, quantity, charge, tax in ledger.query(
            _GROUPS, asked
        ):
            one = GroupSum(line, direction, prices, quantity, nanos(charge))
            groups[account_id, month].append(one)
            taxes[account_id, month] += nanos(tax)
    return {key: [*groups[key], GroupSum(TAXES, "", "", 0, taxes[key])] for key in keys}
