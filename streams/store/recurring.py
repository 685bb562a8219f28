"""What recurring charges are made from, and what was made: tellings, and charges of months."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, NamedTuple

from streams.rows.changed import Changed, Thing
from streams.rows.log_position import Span
from streams.store.ledger import Ledger
from streams.store.lines import MONTHLY_LINES_SQL
from streams.store.parts import LOGGED


class TellingRow(NamedTuple):
    """What an event told of a thing, and where in the log; `read_us` is when this was read."""

    account_id: str
    kind: str
    event_id: str
    line: str
    thing: str
    billed_as: str
    from_us: int
    until_us: int | None
    seconds: int
    number: str
    number_type: str
    product: str
    call_id: str
    user_id: str
    team: str
    partition: int
    offset: int
    logged_ms: int
    read_us: int


class ChargedRow(NamedTuple):
    """A recurring charge of a month that stands; `read_us` is when this was read."""

    month: date
    account_id: str
    line: str
    identity: str
    read_us: int


_OF = """AND (account_id IN {{owners:Array(String)}} AND xxh3({name}) IN {{things:Array(UInt64)}}
    OR account_id IN {{accounts:Array(String)}})"""
# Of what changed, and of what has an account and a name's hash of it; all tellings of what a thing
# is billed as, from which its charge is made.
TOLD, CHARGED = (_OF.format(name=name) for name in ("billed_as", "identity"))
# Of all, what has begun: of what changed, few things begin later.
BEGUN = """AND (account_id, kind, thing) IN (
    SELECT account_id, kind, thing FROM states WHERE from_at < {before:DateTime64(6, 'UTC')})"""
# Rows of one account come together.
_TELLINGS = """
SELECT account_id, kind, event_id, line, thing, billed_as, toUnixTimestamp64Micro(from_at),
       toUnixTimestamp64Micro(until_at), seconds, number, number_type, product, call_id, user_id,
       team, partition, offset, toUnixTimestamp64Milli(logged_at), toUnixTimestamp64Micro(now64(6))
FROM states FINAL
WHERE revision = 0 AND line != '' {only}
ORDER BY account_id
"""
# As FINAL has it, which would put all rows of the months in order first.
_CHARGED = f"""
SELECT month, account_id, line, identity, toUnixTimestamp64Micro(now64(6)) FROM rated
WHERE month IN {{months:Array(Date)}}
  AND line IN ({MONTHLY_LINES_SQL}) {{only}}
GROUP BY month, account_id, line, identity, revision
HAVING argMax(status, version) != 'voided'
"""


_TOLD = f"SELECT DISTINCT account_id, billed_as FROM states WHERE line != '' AND {LOGGED}"
# What began before an instant and has no charge of a month before: a hash of each is compared.
_NEVER_CHARGED = f"""
SELECT account_id, billed_as, toUnixTimestamp64Micro(min(from_at)) FROM states
WHERE revision = 0 AND line != ''
GROUP BY account_id, line, billed_as
HAVING min(from_at) < {{before:DateTime64(6, 'UTC')}}
   AND cityHash64(account_id, line, billed_as) NOT IN (
    SELECT cityHash64(account_id, line, identity) FROM rated
    WHERE line IN ({MONTHLY_LINES_SQL}) AND month < {{month:Date}})
"""


def read_told(ledger: Ledger, recent: Span) -> set[Thing]:
    """Of which things something was told in a part of the log. Raises one of StoreErrors."""
    return {(account, name) for account, name in ledger.search(_TOLD, recent.parameters())}


def read_never_charged(ledger: Ledger, month: date, before: datetime) -> dict[Thing, int]:
    """What began before an instant, and when in microseconds, and has no charge of a month before
    `month`. Raises one of StoreErrors."""
    rows = ledger.search(_NEVER_CHARGED, {"before": before, "month": month})
    return {(account, name): from_us for account, name, from_us in rows}


def read_charged(
    ledger: Ledger, months: Collection[date], changed: Changed | None
) -> list[ChargedRow]:
    """Recurring charges of some months, of what changed or of all."""
    parameters: dict[str, Any] = {"months": sorted(months)}
    if changed is None:
        rows = ledger.query(_CHARGED.replace("{only}", ""), parameters)
        return [ChargedRow._make(row) for row in rows]
    rows = ledger.query(_CHARGED.replace("{only}", CHARGED), parameters | changed.parameters())
    charged = map(ChargedRow._make, rows)
    return [row for row in charged if changed.has((row.account_id, row.identity))]


def read_tellings(ledger: Ledger, before: datetime, changed: Changed | None) -> list[TellingRow]:
    """Tellings, an account's together: of what changed, or of all that begins before an instant."""
    if changed is None:
        rows = ledger.query(_TELLINGS.replace("{only}", BEGUN), {"before": before})
        return [TellingRow._make(row) for row in rows]
    rows = ledger.query(_TELLINGS.replace("{only}", TOLD), changed.parameters())
    tellings = map(TellingRow._make, rows)
    return [row for row in tellings if changed.has((row.account_id, row.billed_as))]
