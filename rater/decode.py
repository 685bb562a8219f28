"""From a record's bytes to its event, or to the reason why it is none.

`decode` is the rule, for one record. `decode_all` does the same for many, faster where all of them
are well: most is then looked at for all together.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from rater.events import EPOCH, KINDS, Event, Kind, bad_time, to_us
from rater.facts import Facts, Instants, are_in_time, facts_of, read
from rater.reject import Reason, Reject

MAX_RECORD_BYTES = 1_048_576
MAX_AHEAD = timedelta(minutes=5)
ONE_BY_ONE = 64  # records of which one is bad

_MICROSECOND = timedelta(microseconds=1)


def decode(kind: Kind, raw: bytes | None, received_us: int) -> Event | Reject:
    """The event that a record's value is, or why it is none. Never raises on data.

    `received_us` is when the log received the record (the broker's timestamp): an event that
    happened more than five minutes later than that is refused. Source: domain.md, Bad input.
    """
    raw = raw and raw.removeprefix(BOM_UTF8)  # a byte-order mark is no data
    if not raw:
        return Reject(Reason.EMPTY, f"the record has no value; send a {kind.name} event as JSON")
    if len(raw) > MAX_RECORD_BYTES:
        return Reject(
            Reason.TOO_LARGE, f"the record has {len(raw)} bytes; at most {MAX_RECORD_BYTES}"
        )
    try:
        if not raw.isascii():
            raw.decode()  # msgspec reads no text of a field that it skips
        event = kind.decode(raw)
        twice = _name_twice(raw)
    except msgspec.ValidationError as error:
        return _reject_field(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Reject(Reason.BAD_JSON, f"not a JSON object: {error}")
    if twice is not None:
        return Reject(Reason.DUPLICATE_KEY, f"the name {twice!r} stands twice; send it once")
    if (reject := event.check()) is not None:
        return reject
    first, last = event.span()
    if first < EPOCH:
        return bad_time(f"{first} is before 1970: check the producer's clock")
    if last > _latest(received_us):
        return Reject(
            Reason.IN_FUTURE,
            f"{last} is {(to_us(last) - received_us) // 1_000_000} s after the log received it; "
            "at most 300 s: check the producer's clock",
        )
    return event


@lru_cache(maxsize=1024)  # records of a batch were received together
def _latest(received_us: int) -> datetime:
    return EPOCH + received_us * _MICROSECOND + MAX_AHEAD


def decode_all(
    kind: Kind, raws: Sequence[bytes | None], received_us: Sequence[int] | Instants
) -> tuple[Sequence[Event | Reject], Facts | None]:
    """`decode` of each; and the facts of all, where all were well at the first look.

    Never of a monthly kind. Facts that are None say nothing of the events.
    """
    if not kind.monthly and (well := _decode_well(kind, raws, received_us)) is not None:
        return well
    if kind.monthly or len(raws) <= ONE_BY_ONE:
        return [
            decode(kind, raw, int(at_us)) for raw, at_us in zip(raws, received_us, strict=True)
        ], None
    # One bad record costs the others a second look, not one each.
    half = len(raws) // 2
    first, _ = decode_all(kind, raws[:half], received_us[:half])
    second, _ = decode_all(kind, raws[half:], received_us[half:])
    return [*first, *second], None


def _decode_well(
    kind: Kind, raws: Sequence[bytes | None], received_us: Sequence[int] | Instants
) -> tuple[Sequence[Event], Facts] | None:
    """What `decode_all` gives where `decode` refuses none of them; None where there are doubts."""
    present = [raw for raw in raws if raw]
    if not present or len(present) < len(raws) or max(map(len, present)) > MAX_RECORD_BYTES:
        return None
    try:
        events = list(map(kind.decode, present))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    table = read(kind, present)
    if table is None:
        return None
    facts = facts_of(kind, events, table)
    latest_us = np.asarray(received_us, np.int64) + MAX_AHEAD // _MICROSECOND
    return (events, facts) if are_in_time(facts, latest_us) else None


def decode_line(raw: bytes, received_us: int) -> Event | Reject:
    """An event from a line of a file, where the event itself says its `kind`."""
    raw = raw.removeprefix(BOM_UTF8)
    try:
        name = _KIND_OF_LINE.decode(raw).kind
    except msgspec.ValidationError as error:
        return Reject(Reason.WRONG_KIND, f"{error}; say kind, one of {', '.join(KINDS)}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Reject(Reason.BAD_JSON, f"not a JSON object: {error}")
    if name not in KINDS:
        return Reject(Reason.WRONG_KIND, f"kind {name!r} is none of {', '.join(KINDS)}")
    return decode(KINDS[name], raw, received_us)


class _KindOfLine(msgspec.Struct):
    kind: str


_KIND_OF_LINE = msgspec.json.Decoder(_KindOfLine)


def _name_twice(raw: bytes) -> str | None:
    found: str | None = None

    def pairs(items: list[tuple[str, Any]]) -> None:
        nonlocal found
        names = set()
        for name, _ in items:
            if name in names:
                found = name
            names.add(name)

    # Numbers stay text: Python reads no integer of more than 4,300 digits.
    json.loads(raw, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return found


def _reject_field(error: str) -> Reject:
    """msgspec's message names the field and what it expects, and not the value: fit for a log."""
    if error.endswith("`$.kind`"):
        return Reject(Reason.WRONG_KIND, f"{error}: the kind disagrees with the topic")
    return Reject(Reason.BAD_FIELD, error)
