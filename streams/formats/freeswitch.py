"""FreeSWITCH call records as events: CSV without a header, a record a line.

Two layouts, told apart by their columns: the template `default` of mod_cdr_csv (15), and the one of
cdr-stats (8). Durations are the switch's own: from dialing to hangup, and after answer (billsec).
Source: FreeSWITCH's conf/vanilla/autoload_configs/cdr_csv.conf.xml; the samples of cdr-stats.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

import orjson

from rater.reject import Reject
from streams.formats.importer import Imported, Source, lines_of
from streams.formats.switch_csv import Row, of_stamp, parties_of, row_of, times_of

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
    row = row_of(line, LAYOUTS)
    if isinstance(row, Reject):
        return row
    # A negative billsec is how the switch writes a call that rang and was never answered.
    times = times_of(
        row,
        partial(_start, row, source.zone),
        lambda billsec: billsec > 0 or (billsec == 0 and row.get("answer stamp", "") != ""),
    )
    if isinstance(times, Reject):
        return times
    parties = parties_of(row, "caller number", "destination", source)
    if isinstance(parties, Reject):
        return parties
    dialed, answered, ended = times
    event: dict[str, Any] = {
        "kind": "call",
        "id": row["uuid"],
        "account_id": row.get("accountcode") or source.account_id,
        "direction": "inbound" if row.get("context") == INBOUND_CONTEXT else "outbound",
        "dialed_at": dialed,
        "ended_at": ended,
        "status": STATUS_OF_CAUSE.get(row["hangup cause"].upper(), "failed"),
        **parties,
    }
    if answered is not None:
        event |= {"answered_at": answered, "status": "completed"}
    return orjson.dumps(event)


def _start(row: Row, zone: str) -> datetime:
    if "start epoch" in row:
        # Not fromtimestamp: its errors differ by platform.
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(row["start epoch"]))
    return of_stamp(row["start stamp"], zone)
