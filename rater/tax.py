"""Taxes by level, from a table with dates. Computed on rated rows and kept beside the charge.

A US call is taxed by the state on which two out of three agree: origin, termination and the
account's service address (Goldberg v. Sweet, 488 U.S. 252; Mobile Telecommunications Sourcing Act
for the service address). Everything else is taxed at the service address.
"""

from bisect import bisect_right
from functools import cache
from typing import NamedTuple

from rater.money import NANOS, divide_half_even, format_nanos
from rater.numbers import us_state

LEVELS = ("federal", "state", "local")
CALL_LINES = frozenset({"calls", "video_calls", "campaign_calls"})


class Address(NamedTuple):
    """Where an account is served; empty where the book does not say."""

    country: str = ""
    state: str = ""
    locality: str = ""


class TaxRow(NamedTuple):
    """One authority's tax on some lines, for [valid_from, valid_until). Rates are nanos of 1."""

    level: str
    country: str
    state: str
    locality: str
    authority: str
    lines: frozenset[str]
    rate: int
    taxed_share: int
    valid_from_us: int
    valid_until_us: int


class Taxes(NamedTuple):
    """Amounts in nanos. Status: taxed, exempt (no such line in the table), unknown (no table)."""

    federal: int
    state: int
    local: int
    status: str
    rule: str


UNKNOWN = Taxes(0, 0, 0, "unknown", "no tax table for the account's service address at that time")


class TaxTable:
    """Rows by date and place. `on` is a pure function of its arguments."""

    def __init__(self, rows: list[TaxRow]) -> None:
        self._rows = rows
        edges = {row.valid_from_us for row in rows} | {row.valid_until_us for row in rows}
        self._edges = sorted(edges)
        self._applicable = cache(self._find)

    def on(
        self, charge: int, line: str, at_us: int, address: Address, from_: str, to: str
    ) -> Taxes:
        """The taxes on a charge of so many nanos, each rounded half-even once."""
        state = address.state
        if line in CALL_LINES:
            state = two_of_three(us_state(from_), us_state(to), address.state)
        # Between two edges of the table nothing changes, so the span stands for the instant.
        span = bisect_right(self._edges, at_us)
        rows, rule = self._applicable(line, span, address, state)
        if rows is None:
            return UNKNOWN
        amounts = dict.fromkeys(LEVELS, 0)
        for row in rows:
            amounts[row.level] += divide_half_even(
                charge * row.taxed_share * row.rate, NANOS * NANOS
            )
        return Taxes(
            amounts["federal"],
            amounts["state"],
            amounts["local"],
            "taxed" if rows else "exempt",
            rule,
        )

    def _find(
        self, line: str, span: int, address: Address, state: str
    ) -> tuple[tuple[TaxRow, ...] | None, str]:
        if not span:
            return None, ""
        at_us = self._edges[span - 1]
        current = [
            row
            for row in self._rows
            if row.country == address.country and row.valid_from_us <= at_us < row.valid_until_us
        ]
        if not current:
            return None, ""
        rows = tuple(
            row
            for row in current
            if line in row.lines
            and row.state in ("", state)
            and (not row.locality or (row.locality == address.locality and state == address.state))
        )
        rule = "; ".join(
            f"{row.level} {row.authority} {format_nanos(row.rate)}"
            f" of {format_nanos(row.taxed_share)}"
            for row in rows
        )
        place = state or "no one state"
        return rows, f"{address.country}, {place}: {rule or 'not taxed'}"


def two_of_three(origin: str, termination: str, service: str) -> str:
    """The state that two agree on, or "" where no two do (an interstate call: no state's tax)."""
    if origin and origin in (termination, service):
        return origin
    return termination if termination and termination == service else ""
