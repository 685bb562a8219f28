"""What a producer sends takes bounded room: each text that is stored or remembered has a length."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import orjson
import pytest

from rater import numbers
from rater.event_columns import read
from rater.instants import Instant
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from tests.conftest import SAMPLES

TEXT_MAX = 256
# Neither stored nor remembered; the record's length bounds it.
LET_GO = {("text", "body")}


def unbounded(hint: Any) -> Iterator[Any]:
    """What of an annotation may be as long as it likes."""
    if get_origin(hint) in (Union, UnionType):
        for part in get_args(hint):
            yield from unbounded(part)
    elif get_origin(hint) is Annotated:
        inner, meta = get_args(hint)[:2]
        if not (inner is str and (meta.max_length or TEXT_MAX + 1) <= TEXT_MAX):
            yield from unbounded(inner)
    elif hint not in (int, bool, type(None), Instant) and get_origin(hint) is not Literal:
        yield hint


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_text_that_is_stored_or_remembered_has_a_length(kind: Kind) -> None:
    hints = get_type_hints(kind.struct, include_extras=True)
    assert hints.keys() == kind.fields.keys()
    found = {(kind.name, name) for name, hint in hints.items() if list(unbounded(hint))}
    assert found <= LET_GO


def test_what_is_unbounded_is_seen() -> None:
    long = Annotated[str, msgspec.Meta(max_length=TEXT_MAX + 1)]
    for hint in (str, str | None, list[int], dict[str, int], bytes, long):
        assert list(unbounded(hint))


@pytest.mark.parametrize("kind", ["call", "dial", "text"])
def test_a_long_text_is_remembered_by_no_check(kind: str) -> None:
    raws = [orjson.dumps(SAMPLES[kind]())]
    raws += [orjson.dumps(SAMPLES[kind]() | {"from": "x" * 900_000})]
    sizes = []
    for some in (raws[:1], raws):
        numbers.is_party.cache_clear()
        _, rows = read(KINDS[kind], some, np.full(len(some), 2**62))
        assert rows.tolist() == [0]
        sizes.append(numbers.is_party.cache_info().currsize)
    assert sizes[0] == sizes[1]
