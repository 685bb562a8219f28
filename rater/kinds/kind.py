"""How a kind of event is declared: what its fields mean, in words that both readers understand.

`UsageMap` is for a kind that is priced by event, `Lifecycle` for one that tells the state of an
asset. Neither has code for rows or for columns: `rater.event_rows` reads one event by it, and
`rater.event_columns` many at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import FieldInfo

from rater.instants import Instant
from rater.kinds.checks import Check
from rater.kinds.event import Event
from rater.usage import DIMENSIONS, RowFacts


class Read(NamedTuple):
    """A dimension's answer: a field's value, or what a function makes of each distinct value."""

    field: str
    through: Callable[[Any], str | None] | None = None


class Always(NamedTuple):
    """A dimension's answer that is the same for all events of the kind."""

    answer: str


class LinesBy(NamedTuple):
    """The lines of an event by the value of a field; each value has as many."""

    field: str
    lines: Mapping[str, tuple[str, ...]]


class Derived(NamedTuple):
    """A field, or where it is absent what a function makes of others that are there.

    Such as a body's segments.
    """

    field: str
    of: tuple[str, ...] = ()
    make: Callable[..., Any] | None = None


RANK_MOST = 2  # what a version has room for


class Prefer(NamedTuple):
    """Which of the events of one identity stands: the one that is furthest along, whatever the
    order of arrival; of equal ones the first in the log.

    Each step is some of a field's values, from the least on. Without steps, an event in which the
    field is present is further than one without it.
    """

    field: str
    steps: tuple[frozenset[str], ...] = ()

    def rank(self, value: object) -> int:
        """How far along an event with this value is, from 0 to RANK_MOST."""
        if not self.steps:
            return 0 if value is None else RANK_MOST
        return next((rank for rank, step in enumerate(self.steps) if value in step), 0)


class UsageMap(NamedTuple):
    """What is priced of an event, by the names of its fields.

    The event's price is picked at `start`; where that is absent it was refused before dialing and
    `refused_at` stands for it. `answered` and `ended` are instants too. `prefix_of` names the party
    whose prefix picks the rate, `parties` the two whose forms and states matter. What groups events
    that are priced alike is `match`, `parties`, `status` and whether they were answered: all else
    tells none apart. Of the events that share `charged_once_per` one is charged, by `prefer`.
    """

    lines: tuple[str, ...] | LinesBy
    start: str
    refused_at: str = ""
    answered: str = ""
    ended: str = ""
    prefix_of: str = ""
    parties: tuple[str, str] | None = None
    match: Mapping[str, Read | Always] = {}
    status: str = ""
    status_by_answer: tuple[str, str] = ("", "")  # answered, not: where the event has no status
    quantity: Derived | None = None  # how many of the unit
    derived: tuple[Derived, ...] = ()  # what a row keeps, though the event may not say it
    charged_once_per: str = "id"
    prefer: Prefer | None = None
    restated: frozenset[str] = frozenset()  # fields that may change without being a conflict
    never_stored: tuple[str, ...] = ()  # fields that are looked at and then forgotten

    def line_names(self) -> list[tuple[str, ...]]:
        """The lines of an event, for each case."""
        return list(self.lines.lines.values()) if isinstance(self.lines, LinesBy) else [self.lines]

    def all_derived(self) -> tuple[Derived, ...]:
        """What may have to be made of other fields."""
        return self.derived if self.quantity is None else (self.quantity, *self.derived)


class Lifecycle(NamedTuple):
    """What an event tells of an asset, which stands from `start` until `end`.

    `billed_as` names the field by which a month has one charge. `one_a_start` says that the same
    asset begun again is another one. `line` is "" where nothing is charged.
    """

    line: str
    billed_as: str
    start: str
    end: str = ""
    one_a_start: bool = False
    seconds: str = ""
    number: str = ""
    match: Mapping[str, Read | Always] = {}
    name: str = ""
    detection: str = ""


class Kind:
    """An entry of the registry: its struct, its topic (before any prefix), how it is read."""

    def __init__(
        self,
        name: str,
        struct: type[Event],
        *,
        usage: UsageMap | None = None,
        lifecycle: Lifecycle | None = None,
        checks: tuple[Check, ...] = (),
        topic: str = "",
    ) -> None:
        """Raises ValueError where the declaration names what the struct does not have."""
        self.name = name
        self.struct = struct
        self.topic = topic or f"usage.{name}.v1"
        self.usage = usage
        self.lifecycle = lifecycle
        self.checks = checks
        self.decode: Callable[[bytes], Event] = msgspec.json.Decoder(struct, dec_hook=_hook).decode
        self.fields: dict[str, FieldInfo] = {
            field.name: field for field in msgspec.structs.fields(struct)
        }
        self.names = frozenset(field.encode_name for field in self.fields.values())  # on the wire
        # The fields that are instants; those that a row keeps as they are; and those in which two
        # events with one id must agree, or they are in conflict: all but what may be restated.
        self.instants = tuple(n for n, field in self.fields.items() if _is_instant(field.type))
        self.kept = tuple(name for name in RowFacts._fields if name in self.fields)
        restated = usage.restated if usage else frozenset()
        names = {"kind", "id", "account_id"}
        self.content = tuple(name for name in self.fields if name not in names | restated)
        # How each field that is matched on is read; what may have to be made of other fields.
        match = usage.match if usage else {}
        self.reads = {read.field: read for read in match.values() if isinstance(read, Read)}
        self.quantity = usage.quantity if usage else None
        self._check()

    @property
    def monthly(self) -> bool:
        """Whether its charges are made by the month, of what stood in it."""
        return self.lifecycle is not None

    def starts(self) -> tuple[str, ...]:
        """The fields that say when its use or its asset began, the one that counts first."""
        if self.lifecycle is not None:
            return (self.lifecycle.start,)
        assert self.usage is not None, "declared with usage or a lifecycle"
        return tuple(filter(None, (self.usage.start, self.usage.refused_at)))

    def _check(self) -> None:
        usage, lifecycle = self.usage, self.lifecycle
        if (usage is None) == (lifecycle is None):
            raise ValueError(f"kind {self.name!r}: declare usage or a lifecycle")
        named: list[str] = []
        match: Mapping[str, Read | Always] = {}
        if usage is not None:
            match = usage.match
            named += [usage.start, usage.refused_at, usage.answered, usage.ended, usage.prefix_of]
            named += [usage.status, usage.charged_once_per, *usage.restated]
            named += [usage.prefer.field] if usage.prefer else []
            named += usage.never_stored
            named += usage.parties or ()
            if isinstance(usage.lines, LinesBy):
                named.append(usage.lines.field)
            for derived in usage.all_derived():
                named += [derived.field, *derived.of]
            of_rows = {usage.prefix_of, *(usage.parties or ())} - {""}
            if not of_rows <= set(RowFacts._fields):
                raise ValueError(f"kind {self.name!r}: a row keeps none of {sorted(of_rows)}")
            if usage.prefer and len(usage.prefer.steps) > RANK_MOST + 1:
                raise ValueError(f"kind {self.name!r}: at most {RANK_MOST + 1} steps to prefer")
            if len(set(map(len, usage.line_names()))) != 1:
                raise ValueError(f"kind {self.name!r}: each case needs as many lines")
        if lifecycle is not None:
            match = lifecycle.match
            named += [lifecycle.billed_as, lifecycle.start, lifecycle.end, lifecycle.seconds]
            named += [lifecycle.number, lifecycle.name, lifecycle.detection]
        named += [read.field for read in match.values() if isinstance(read, Read)]
        named += [name for check in self.checks for name in check.fields]
        if unknown := sorted(set(filter(None, named)) - set(self.fields)):
            raise ValueError(f"kind {self.name!r}: no field {', '.join(unknown)} in its struct")
        if unknown := sorted(set(match) - set(DIMENSIONS)):
            raise ValueError(f"kind {self.name!r}: no dimension {', '.join(unknown)}")


def _hook(kind: type, value: object) -> object:
    if kind is Instant:
        return Instant.parse(value)
    raise NotImplementedError(f"no field of an event is a {kind.__name__}")


def _is_instant(hint: Any) -> bool:
    if hint is Instant:
        return True
    return any(_is_instant(part) for part in getattr(hint, "__args__", ()))


def true_or_false(value: bool | None) -> str | None:
    """A yes or no as a tariff matches it; None where nobody said."""
    return None if value is None else "true" if value else "false"
