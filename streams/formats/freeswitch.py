"""FreeSWITCH call records as events: CSV without a header, a record a line.

Two layouts, told apart by their columns: the template `default` of mod_cdr_csv (15), and the one of
cdr-stats (8). Durations are the switch's own: from dialing to hangup, and after answer (billsec).
Source: FreeSWITCH's conf/vanilla/autoload_configs/cdr_csv.conf.xml; the samples of cdr-stats.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

import orjson

from rater import numbers
from rater.reject import Reason, Reject
from streams.formats.importer import Imported, Source, lines_of

LAYOUTS = {
    15: (
        "caller name", "caller number", "destination", "context", "start stamp", "answer stamp",
        "end stamp", "duration", "billsec", "hangup cause", "uuid", "bleg uuid", "accountcode",
        "read codec", "write codec",
    ),
    8: (
        "caller number", "caller name", "destination", "duration", "billsec", "hangup cause",
        "uuid", "start epoch",
    ),
}  # fmt: skip

# What an unanswered call's cause, by its Q.850 number or FreeSWITCH's name, is to us; every other
# one is a failure. An answered call is completed, whatever ended it.
STATUS_OF_CAUSE = {
    "16": "no-answer", "NORMAL_CLEARING": "no-answer",
    "17": "busy", "USER_BUSY": "busy",
    "18": "no-answer", "NO_USER_RESPONSE": "no-answer",
    "19": "no-answer", "NO_ANSWER": "no-answer",
    "20": "no-answer", "SUBSCRIBER_ABSENT": "no-answer",
    "487": "canceled", "ORIGINATOR_CANCEL": "canceled",
}  # fmt: skip

# The dialplan's context of calls from outside; every other one is of the switch's own users.
INBOUND_CONTEXT = "public"


def read_freeswitch(file: BinaryIO, source: Source) -> Iterator[Imported]:
    """Each line's call. A line and not a CSV record: an unclosed quote spoils its own line only."""
    for number, raw in lines_of(file):
        yield Imported(number, raw, _call_of(raw.decode("utf-8", "replace"), source))


def _call_of(line: str, source: Source) -> bytes | Reject:
    """A call event as JSON, or why the line is none. Never raises on data."""
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])]
    except csv.Error as error:
        return Reject(Reason.UNREADABLE, f"not a line of CSV: {error}")
    columns = LAYOUTS.get(len(cells))
    if columns is None:
        layouts = "; or ".join(", ".join(names) for names in LAYOUTS.values())
        return Reject(
            Reason.UNREADABLE, f"{len(cells)} columns instead of 15 or 8, which are: {layouts}"
        )
    row = dict(zip(columns, cells, strict=True))
    times = _times(row, source.zone)
    if isinstance(times, Reject):
        return times
    dialed, answered, ended = times
    event: dict[str, Any] = {
        "kind": "call",
        "id": row["uuid"],
        "account_id": row.get("accountcode") or source.account_id,
        "direction": "inbound" if row.get("context") == INBOUND_CONTEXT else "outbound",
        "dialed_at": dialed,
        "ended_at": ended,
        "status": STATUS_OF_CAUSE.get(row["hangup cause"].upper(), "failed"),
    }
    if answered is not None:
        event |= {"answered_at": answered, "status": "completed"}
    for key, column in (("from", "caller number"), ("to", "destination")):
        party = _party(row[column], source.region)
        if party is None and key == "from" and not row[column].strip("0"):
            party = "anonymous"  # how the switch writes that it was told no number
        if party is None:
            return Reject(Reason.BAD_NUMBER, _no_party(column, source.region))
        event[key] = party
    return orjson.dumps(event)


def _times(row: dict[str, str], zone: str) -> tuple[datetime, datetime | None, datetime] | Reject:
    """When it was dialed, answered (None: never) and ended, by the switch's own durations."""
    seconds: dict[str, int] = {}
    for name in ("duration", "billsec"):
        try:
            seconds[name] = int(row[name])
        except ValueError:
            return Reject(Reason.UNREADABLE, f"{name} is no whole number of seconds")
    duration, billsec = seconds["duration"], seconds["billsec"]
    if duration < 0:
        return Reject(Reason.BAD_TIME, "duration is negative: the call ends before it starts")
    if billsec > duration:
        return Reject(
            Reason.BAD_TIME, "billsec is longer than the call: the answer can't be placed"
        )
    try:
        dialed = _start(row, zone)
    except ValueError:
        return Reject(
            Reason.UNREADABLE, "the start is no whole Unix seconds, nor a stamp such as "
            "2026-11-05 10:00:00",
        )  # fmt: skip
    except (OverflowError, OSError):
        return Reject(Reason.BAD_TIME, "the start is no instant of our calendar")
    try:
        ended = dialed + timedelta(seconds=duration)
    except OverflowError:
        return Reject(Reason.BAD_TIME, "the end is no instant of our calendar")
    # A negative billsec is how the switch writes a call that rang and was never answered.
    is_answered = billsec > 0 or (billsec == 0 and row.get("answer stamp", "") != "")
    return dialed, ended - timedelta(seconds=billsec) if is_answered else None, ended


def _start(row: dict[str, str], zone: str) -> datetime:
    if "start epoch" in row:
        # Not fromtimestamp: its errors differ by platform.
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(row["start epoch"]))
    stamp = datetime.strptime(row["start stamp"], "%Y-%m-%d %H:%M:%S")
    return stamp.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _party(text: str, region: str) -> str | None:
    """A dialed number, an address or a withheld caller as our party; None where it is none."""
    if numbers.is_party(text) and not text.isdigit():
        return text
    if numbers.is_party(text) and numbers.form(text) == "anonymous":
        return text
    return numbers.from_national(text, region)


def _no_party(column: str, region: str) -> str:
    if region:
        return f"the {column} is no number of {region}, nor E.164, a short number or sip:"
    return (
        f"the {column} is no E.164 number such as +14155550100; if it is a national one, say the "
        "file's region, such as --region US"
    )
