"""Asterisk call records as events: CSV without a header, a leg a line.

The columns are those of a mapping in cdr_custom.conf: src, dst, start, answer, end, duration,
billsec, disposition, uniqueid, sequence. Several legs of a call have one uniqueid: a leg is told
apart by its sequence, too. Stamps are cut to seconds, so the switch's own durations count.
Source: Asterisk's documentation, CDR specification; configs/samples/cdr_custom.conf.sample.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

import orjson

from rater.reject import Reason, Reject
from streams.formats.importer import Imported, Source, lines_of
from streams.formats.switch_csv import of_stamp, parties_of, row_of, times_of

LAYOUTS = {
    10: (
        "src", "dst", "start", "answer", "end", "duration", "billsec", "disposition", "uniqueid",
        "sequence",
    ),
}  # fmt: skip

STATUS_OF_DISPOSITION = {
    "ANSWERED": "completed",
    "NO ANSWER": "no-answer",
    "BUSY": "busy",
    "FAILED": "failed",
    "CONGESTION": "failed",
}


def read_asterisk(file: BinaryIO, source: Source) -> Iterator[Imported]:
    """Each line's leg; the legs of one uniqueid are of one group."""
    for number, raw in lines_of(file):
        yield Imported(number, raw, _call_of(raw.decode("utf-8", "replace"), source))


def _call_of(line: str, source: Source) -> bytes | Reject:
    """A call event as JSON, or why the line is none. Never raises on data."""
    row = row_of(line, LAYOUTS)
    if isinstance(row, Reject):
        return row
    status = STATUS_OF_DISPOSITION.get(row["disposition"].upper())
    if status is None:
        words = ", ".join(STATUS_OF_DISPOSITION)
        return Reject(Reason.UNREADABLE, f"the disposition is none of {words}")
    if not row["uniqueid"] or not row["sequence"]:
        return Reject(Reason.UNREADABLE, "a leg needs its uniqueid and its sequence")
    start = partial(of_stamp, row["start"], source.zone)
    # A leg that nobody took has the answer of the channel that called it.
    times = times_of(row, start, lambda _: status == "completed")
    if isinstance(times, Reject):
        return times
    parties = parties_of(row, "src", "dst", source)
    if isinstance(parties, Reject):
        return parties
    dialed, answered, ended = times
    event: dict[str, Any] = {
        "kind": "call",
        "id": f"{row['uniqueid']}-{row['sequence']}",
        "account_id": source.account_id,
        "group_id": row["uniqueid"],
        "direction": "outbound",
        "dialed_at": dialed,
        "ended_at": ended,
        "status": status,
        **parties,
    }
    if answered is not None:
        event["answered_at"] = answered
    return orjson.dumps(event)
