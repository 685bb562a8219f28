"""Fields of an event that its kind does not have: they are ignored, counted, and told of.

Anyone may write a name, so only what looks like one is kept: `carier`, never a number.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Sequence, Set
from itertools import islice
from typing import NamedTuple

import msgspec

from rater.kinds.kind import Kind

NAMES_MOST = 100  # that are kept of many events; all are counted
NO_WORD = ""  # stands for a name that is not kept as it is
_WORD = re.compile(r"(?!.*\d{3})[A-Za-z_][\w.-]{0,63}", re.ASCII)


class Unknown(NamedTuple):
    """How many events have fields that their kind has not, and some names of these."""

    events: int = 0
    names: frozenset[str] = frozenset()

    def plus(self, other: "Unknown") -> "Unknown":
        if not other.events:
            return self
        names = self.names | other.names
        if len(names) > NAMES_MOST:
            names = self.names | frozenset(islice(other.names, NAMES_MOST - len(self.names)))
        return Unknown(self.events + other.events, names)


NONE = Unknown()


def unknown_of(kind: Kind, raw: bytes) -> Unknown:
    """The unknown fields of one event, of bytes that were decoded as its kind."""
    strange = _decode(raw.removeprefix(BOM_UTF8)).keys() - kind.names
    return unknown_in([strange]) if strange else NONE


def unknown_in(events: Sequence[Set[str]]) -> Unknown:
    """Of events that have unknown fields, the names of these."""
    names = islice(frozenset().union(*events), NAMES_MOST)
    return Unknown(len(events), frozenset(name if is_word(name) else NO_WORD for name in names))


def is_word(name: str) -> bool:
    """Whether a name may be repeated in a log or a message."""
    return _WORD.fullmatch(name) is not None


_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
