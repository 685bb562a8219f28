"""What a live stream shows: of which account's month, how it is made, and how a change is told."""

from collections.abc import Callable, Hashable, Sequence
from datetime import date
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Told(NamedTuple):
    """An event of a stream, before it is encoded."""

    name: str
    data: dict[str, Any]


class Due(NamedTuple, Generic[T]):
    """One of those that are made together: what was asked, the month's statement as JSON, and what
    was made of the one before it (None at first).
    """

    asked: Any
    statement: dict[str, Any]
    before: T | None


class Reader(Protocol):
    """Reads what is watched, all of it together: one question costs what many do."""

    async def read_watched(self, watched: Sequence["tuple[Watched[Any], Any]"]) -> list[Any]:
        """What stands now for each, that had what is beside it. Where one can't be made, the
        exception that says why stands in its place. Raises StoreDownError.
        """


class Watched(NamedTuple, Generic[T]):
    """What a stream shows: whose it is, what tells it apart, how it is made and told.

    `make` makes several at once, of their months' statements. `tell` gives the event for a viewer
    that has `before` (None at first) where `after` stands now, or None where there is nothing new.
    `as_of` says up to when it is right.
    """

    account: str
    month: date | None  # None is the account's current one
    key: Hashable
    reader: Reader
    make: Callable[[Sequence[Due[T]]], Sequence[T]]
    tell: Callable[[T | None, T], Told | None]
    as_of: Callable[[T], str]
    asked: Any = None
