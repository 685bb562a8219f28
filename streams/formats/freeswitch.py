"""FreeSWITCH call records as events: CSV without a header, values padded with a space.

Columns: caller number, caller name, destination, duration in seconds from dialing to hangup,
seconds after answer (billsec), hangup cause (Q.850: 16 normal clearing, 17 user busy, ...), call
UUID, start as Unix epoch seconds. Source: mod_cdr_csv of FreeSWITCH; the samples of cdr-stats.
"""

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from rater.reject import Reason, Reject

COLUMNS = (
    "caller number", "caller name", "destination", "duration", "billsec", "hangup cause", "UUID",
    "start",
)  # fmt: skip

# Q.850 causes as our statuses; every other cause is a failure.
STATUS_OF_CAUSE = {16: "completed", 17: "busy", 18: "no-answer", 19: "no-answer"}


def to_event(line: str, account_id: str) -> bytes | Reject:
    """A call event as JSON, or why the record is none. Never raises on data.

    A billsec of 0 was never answered; numbers are national digits, so they get their +.
    """
    try:
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
    except csv.Error as error:
        return Reject(Reason.UNREADABLE, f"not a line of CSV: {error}")
    if len(cells) != len(COLUMNS):
        return Reject(
            Reason.UNREADABLE,
            f"{len(cells)} columns instead of {len(COLUMNS)}: {', '.join(COLUMNS)}",
        )
    row = dict(zip(COLUMNS, cells, strict=True))
    numbers: dict[str, int] = {}
    for name in ("duration", "billsec", "hangup cause", "start"):
        try:
            numbers[name] = int(row[name])
        except ValueError:
            return Reject(Reason.UNREADABLE, f"{name} {row[name]!r} is no whole number")
    duration, billsec = numbers["duration"], numbers["billsec"]
    if duration < 0:
        return Reject(
            Reason.BAD_TIME, f"duration {duration} s is negative: it ends before it starts"
        )
    if not 0 <= billsec <= duration:
        return Reject(
            Reason.BAD_TIME,
            f"billsec {billsec} s is outside the call of {duration} s: the answer can't be placed",
        )
    try:
        dialed = datetime.fromtimestamp(numbers["start"], UTC)
        ended = dialed + timedelta(seconds=duration)
    except (OverflowError, OSError, ValueError):
        return Reject(Reason.BAD_TIME, f"start {numbers['start']} is no Unix time in seconds")
    event: dict[str, Any] = {
        "kind": "call",
        "id": row["UUID"],
        "account_id": account_id,
        "direction": "outbound",
        "from": _party(row["caller number"]),
        "to": _party(row["destination"]),
        "dialed_at": dialed,
        "ended_at": ended,
        "status": STATUS_OF_CAUSE.get(numbers["hangup cause"], "failed"),
    }
    if billsec:
        event["answered_at"] = ended - timedelta(seconds=billsec)
    return orjson.dumps(event)


def _party(number: str) -> str:
    return f"+{number}" if number.isdigit() and len(number) > 8 else number
