"""Whether a name stands twice in an object of JSON: one of both values would be lost unseen."""

import json
from typing import Any

import msgspec


def name_twice(raw: bytes) -> str | None:
    """The name that an object in JSON, which can be decoded, has twice; None where none has."""
    try:
        if _has_quotes_of(_decode(raw), raw):
            return None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass  # a field that its kind does not have may hold what msgspec can't read
    twice: str | None = None

    def pairs(items: list[tuple[str, Any]]) -> None:
        nonlocal twice
        names = [name for name, _ in items]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)

    # Numbers stay text: Python reads no integer of more than 4,300 digits.
    json.loads(raw, object_pairs_hook=pairs, parse_int=str, parse_float=str)
    return twice


def object_with_names_once(raw: bytes) -> dict[str, Any] | None:
    """The object of JSON that bytes are, if it is one in which no name stands twice."""
    try:
        decoded = _decode(raw)
        if type(decoded) is not dict:
            return None
        once = _has_quotes_of(decoded, raw) or name_twice(raw) is None
        return decoded if once else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


_decode = msgspec.json.Decoder().decode


def _has_quotes_of(decoded: Any, raw: bytes) -> bool:
    """Whether it is sure that no name was decoded over another one.

    Each name and each text has two quotes, and there are no more than of what was decoded. Where
    there are more, some may be escaped.
    """
    return raw.count(b'"') == 2 * _count_texts(decoded)


def _count_texts(decoded: Any) -> int:
    """Names and texts in decoded JSON."""
    if type(decoded) is dict:
        count = len(decoded)
        for value in decoded.values():
            kind = type(value)
            if kind is str:
                count += 1
            elif kind is dict or kind is list:
                count += _count_texts(value)
        return count
    if type(decoded) is list:
        return sum(map(_count_texts, decoded))
    return int(type(decoded) is str)
