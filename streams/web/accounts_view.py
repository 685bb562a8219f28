"""All accounts at a glance, for who operates: what each costs, how that changed, what waits."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from rater.money import format_nanos
from rater.words import DASH, grouped, rounded
from streams.store.operators import AccountUse
from streams.web.frame import account_path, month_name, with_query
from streams.web.numbers import Numbers
from streams.web.render import View, render

PAGE_ACCOUNTS = 50


class Row(NamedTuple):
    name: str
    href: str
    total: str
    before: str
    change: str
    waits: str
    last: str


def accounts_view(found: Sequence[AccountUse], month: date, before: date, numbers: Numbers) -> View:
    """A page of accounts; one more than a page was asked for, to know of the next."""
    shown = found[:PAGE_ACCOUNTS]
    more = with_query("/accounts", {"after": shown[-1].account_id}) if found[len(shown) :] else ""
    return render(
        "accounts.html",
        month_title=month_name(month),
        before_title=month_name(before),
        rows=[_row(one, numbers) for one in shown],
        next=more,
    )


def _row(one: AccountUse, numbers: Numbers) -> Row:
    change = one.total - one.before
    return Row(
        one.account_id,
        account_path(one.account_id),
        numbers.money(format_nanos(one.total)),
        numbers.money(format_nanos(one.before)) if one.before else DASH,
        ("+" if change > 0 else "") + grouped(rounded(format_nanos(change), 2), numbers.symbol),
        f"{one.waits:,}" if one.waits else DASH,
        f"{one.last_at:%Y-%m-%d %H:%M} UTC",
    )
