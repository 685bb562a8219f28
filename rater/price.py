"""The one shape of a price, for calls, texts and monthly things alike, and what it bills."""

from collections.abc import Callable
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from rater.billable import billed_seconds
from rater.instants import NEVER, Instants
from rater.lines import PRICED
from rater.money import ROUNDINGS, format_nanos
from rater.months import edge_us
from rater.usage import DIMENSIONS, Dims, Usage

SECOND_US = 1_000_000
TIME_UNITS = {"minute": 60, "second": 1}


LINES = PRICED

# The words a match can use; a dimension that is not here takes any text.
WORDS: dict[str, tuple[str, ...]] = {
    "direction": ("inbound", "outbound"),
    "media": ("voice", "video", "sms", "mms"),
    "device": ("web", "cell"),
    "sender": ("10dlc", "tollfree", "shortcode"),
    "registered": ("true", "false"),
    "from": ("geographic", "tollfree", "shortcode", "client", "sip", "anonymous"),
    "to": ("geographic", "tollfree", "shortcode", "client", "sip", "anonymous"),
    "number_type": ("local", "tollfree"),
}
STATUSES = (
    "completed", "busy", "no-answer", "failed", "canceled",
    "sent", "delivered", "received", "undelivered",
)  # fmt: skip

Match = tuple[tuple[str, str], ...]


class Bill(NamedTuple):
    """What a price makes of a usage. `charge` is in nanos, `billed` counts the price's unit."""

    raw_seconds: int
    billed_seconds: int
    billed: int
    charge: int
    rule: str


class Price(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A connection fee and a rate per units, in increments from a start.

    Rates and fees are nanos of the currency; increments are seconds; instants are microseconds.
    """

    line: str
    match: Match
    prefix: str
    unit: str
    rate: int
    per: int
    connection_fee: int
    first: int
    following: int
    minimum: int
    start: str  # dial or answer
    fraction: str  # of a second: drop or up
    free: frozenset[str]
    rounding: str
    prorate: bool
    valid_from_us: int
    valid_until_us: int
    place: str  # file and line, for messages
    from_is_day: bool = False  # then valid_from_us is that day's midnight in UTC: see `edges`
    until_is_day: bool = False

    def edges(self, zone: ZoneInfo) -> tuple[int, int]:
        """The instants [from, until) for accounts of a zone: a day begins at its midnight there."""
        return (
            edge_us(self.valid_from_us, zone, is_day=self.from_is_day),
            edge_us(self.valid_until_us, zone, is_day=self.until_is_day),
        )

    def rank(self) -> tuple[int, int, int]:
        """Which price goes first where several match: forms of numbers, prefix, keys matched."""
        forms = sum(name in ("from", "to") for name, _ in self.match)
        return forms, len(self.prefix), len(self.match)

    def describe(self) -> str:
        """The rule in words, kept on every row for a dispute."""
        matched = " ".join(
            f"{name}={value}" if name in ("registered", "recorded") else value
            for name, value in self.match
        )
        per = self.unit if self.per == 1 else f"{self.per} {self.unit}s"
        words = [self.line, matched, f"{self.prefix}*" if self.prefix else ""]
        rule = f"{' '.join(filter(None, words))}: {format_nanos(self.rate)} per {per}"
        if self.unit in TIME_UNITS:
            rule += f", {self.first}/{self.following} s from {self.start}"
            rule += f", at least {self.minimum} s" if self.minimum else ""
        elif self.start == "answer":
            rule += ", if answered"
        rule += f", connection fee {format_nanos(self.connection_fee)}" * bool(self.connection_fee)
        return rule + ", prorated" * self.prorate

    def raw_seconds(self, usage: Usage) -> int:
        """How long the usage lasted from the price's start; 0 without an end, or unanswered."""
        if usage.ended_us is None:
            return 0
        begin_us = usage.at_us if self.start == "dial" else usage.answered_us
        if begin_us is None:
            return 0
        raw_us = usage.ended_us - begin_us
        return (raw_us if self.fraction == "drop" else raw_us + SECOND_US - 1) // SECOND_US

    def raw_seconds_of(
        self, at_us: Instants, answered_us: Instants, ended_us: Instants
    ) -> npt.NDArray[np.int64]:
        """`raw_seconds` of many usages by their instants."""
        begin_us = at_us if self.start == "dial" else answered_us
        lasted = (ended_us != NEVER) & (begin_us != NEVER)
        raw_us = np.where(lasted, ended_us, 0) - np.where(lasted, begin_us, 0)
        return (raw_us if self.fraction == "drop" else raw_us + SECOND_US - 1) // SECOND_US

    def why_free(self, usage: Usage) -> str:
        """Why nothing is billed whatever the quantity, or "".

        Nothing is for a call refused before dialing, for a status the tariff names free, and from
        `answer` for what was never answered. Source: docs/rules.md, Billable minutes.
        """
        if not usage.dialed:
            return "refused before dialing"
        if usage.status in self.free:
            return f"{usage.status} is free"
        if self.start == "answer" and usage.answered_us is None:
            return "not answered"
        return ""

    def bill(self, usage: Usage) -> Bill:
        """What the usage costs under this price. Source: docs/rules.md, Billable minutes, Texts."""
        return self.bill_unless(self.why_free(usage), self.raw_seconds(usage), usage.segments)

    def bill_unless(self, free: str, raw_seconds: int, segments: int) -> Bill:
        """What a quantity costs: nothing where there is a reason why it is free."""
        if free:
            return Bill(raw_seconds, 0, 0, 0, f"{self.describe()}; {free}: $0")
        return self.bill_quantity(raw_seconds, segments)

    def bill_quantity(self, raw_seconds: int, segments: int = 1) -> Bill:
        """What a duration, or a count where the unit is none of time, costs."""
        seconds = 0
        if self.unit in TIME_UNITS:
            seconds = billed_seconds(
                raw_seconds, first=self.first, following=self.following, minimum=self.minimum
            )
            billed = seconds // TIME_UNITS[self.unit]
        else:
            billed = segments if self.unit == "segment" else 1
        divide: Callable[[int, int], int] = ROUNDINGS[self.rounding]
        charge = self.connection_fee + divide(self.rate * billed, self.per)
        return Bill(raw_seconds, seconds, billed, charge, self.describe())


View = list[tuple[int, dict[str, Price]]]  # prefix length and the prices by such a prefix


def find_by_prefix(view: View, number: str) -> Price | None:
    """The first of a view's prices whose prefix the number has."""
    for length, by_prefix in view:
        price = by_prefix.get(number[:length])
        if price is not None:
            return price
    return None


class Prices:
    """The prices of one span of time, found by longest prefix with constant probes.

    `find` costs the same with 200,000 prefixes as with 200: a probe per distinct prefix length.
    """

    def __init__(self, prices: list[Price]) -> None:
        patterns: dict[str, dict[Match, dict[str, Price]]] = {}
        for price in prices:
            pattern = patterns.setdefault(price.line, {}).setdefault(price.match, {})
            pattern.setdefault(price.prefix, price)  # the first in the file stands
        # The lengths once, not for each view: a walk over 200,000 prefixes takes 10 ms.
        self._patterns = {
            line: [
                (match, by_prefix, {len(prefix) for prefix in by_prefix})
                for match, by_prefix in of_line.items()
            ]
            for line, of_line in patterns.items()
        }

    def find(self, line: str, dims: Dims, number: str) -> Price | None:
        """The price that goes first by `Price.rank`, or None where nothing matches."""
        return find_by_prefix(self.view(line, dims), number)

    def view(self, line: str, dims: Dims) -> View:
        """The probes for usages that answer a match alike: what goes first stands first."""
        facts = dict(zip(DIMENSIONS, dims, strict=True))
        probes = []
        for match, by_prefix, lengths in self._patterns.get(line, ()):
            if all(facts[name] == value for name, value in match):
                forms = sum(name in ("from", "to") for name, _ in match)
                probes += [((forms, length, len(match)), by_prefix) for length in lengths]
        probes.sort(key=lambda probe: probe[0], reverse=True)  # stable: ties by place in the file
        return [(length, by_prefix) for (_, length, _), by_prefix in probes]
