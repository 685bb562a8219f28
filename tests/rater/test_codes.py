"""Codes: equal where values are, from 0 in the order in which values come first."""

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rater.codes import codes_of, codes_of_heads, codes_of_keys, firsts_of, pair, pick
from tests.rater.make import modest

integers = st.integers(0, 2**62 - 1)


def plainly(values: list[Any]) -> list[int]:
    order = list(dict.fromkeys(values))
    return [order.index(value) for value in values]


@modest
@given(st.lists(st.sampled_from(["a", "b", "", None])))
def test_codes_of_values_that_may_be_absent(values: list[str | None]) -> None:
    codes, distinct = codes_of(pa.array(values, pa.string()))
    assert codes.tolist() == plainly(values)
    assert distinct.take(pa.array(codes)).to_pylist() == values


@modest
@given(st.lists(st.text("+1é", max_size=4)), st.integers(0, 5))
def test_codes_of_how_texts_begin(texts: list[str], length: int) -> None:
    heads = codes_of_heads(pa.array(texts, pa.string()), length)
    assert heads.tolist() == plainly([one[:length] for one in texts])


@modest
@given(st.lists(st.tuples(integers | st.integers(0, 3), integers | st.integers(0, 3))))
def test_pairs_are_equal_where_both_are(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array([one[side] for one in pairs], np.int64) for side in (0, 1))
    assert codes_of_keys(pair(left, right)).tolist() == plainly(pairs)


@modest
@given(st.lists(st.integers(0, 5), min_size=1))
def test_firsts_are_where_codes_come_first(values: list[int]) -> None:
    codes = codes_of_keys(np.array(values))
    firsts = firsts_of(codes)
    assert firsts.tolist() == [values.index(value) for value in dict.fromkeys(values)]
    assert pick([values[first] for first in firsts], codes).tolist() == values
