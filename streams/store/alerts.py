"""What was told of budgets, and each attempt to send it: an outbox that outlives a worker."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from rater.budgets import Alert
from rater.instants import in_utc
from rater.money import format_nanos
from streams.store.ledger import Ledger
from streams.store.statements import Key, nanos, parts_of

_TOLD = """
SELECT DISTINCT alert_id FROM alerts
WHERE account_id IN {accounts:Array(String)} AND month IN {months:Array(Date)}
"""
_ROW = "account_id, month, alert_id, budget, what, percent, amount, spent, currency, sentence"
_ROWS = (
    "account_id", "month", "alert_id", "budget", "what", "percent", "amount", "spent", "currency",
    "sentence", "told_at",
)  # fmt: skip
# With what became of it on each way: how often it was tried, whether it was sent, the last answer.
_TRIED = """
SELECT account_id, alert_id, channel, max(attempt) AS attempts, max(sent) AS was_sent,
    argMax(answer, tuple(attempt, tried_at)) AS said, max(tried_at) AS last
FROM deliveries WHERE {of} GROUP BY account_id, alert_id, channel
"""
_OF_ACCOUNT = f"""
SELECT {_ROW}, told_at, tried.channel, tried.attempts, tried.was_sent, tried.said, tried.last
FROM (SELECT * FROM alerts FINAL
    WHERE account_id = {{account:String}} AND month = {{month:Date}}) AS told
LEFT JOIN ({_TRIED.replace("{of}", "account_id = {account:String}")}) AS tried
    USING (account_id, alert_id)
ORDER BY told_at DESC, alert_id, tried.channel LIMIT {{limit:UInt32}}
"""
_RECENT = f"""
SELECT {_ROW}, told_at, tried.channel, tried.attempts, tried.was_sent, tried.said, tried.last
FROM (SELECT * FROM alerts FINAL
    WHERE told_at >= fromUnixTimestamp64Micro({{since_us:Int64}}, 'UTC')) AS told
LEFT JOIN ({
    _TRIED.replace("{of}", "tried_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')")
}) AS tried USING (account_id, alert_id)
ORDER BY told_at, alert_id, tried.channel
"""
_REACHED = """
SELECT account_id, month, budget, max(percent) FROM alerts FINAL
WHERE (account_id, month) IN {keys:Array(Tuple(String, Date))} AND what = {what:String}
GROUP BY account_id, month, budget
"""
_DELIVERIES = (
    "account_id", "alert_id", "channel", "attempt", "sent", "answer", "tried_at",
)  # fmt: skip


class Told(NamedTuple):
    """An alert as it was told; `amount` and `spent` are nanos."""

    account_id: str
    month: date
    alert_id: str
    budget: str
    what: str
    percent: int
    amount: int
    spent: int
    currency: str
    sentence: str
    told_at: datetime


class Tried(NamedTuple):
    """What became of an alert on one way."""

    channel: str
    attempts: int
    was_sent: bool
    answer: str
    last_at: datetime


class Attempt(NamedTuple):
    """One attempt to send an alert, the how-manieth and how it ended."""

    account_id: str
    alert_id: str
    channel: str
    attempt: int
    was_sent: bool
    answer: str


def read_told(ledger: Ledger, accounts: Collection[str], months: Sequence[date]) -> set[str]:
    """The ids of what was told of some accounts' months. Raises one of StoreErrors."""
    parameters = {"accounts": sorted(accounts), "months": list(months)}
    return {alert_id for (alert_id,) in ledger.search(_TOLD, parameters)}


def write_alerts(
    ledger: Ledger, alerts: Sequence[tuple[Alert, str]], currency: str, now: datetime
) -> None:
    """Keeps what is told, each with its sentence, to be sent. Raises one of StoreErrors."""
    rows = [
        [
            one.budget.account_id, one.month, one.alert_id, one.budget.name, one.what.value,
            one.percent, Decimal(format_nanos(one.budget.amount)),
            Decimal(format_nanos(one.spent)), currency, sentence, now,
        ]
        for one, sentence in alerts
    ]  # fmt: skip
    if rows:
        ledger.insert("alerts", _ROWS, rows)


def read_alerts(
    ledger: Ledger, account_id: str, month: date, *, limit: int
) -> list[tuple[Told, list[Tried]]]:
    """What was told of an account's month, the newest first. Raises one of StoreErrors."""
    parameters = {"account": account_id, "month": month, "limit": limit}
    return _grouped(ledger.query(_OF_ACCOUNT, parameters))


def read_recent(ledger: Ledger, since_us: int) -> list[tuple[Told, list[Tried]]]:
    """All that was told since an instant, the oldest first. Raises one of StoreErrors."""
    return _grouped(ledger.search(_RECENT, {"since_us": since_us}))


def read_reached(ledger: Ledger, keys: Sequence[Key], what: str) -> dict[Key, dict[str, int]]:
    """The highest threshold that was told of each budget of some accounts' months.

    Raises one of StoreErrors.
    """
    reached: dict[Key, dict[str, int]] = {key: {} for key in keys}
    for some in parts_of(keys):
        for account_id, month, budget, percent in ledger.query(
            _REACHED, {"keys": some, "what": what}
        ):
            reached[account_id, month][budget] = percent
    return reached


def write_attempts(ledger: Ledger, attempts: Sequence[Attempt], now: datetime) -> None:
    """Notes how sending went. Raises one of StoreErrors."""
    if attempts:
        ledger.insert("deliveries", _DELIVERIES, [[*one, now] for one in attempts])


def _grouped(rows: list[tuple[object, ...]]) -> list[tuple[Told, list[Tried]]]:
    found: dict[str, tuple[Told, list[Tried]]] = {}
    for row in rows:
        told, tried = Told._make(row[:11]), Tried._make(row[11:])
        told = told._replace(
            amount=nanos(told.amount),  # type: ignore[arg-type]
            spent=nanos(told.spent),  # type: ignore[arg-type]
            told_at=in_utc(told.told_at),
        )
        _, ways = found.setdefault(told.alert_id, (told, []))
        if tried.channel:
            was_sent = bool(tried.was_sent)
            ways.append(tried._replace(was_sent=was_sent, last_at=in_utc(tried.last_at)))
    return list(found.values())
