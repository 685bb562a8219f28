"""Codes: small integers in place of values, so that many events are told apart by arithmetic.

Equal values have one code; codes count from 0 in the order in which values come first.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Codes = npt.NDArray[np.int64]
Keys = npt.NDArray[np.int64]  # as codes, but for gaps and order
Indexes = npt.NDArray[np.int64]  # of events or rows, among others

_CODES_END = 1 << 31  # there are fewer events than that


def codes_of(column: pa.Array) -> tuple[Codes, pa.Array]:
    """The code of each value, and the values by their codes; one that is absent is null."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary


def codes_of_heads(texts: pa.StringArray, length: int) -> Codes:
    """The code of each text's first characters."""
    return codes_of(pc.utf8_slice_codeunits(texts, 0, length))[0]


def codes_of_keys(keys: Keys) -> Codes:
    encoded = pa.array(keys).dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(), np.int64)


def pair(left: Keys, right: Keys) -> Keys:
    """A key for each pair of keys."""
    left, right = (
        codes_of_keys(keys) if keys.max(initial=0) >= _CODES_END else keys for keys in (left, right)
    )
    return left * (int(right.max(initial=0)) + 1) + right


def firsts_of(codes: Codes) -> Indexes:
    """Where each code stands first, by code."""
    firsts = np.empty(int(codes.max(initial=-1)) + 1, np.int64)
    firsts[codes[::-1]] = np.arange(len(codes))[::-1]  # what is assigned last stays
    return firsts


def pick(values: Sequence[int], codes: Codes) -> Indexes:
    """Of each code its value."""
    return np.array(values, np.int64)[codes]
