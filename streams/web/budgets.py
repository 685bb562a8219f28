"""Budgets as pages and the API have them: read with how they stand, and set by who may manage.

Each function that reads or writes blocks: it runs off the loop.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from fastapi import HTTPException

from rater.budgets import Budget, Standing, standing_of
from rater.charge import format_us
from rater.forecast import MONTHS_BEFORE
from rater.instants import to_us
from rater.lines import PRICED
from rater.money import MoneyError, format_nanos, parse_nanos
from rater.months import months_before
from streams.store.alerts import Told, Tried, read_alerts
from streams.store.budgets import Costs, read_budgets, read_costs, remove_budget, set_budget
from streams.web.reads import Reads

BUDGETS_MOST = 100  # of one account
TOLD_MOST = 100  # of a month, that one answer has
TEXT_MOST = 256
NAME_MOST = 64
AMOUNT_MOST = 10**9  # in the account's currency; as many digits as the ledger has


class Standings(NamedTuple):
    """An account's budgets and how each stands in the month under way; what was told of them."""

    month: date
    zone: str
    currency: str
    budgets: Sequence[tuple[Budget, Standing]]
    told: Sequence[tuple[Told, list[Tried]]]


def read_standings(reads: Reads, account: str) -> Standings:
    """Raises one of StoreErrors."""
    now = datetime.now(UTC)
    zone = reads.book().account(account, to_us(now)).zone
    today = now.astimezone(zone).date()
    month = today.replace(day=1)
    months = [month, *months_before(month, MONTHS_BEFORE)]
    budgets = read_budgets(reads.ledger, account)
    costs = read_costs(reads.ledger, [account], months, zone.key) if budgets else {}
    standings = [
        (one, standing_of(costs.get((account, one.name), Costs([], None)).days, month, today))
        for one in budgets
    ]
    told = read_alerts(reads.ledger, account, month, limit=TOLD_MOST)
    return Standings(month, zone.key, reads.book().currency, standings, told)


def standings_json(reads: Reads, account: str) -> dict[str, Any]:
    found = read_standings(reads, account)
    return {
        "account_id": account,
        "month": f"{found.month:%Y-%m}",
        "zone": found.zone,
        "currency": found.currency,
        "budgets": [_standing_json(*one) for one in found.budgets],
        "told": [_told_json(*one) for one in found.told],
    }


def _standing_json(budget: Budget, standing: Standing) -> dict[str, Any]:
    foretold = standing.foretold
    return budget_json(budget) | {
        "spent": format_nanos(standing.spent),
        "forecast": foretold and {
            name: format_nanos(nanos) for name, nanos in foretold._asdict().items()
        },
    }  # fmt: skip


def budget_json(budget: Budget) -> dict[str, Any]:
    return {
        "name": budget.name,
        "amount": format_nanos(budget.amount),
        "lines": list(budget.lines),
        "campaign": budget.campaign_id,
        "user": budget.user_id,
    }


def _told_json(told: Told, ways: Sequence[Tried]) -> dict[str, Any]:
    return {
        "id": told.alert_id,
        "type": f"budget.{told.what}",
        "budget": told.budget,
        "percent": told.percent,
        "amount": format_nanos(told.amount),
        "spent": format_nanos(told.spent),
        "currency": told.currency,
        "sentence": told.sentence,
        "told_at": format_us(to_us(told.told_at)),
        "deliveries": [
            {
                "way": one.channel, "attempts": one.attempts, "sent": one.was_sent,
                "answer": one.answer, "at": format_us(to_us(one.last_at)),
            }
            for one in ways
        ],
    }  # fmt: skip


def wanted_budget(
    account: str, name: str, amount: str, *, lines: Sequence[str], campaign: str, user: str
) -> Budget:
    """A budget as somebody asks for it. Raises 422 for what can be none."""
    if not name or len(name) > NAME_MOST or not name.isprintable():
        raise HTTPException(422, f"name: printable text of {NAME_MOST} characters at the most")
    try:
        nanos = parse_nanos(amount)
    except MoneyError:
        nanos = 0
    if not 0 < nanos < parse_nanos(AMOUNT_MOST):
        raise HTTPException(
            422, f"amount: a decimal above 0 and below {AMOUNT_MOST}, such as 250 or 99.50"
        )
    if unknown := sorted(set(lines) - PRICED.keys()):
        known = ", ".join(PRICED)
        raise HTTPException(422, f"lines: {len(unknown)} of them are none of {known}")
    for what, text in (("campaign", campaign), ("user", user)):
        if len(text) > TEXT_MOST or not (text.isprintable() or not text):
            raise HTTPException(422, f"{what}: printable text of {TEXT_MOST} characters at most")
    return Budget(account, name, nanos, tuple(sorted(set(lines))), campaign, user)


def put_budget(reads: Reads, budget: Budget) -> None:
    """Raises 422 where an account has too many already, and one of StoreErrors."""
    others = {one.name for one in read_budgets(reads.ledger, budget.account_id)} - {budget.name}
    if len(others) >= BUDGETS_MOST:
        raise HTTPException(422, f"this account has {BUDGETS_MOST} budgets; delete one first")
    set_budget(reads.ledger, budget, datetime.now(UTC))


def delete_budget(reads: Reads, account: str, name: str) -> None:
    """Raises 404 where there is none of that name, and one of StoreErrors."""
    if all(one.name != name for one in read_budgets(reads.ledger, account)):
        raise HTTPException(404, "there is no budget of this name")
    remove_budget(reads.ledger, account, name, datetime.now(UTC))
