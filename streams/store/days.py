"""An account's usage by day, and by what it was priced by: sums of the ledger's rows."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from rater.changes import GroupSum
from rater.lines import MONTHLY_LINES, TAXES
from streams.store.ledger import Ledger
from streams.store.statements import nanos

_DAYS = """
SELECT month, toDate(occurred_at, {zone:String}) AS day, line, countIf(status != 'voided'),
    sum(charge), sum(tax_federal) + sum(tax_state) + sum(tax_local)
FROM rated_rows
WHERE account_id = {account:String} AND month IN {months:Array(Date)}
GROUP BY month, day, line ORDER BY day, line
"""
# A rule is "what it matches: what it costs": the part before the colon tells prices apart.
_GROUPS = """
SELECT line, direction, substringIndex(rule, ':', 1) AS prices,
    sumIf(if(unit IN ('minute', 'second'), billed_seconds, billed), charge != 0), sum(charge),
    sum(tax_federal) + sum(tax_state) + sum(tax_local)
FROM rated_rows
WHERE account_id = {account:String} AND month = {month:Date} AND status != 'voided'
    AND (line IN {monthly:Array(String)} OR occurred_at < fromUnixTimestamp64Micro({until:Int64}))
GROUP BY line, direction, prices
"""


class DaySum(NamedTuple):
    """One line's rows of a day, in the zone asked for. `charge` and `tax` are nanos."""

    month: date
    day: date
    line: str
    rows: int
    charge: int
    tax: int


def read_days(ledger: Ledger, account_id: str, months: Sequence[date], zone: str) -> list[DaySum]:
    """What each line cost on each day of some months. Raises one of StoreErrors."""
    rows = ledger.query(_DAYS, {"account": account_id, "months": list(months), "zone": zone})
    return [
        DaySum(month, day, line, count, nanos(charge), nanos(tax))
        for month, day, line, count, charge, tax in rows
    ]


def read_groups(ledger: Ledger, account_id: str, month: date, until_us: int) -> list[GroupSum]:
    """A month's rows up to an instant, by line and rule; the taxes are a line of their own.

    What is charged by the month is there whole. Raises one of StoreErrors.
    """
    rows = ledger.query(
        _GROUPS,
        {
            "account": account_id,
            "month": month,
            "monthly": list(MONTHLY_LINES),
            "until": until_us,
        },
    )
    groups = [
        GroupSum(line, direction, prices, quantity, nanos(charge))
        for line, direction, prices, quantity, charge, _ in rows
    ]
    return [*groups, GroupSum(TAXES, "", "", 0, sum(nanos(row[5]) for row in rows))]
