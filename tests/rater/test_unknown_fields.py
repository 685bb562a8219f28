"""Fields that a kind does not have: counted both ways, named within bounds, never with a number."""

import orjson
import pytest

from rater.decode import decode_all
from rater.kinds import KINDS
from rater.unknown_fields import NAMES_MOST, NO_WORD, NONE, Unknown, unknown_of
from tests.conftest import LOGGED_MS, call, number, text

NAMES = [
    # name                  | is kept as it is
    ("carier",                True),
    ("x-trace.id_2",          True),
    ("camelCase",             True),
    ("+14155550100",          False),
    ("call_14155550100",      False),
    ("",                      False),
    ("two words",             False),
    ("n" * 64,                True),
    ("n" * 65,                False),
    ("naïve",                 False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kept"), NAMES)
def test_only_what_looks_like_a_name_is_kept(name: str, kept: bool) -> None:
    raw = orjson.dumps(text() | {name: 1})
    assert unknown_of(KINDS["text"], raw) == Unknown(1, frozenset({name if kept else NO_WORD}))


def test_an_event_of_its_kind_has_no_unknown_fields() -> None:
    for event in (text(), call(), number()):
        assert unknown_of(KINDS[event["kind"]], b"\xef\xbb\xbf" + orjson.dumps(event)) == NONE


def test_names_are_bounded_and_events_are_not() -> None:
    many = Unknown()
    for nth in range(2 * NAMES_MOST):
        letters = "x_" + "".join(chr(97 + int(digit)) for digit in str(nth))
        many = many.plus(unknown_of(KINDS["call"], orjson.dumps(call(**{letters: 1}))))
    assert many.events == 2 * NAMES_MOST
    assert len(many.names) == NAMES_MOST
    wide = orjson.dumps(call() | {f"{'a' * (n % 60)}_{n % 97}": n for n in range(5_000)})
    assert len(unknown_of(KINDS["call"], wide).names) <= NAMES_MOST


@pytest.mark.parametrize("count", [1, 3, 200])
def test_many_are_counted_once_each_by_column_and_by_row(count: int) -> None:
    events = [call(id=f"c{n}", colour="red") for n in range(count)] + [call(id="well")]
    events += [call(id="late", to="nobody", colour="red")]  # a dead letter: it is no event
    values = [orjson.dumps(event) for event in events] + [b"{"]
    decoded = decode_all(KINDS["call"], values, [LOGGED_MS * 1000] * len(values))
    assert decoded.unknown == Unknown(count, frozenset({"colour"}))
    events = [number(id=f"n{n}", colour="red") for n in range(count)]
    values = [orjson.dumps(event) for event in events]
    decoded = decode_all(KINDS["number"], values, [LOGGED_MS * 1000] * len(values))
    assert decoded.unknown == Unknown(count, frozenset({"colour"}))
