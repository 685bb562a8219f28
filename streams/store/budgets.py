"""Budgets in the ledger: what is declared, and what the part of the usage that each is of cost."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from rater.budgets import Budget, Minute
from rater.forecast import DayCost
from rater.lines import MONTHLY_LINES
from rater.money import format_nanos
from streams.rows.log_position import Span
from streams.store.events import TAX
from streams.store.ledger import Ledger
from streams.store.statements import nanos

ACCOUNTS_AT_ONCE = 500  # of one question: their names travel in its address

_COLUMNS = (
    "account_id", "name", "amount", "lines", "campaign_id", "user_id", "removed", "set_at",
)  # fmt: skip
_BUDGETS = """
SELECT account_id, name, amount, lines, campaign_id, user_id FROM budgets FINAL
WHERE removed = 0 AND ({account:String} = '' OR account_id = {account:String})
ORDER BY account_id, name
"""
_TOUCHED = """
SELECT DISTINCT account_id FROM rated
WHERE logged_at >= fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC')
    AND logged_at <= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC')
    AND account_id IN (SELECT account_id FROM budgets FINAL WHERE removed = 0)
"""
# Minutes first: the dearest of a day, and of what began since an instant, is found among them.
_COSTS = f"""
SELECT account_id, name, month, day, is_fixed, sum(cost), max(cost),
    maxIf(cost, minute_s >= {{since_s:Int64}}), argMaxIf(minute_s, cost, minute_s >= {{since_s:Int64}})
FROM (
    SELECT account_id, name, month, toDate(occurred_at, {{zone:String}}) AS day,
        line IN {{monthly:Array(String)}} AS is_fixed,
        toInt64(intDiv(toUnixTimestamp(occurred_at), 60) * 60) AS minute_s, sum(amount) AS cost
    FROM (
        SELECT account_id, month, line, campaign_id, user_id, occurred_at, charge + {TAX} AS amount
        FROM rated_rows
        WHERE account_id IN {{accounts:Array(String)}} AND month IN {{months:Array(Date)}}
    ) AS charges
    INNER JOIN (
        SELECT account_id, name, lines, campaign_id AS of_campaign, user_id AS of_user
        FROM budgets FINAL WHERE removed = 0 AND account_id IN {{accounts:Array(String)}}
    ) AS declared USING (account_id)
    WHERE (empty(lines) OR has(lines, line)) AND of_campaign IN ('', campaign_id)
        AND of_user IN ('', user_id)
    GROUP BY account_id, name, month, day, is_fixed, minute_s
)
GROUP BY account_id, name, month, day, is_fixed ORDER BY day
"""  # noqa: E501


class Costs(NamedTuple):
    """What a budget's part of the usage cost: its days, and the dearest minute since an instant."""

    days: list[DayCost]
    minute: Minute | None


def set_budget(ledger: Ledger, budget: Budget, now: datetime) -> None:
    """Declares a budget, or changes the one of its name. Raises one of StoreErrors."""
    _write(ledger, budget, removed=0, now=now)


def remove_budget(ledger: Ledger, account_id: str, name: str, now: datetime) -> None:
    """Takes it back. Raises one of StoreErrors."""
    _write(ledger, Budget(account_id, name, 0), removed=1, now=now)


def _write(ledger: Ledger, budget: Budget, *, removed: int, now: datetime) -> None:
    account_id, name, amount, lines, campaign_id, user_id = budget
    money = Decimal(format_nanos(amount))
    row = [account_id, name, money, list(lines), campaign_id, user_id, removed, now]
    ledger.insert("budgets", _COLUMNS, [row])


def read_budgets(ledger: Ledger, account_id: str = "") -> list[Budget]:
    """The budgets of an account, or of all, by name. Raises one of StoreErrors."""
    rows = ledger.query(_BUDGETS, {"account": account_id})
    return [
        Budget(account, name, nanos(amount), tuple(lines), campaign, user)
        for account, name, amount, lines, campaign, user in rows
    ]


def read_touched_accounts(ledger: Ledger, span: Span) -> set[str]:
    """Which accounts with budgets have rows of a part of the log. Raises one of StoreErrors."""
    parameters = {"first_ms": span.first_ms, "last_ms": span.last_ms}
    return {account for (account,) in ledger.search(_TOUCHED, parameters)}


def read_costs(
    ledger: Ledger,
    accounts: Collection[str],
    months: Sequence[date],
    zone: str,
    *,
    since_s: int = 0,
) -> dict[tuple[str, str], Costs]:
    """By account and budget, what each day of some months cost, in the accounts' zone.

    One question for all of them. Raises one of StoreErrors.
    """
    found: dict[tuple[str, str], Costs] = {}
    ordered = sorted(accounts)
    for start in range(0, len(ordered), ACCOUNTS_AT_ONCE):
        parameters = {
            "accounts": ordered[start : start + ACCOUNTS_AT_ONCE],
            "months": list(months),
            "zone": zone,
            "monthly": list(MONTHLY_LINES),
            "since_s": since_s,
        }
        for account, name, *row in ledger.search(_COSTS, parameters):
            month, day, is_fixed, cost, dearest, lately, minute_s = row
            costs = found.setdefault((account, name), Costs([], None))
            costs.days.append(DayCost(month, day, bool(is_fixed), nanos(cost), nanos(dearest)))
            minute = Minute(minute_s * 1_000_000, nanos(lately))
            if not is_fixed and (costs.minute is None or minute.cost > costs.minute.cost):
                found[account, name] = costs._replace(minute=minute)
    return found
