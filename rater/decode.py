"""From a record's bytes to its event, or to the reason why it is none.

`decode` is the rule, for one record. `decode_all` does the same for many: those that are sure to be
well come by column, all others one by one.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from rater.codes import Indexes
from rater.event_columns import MAX_RECORD_BYTES, EventColumns, read
from rater.event_rows import check, span
from rater.instants import Instants, to_us
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.kinds.kind import Kind
from rater.names_once import name_twice
from rater.reject import Reason, Reject
from rater.unknown_fields import NONE, Unknown, is_word, unknown_of

MAX_AHEAD_US = 300_000_000
MESSAGE_MAX = 200  # characters


def decode(kind: Kind, raw: bytes | None, received_us: int) -> Event | Reject:
    """The event that a record's value is, or why it is none. Never raises on data.

    `received_us` is when the log received the record (the broker's timestamp): an event that
    happened more than five minutes later than that is refused. Source: docs/rules.md, Bad input.
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
        twice = name_twice(raw)
    except msgspec.ValidationError as error:
        return _reject_field(kind, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Reject(Reason.BAD_JSON, f"not a JSON object: {error}"[:MESSAGE_MAX])
    if twice is not None:
        name = f"the name {twice!r}" if is_word(twice) else "a name"
        return Reject(Reason.DUPLICATE_KEY, f"{name} stands twice; send it once")
    if (reject := check(event)) is not None:
        return reject
    _, last = span(event)
    if to_us(last) > received_us + MAX_AHEAD_US:
        return Reject(
            Reason.IN_FUTURE,
            f"it is of {(to_us(last) - received_us) // 1_000_000} s after the log received it; "
            "at most 300 s: check the producer's clock",
        )
    return event


class Decoded(NamedTuple):
    """What many records are: columns of events, and each of the others, by the record's index."""

    columns: EventColumns | None
    rows: Indexes  # of the columns' events
    others: list[tuple[int, Event | Reject]]
    unknown: Unknown  # fields of all events


def decode_all(
    kind: Kind, raws: Sequence[bytes | None], received_us: Sequence[int] | Instants
) -> Decoded:
    """What `decode` says of each; a kind with a lifecycle has no columns."""
    received = np.asarray(received_us, np.int64)
    columns, rows = None, np.empty(0, np.int64)
    if kind.usage is not None:
        columns, rows = read(kind, raws, received + MAX_AHEAD_US)
    is_other: npt.NDArray[np.bool_] = np.ones(len(raws), np.bool_)
    is_other[rows] = False
    others = [
        (index, decode(kind, raws[index], int(received[index])))
        for index in np.flatnonzero(is_other).tolist()
    ]
    unknown = NONE if columns is None else columns.unknown_fields()
    for index, other in others:
        if not isinstance(other, Reject):
            unknown = unknown.plus(unknown_of(kind, raws[index] or b""))
    return Decoded(columns, rows, others, unknown)


def decode_line(raw: bytes, received_us: int) -> Event | Reject:
    """An event from a line of a file, where the event itself says its `kind`."""
    raw = raw.removeprefix(BOM_UTF8)
    try:
        name = _KIND_OF_LINE.decode(raw).kind
    except msgspec.ValidationError as error:
        return Reject(Reason.WRONG_KIND, f"{error}; say kind, one of {', '.join(KINDS)}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Reject(Reason.BAD_JSON, f"not a JSON object: {error}"[:MESSAGE_MAX])
    if name not in KINDS:
        return Reject(Reason.WRONG_KIND, f"kind is none of {', '.join(KINDS)}")
    return decode(KINDS[name], raw, received_us)


class _KindOfLine(msgspec.Struct):
    kind: str


_KIND_OF_LINE = msgspec.json.Decoder(_KindOfLine)


def _reject_field(kind: Kind, error: str) -> Reject:
    """msgspec's message names the field and what it expects; a value it repeats is cut out."""
    if error.endswith("`$.kind`"):
        return Reject(Reason.WRONG_KIND, f"the kind disagrees with the topic: send {kind.name}")
    word = _WORD.fullmatch(error)
    if word is not None:
        words = next(
            (field.type for field in kind.fields.values() if field.encode_name == word[1]), ""
        )
        allowed = ", ".join(re.findall(r"'([^']*)'", str(words)))
        error = f"Expected one of {allowed} - at `$.{word[1]}`"
    elif not error.startswith(_SAID):
        error = "a field is not as its schema says"
    return Reject(Reason.BAD_FIELD, error[:MESSAGE_MAX])


# How messages begin that repeat no value.
_SAID = ("Expected ", "Object missing ", "Invalid RFC 3339 instant", "Integer value out of range")
_WORD = re.compile(r"Invalid enum value .* - at `\$\.([a-z_]+)`", re.DOTALL)
