"""What no single field shows of an event, such as an end before the start.

Each check is one object with both forms: `row` says why an event is refused, `column` which events
are sure to pass. What isn't sure is looked at by itself, so that every reason is made by `row`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rater import numbers
from rater.codes import codes_of
from rater.instants import NEVER, Instants
from rater.reject import Reason, Reject

MAX_CALL = timedelta(hours=24)

Sure = npt.NDArray[np.bool_]


class Columns(Protocol):
    """Events by column, as a check reads them."""

    def __len__(self) -> int: ...
    @property
    def values(self) -> Mapping[str, pa.Array]: ...
    @property
    def instants(self) -> Mapping[str, Instants]: ...


class Check(Protocol):
    """A rule between fields."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that it reads."""
        ...

    def row(self, event: Any) -> Reject | None:
        """Why the event is refused, or None."""
        ...

    def column(self, columns: Columns) -> Sure:
        """Which events are sure to pass."""
        ...


class AreParties(NamedTuple):
    """All are numbers or another known form (`rater.numbers`); who calls may be told as nothing."""

    fields: tuple[str, ...]
    known: Callable[[str], bool] = numbers.is_party

    def row(self, event: Any) -> Reject | None:
        for name in self.fields:
            if not self.known(getattr(event, name)):
                return _bad_number(
                    name.removesuffix("_"),
                    "E.164 such as +14155550100, a short number, client:, sip: or anonymous",
                )
        return None

    def column(self, columns: Columns) -> Sure:
        sure = np.ones(len(columns), np.bool_)
        for name in self.fields:
            sure &= _are_known(columns.values[name], self.known)
        return sure


class IsNumber(NamedTuple):
    """A number that an account can own."""

    fields: tuple[str, ...]

    def row(self, event: Any) -> Reject | None:
        for name in self.fields:
            if not numbers.is_number(getattr(event, name)):
                return _bad_number(name, "E.164 such as +14155550100 or a short code")
        return None

    def column(self, columns: Columns) -> Sure:
        sure = np.ones(len(columns), np.bool_)
        for name in self.fields:
            texts = columns.values[name].to_pylist()
            sure &= np.array([one is not None and numbers.is_number(one) for one in texts])
        return sure


class IsInOrder(NamedTuple):
    """Instants that follow one another, where they are there; the last within `longest`."""

    fields: tuple[str, ...]
    longest: timedelta | None = None

    def row(self, event: Any) -> Reject | None:
        there = [(name, at) for name in self.fields if (at := getattr(event, name)) is not None]
        for (name, at), (before, at_before) in zip(there[1:], there, strict=False):
            if at < at_before:
                return bad_time(f"{name} is before {before}")
        if self.longest is not None and there and there[-1][1] - there[0][1] > self.longest:
            first, last = there[0][0], there[-1][0]
            hours = self.longest // timedelta(hours=1)
            return bad_time(f"{last} is more than {hours} h after {first}")
        return None

    def column(self, columns: Columns) -> Sure:
        sure = np.ones(len(columns), np.bool_)
        first = last = np.full(len(columns), NEVER)
        for name in self.fields:
            at_us = columns.instants[name]
            there = at_us != NEVER
            sure &= ~there | (at_us >= last)  # NEVER is before every instant
            first = np.where(there & (first == NEVER), at_us, first)
            last = np.where(there, at_us, last)
        if self.longest is not None:
            sure &= last - first <= self.longest // timedelta(microseconds=1)
        return sure


class Needs(NamedTuple):
    """A field that may be there only where another one is."""

    field: str
    other: str
    message: str

    @property
    def fields(self) -> tuple[str, ...]:
        return self.field, self.other

    def row(self, event: Any) -> Reject | None:
        if getattr(event, self.field) is None or getattr(event, self.other) is not None:
            return None
        return bad_time(self.message)

    def column(self, columns: Columns) -> Sure:
        has, needs = columns.instants[self.field], columns.instants[self.other]
        sure: Sure = (has == NEVER) | (needs != NEVER)
        return sure


def _are_known(texts: pa.StringArray, known: Callable[[str], bool]) -> Sure:
    """Which texts are a party: most by their form, the distinct others as `known` says."""
    common = pc.match_substring_regex(texts, numbers.COMMON_PATTERN)
    sure = np.array(common.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
    others = np.flatnonzero(~sure)
    if len(others):
        codes, distinct = codes_of(texts.take(pa.array(others)))
        are = [text is not None and known(text) for text in distinct.to_pylist()]
        sure[others] = np.array(are)[codes]
    return sure


def bad_time(message: str) -> Reject:
    return Reject(Reason.BAD_TIME, message)


def _bad_number(field: str, forms: str) -> Reject:
    return Reject(Reason.BAD_NUMBER, f"not the form of a number - at `$.{field}`: send {forms}")
