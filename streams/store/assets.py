"""What an account has: campaigns, numbers, recordings, each with what it was used for and cost."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from rater.instants import in_utc
from rater.lines import CALL_LINES
from rater.quote import WEEKS, Week
from streams.store.events import GROUPINGS, TAX
from streams.store.ledger import Ledger
from streams.store.statements import Key, nanos, parts_of

_DIALS = "campaign_calls"
_DETECTIONS = "ai_voice_detection"
_TEXTS = "texts"
_OWNED = "phone_numbers"


class CampaignUse(NamedTuple):
    """A campaign's month. `detection` is how it is set now, None where nobody has told."""

    campaign_id: str
    name: str
    detection: bool | None
    dials: int
    connected: int
    seconds: int
    detections: int
    humans: int
    detection_charge: int
    charge: int
    tax: int


_CAMPAIGNS = f"""
SELECT used.account_id, used.month, used.campaign_id, told.name, told.detection, dials, connected,
    seconds, detections, humans, detection_charge, charges, tax
FROM (
    SELECT account_id, month, campaign_id, countIf(line = {{dials:String}}) AS dials,
        countIf(line = {{dials:String}} AND answered_at IS NOT NULL) AS connected,
        sumIf(billed_seconds, line = {{dials:String}}) AS seconds,
        countIf(line = {{detections:String}} AND charge != 0) AS detections,
        countIf(line = {{detections:String}} AND verdict = 'human') AS humans,
        sumIf(rated_rows.charge, line = {{detections:String}}) AS detection_charge,
        sum(rated_rows.charge) AS charges, sum{TAX} AS tax
    FROM rated_rows
    WHERE (account_id, month) IN {{keys:Array(Tuple(String, Date))}} AND campaign_id != ''
        AND status != 'voided'
    GROUP BY account_id, month, campaign_id
) AS used
LEFT JOIN (
    SELECT account_id, billed_as, argMax(name, from_at) AS name,
        argMax(detection, from_at) AS detection
    FROM states FINAL WHERE account_id IN {{accounts:Array(String)}} AND kind = 'campaign'
    GROUP BY account_id, billed_as
) AS told ON told.account_id = used.account_id AND told.billed_as = used.campaign_id
ORDER BY charges DESC, campaign_id
"""


def read_campaigns(ledger: Ledger, account_id: str, month: date) -> list[CampaignUse]:
    """The campaigns that were used in a month, the dearest first. Raises one of StoreErrors."""
    return read_campaigns_of(ledger, [(account_id, month)])[account_id, month]


def read_campaigns_of(ledger: Ledger, keys: Sequence[Key]) -> dict[Key, list[CampaignUse]]:
    """The same of several accounts' months."""
    used: dict[Key, list[CampaignUse]] = {key: [] for key in keys}
    for some in parts_of(keys):
        accounts = sorted({account_id for account_id, _ in some})
        asked = {"keys": some, "accounts": accounts, "dials": _DIALS, "detections": _DETECTIONS}
        for account_id, month, *row in ledger.query(_CAMPAIGNS, asked):
            one = CampaignUse(*row)._replace(
                detection=None if row[2] is None else bool(row[2]),
                detection_charge=nanos(row[8]),
                charge=nanos(row[9]),
                tax=nanos(row[10]),
            )
            used[account_id, month].append(one)
    return used


# Weeks of seven times 24 hours before an instant, each by how far it lies back.
_DIAL_WEEKS = """
SELECT intDiv({now_s:Int64} - toUnixTimestamp(occurred_at), 604800) AS back, count(),
    countIf(answered_at IS NOT NULL), sum(billed_seconds)
FROM rated_rows
WHERE account_id = {account:String} AND month IN {months:Array(Date)} AND line = {dials:String}
    AND status != 'voided' AND occurred_at <= fromUnixTimestamp({now_s:Int64})
    AND occurred_at > fromUnixTimestamp({now_s:Int64} - 604800 * {weeks:UInt8})
GROUP BY back ORDER BY back
"""


def read_dial_weeks(
    ledger: Ledger, account_id: str, months: Sequence[date], now_s: int
) -> list[Week]:
    """What an account dialed in each of the last weeks that has dials; `months` has all of these.

    Raises one of StoreErrors.
    """
    parameters = {
        "account": account_id, "months": list(months), "dials": _DIALS, "now_s": now_s,
        "weeks": WEEKS,
    }  # fmt: skip
    return [Week(*row[1:]) for row in ledger.query(_DIAL_WEEKS, parameters)]


class NumberUse(NamedTuple):
    """A number's month: its own charge with tax, and what was used by it."""

    number: str
    number_type: str
    since: datetime
    until: datetime | None
    charge: int
    calls: int
    seconds: int
    texts: int
    used: int


_NUMBERS = f"""
SELECT owned.number, number_type, since, until, own.charges, used.calls, used.seconds, used.texts,
    used.charges
FROM (
    SELECT billed_as AS number, argMax(number_type, version) AS number_type,
        argMax(from_at, from_at) AS since, argMax(until_at, from_at) AS until
    FROM states FINAL WHERE account_id = {{account:String}} AND kind = 'number'
    GROUP BY number
) AS owned
LEFT JOIN (
    SELECT identity AS number, sum(charge) + sum{TAX} AS charges FROM rated_rows
    WHERE account_id = {{account:String}} AND month = {{month:Date}} AND line = {{numbers:String}}
        AND status != 'voided'
    GROUP BY number
) AS own ON own.number = owned.number
LEFT JOIN (
    SELECT {GROUPINGS["number"]} AS number,
        countIf(line IN {{timed:Array(String)}}) AS calls,
        sum(billed_seconds) AS seconds, countIf(line = {{sent:String}}) AS texts,
        sum(rated_rows.charge) + sum{TAX} AS charges
    FROM rated_rows
    WHERE account_id = {{account:String}} AND month = {{month:Date}} AND line != {{numbers:String}}
        AND status != 'voided'
    GROUP BY number
) AS used ON used.number = owned.number
WHERE toStartOfMonth(since) <= {{month:Date}}
    AND (until IS NULL OR toStartOfMonth(assumeNotNull(until)) >= {{month:Date}})
ORDER BY owned.number
"""


def read_numbers(ledger: Ledger, account_id: str, month: date) -> list[NumberUse]:
    """The numbers that were owned at any time in a month. Raises one of StoreErrors."""
    rows = ledger.query(
        _NUMBERS,
        {
            "account": account_id,
            "month": month,
            "timed": sorted(CALL_LINES),
            "sent": _TEXTS,
            "numbers": _OWNED,
        },
    )
    return [
        NumberUse(*row)._replace(
            since=in_utc(row[2]),
            until=None if row[3] is None else in_utc(row[3]),
            charge=nanos(row[4]),
            used=nanos(row[8]),
        )
        for row in rows
    ]


class RecordingMonth(NamedTuple):
    """Recordings by the month in which they were made: what of them is charged for a month."""

    made: date
    recordings: int
    seconds: int
    charge: int


_RECORDINGS = f"""
SELECT toStartOfMonth(told.from_at) AS made, count(), sum(kept.billed_seconds),
    sum(kept.cost)
FROM (
    SELECT identity, billed_seconds, charge + {TAX} AS cost FROM rated_rows
    WHERE account_id = {{account:String}} AND month = {{month:Date}}
        AND line = 'recording_storage' AND status != 'voided'
) AS kept
LEFT JOIN (
    SELECT billed_as, min(from_at) AS from_at FROM states FINAL
    WHERE account_id = {{account:String}} AND kind = 'recording'
    GROUP BY billed_as
) AS told ON told.billed_as = kept.identity
GROUP BY made ORDER BY made DESC
"""


def read_recordings(ledger: Ledger, account_id: str, month: date) -> list[RecordingMonth]:
    """What is stored in a month, by when it was made, the newest first. Raises StoreErrors."""
    rows = ledger.query(_RECORDINGS, {"account": account_id, "month": month})
    return [RecordingMonth(*row)._replace(charge=nanos(row[3])) for row in rows]
