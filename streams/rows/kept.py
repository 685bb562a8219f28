"""What is kept of a record that is no event: its first bytes, without what is never stored."""

import hashlib
import re
from codecs import BOM_UTF8
from typing import Any

import orjson

from rater.kinds import KINDS

KEPT_BYTES = 65_536  # more could exceed a topic's limit

# Of all kinds: a text may come on the topic of calls.
NEVER_STORED = frozenset(
    name for kind in KINDS.values() if kind.usage for name in kind.usage.never_stored
)
_NAMES = b"|".join(re.escape(name).encode() for name in sorted(NEVER_STORED))
# A text after such a name, whole or cut off: what no parser reads may still say it.
_SAID = re.compile(rb'("(?:' + _NAMES + rb')"\s*:\s*)"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)


def digest_of(content: bytes) -> str:
    """BLAKE2b-128, as hexadecimal digits: whether bytes that were cut are the same still."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def kept_of(value: bytes) -> bytes:
    """The first KEPT_BYTES of a record's value, without what is never stored (a text's body).

    JSON loses it at any depth, and is then written anew; of what does not parse a text after its
    name is cut out. What has none is kept to the byte.
    """
    try:
        parsed = orjson.loads(value.removeprefix(BOM_UTF8))
        without = _without(parsed)
        kept = value if without == parsed else orjson.dumps(without)
    except (ValueError, TypeError, RecursionError):  # no JSON, or too deep to write or to walk
        kept = _SAID.sub(rb"\1null", value)
    return kept[:KEPT_BYTES]


def _without(parsed: Any) -> Any:
    if isinstance(parsed, dict):
        return {name: _without(inner) for name, inner in parsed.items() if name not in NEVER_STORED}
    if isinstance(parsed, list):
        return [_without(inner) for inner in parsed]
    return parsed
