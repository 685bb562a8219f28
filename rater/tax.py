"""Taxes by level, from a table with dates. Computed on rated rows and kept beside the charge.

A US call is taxed by the state on which two out of three agree: origin, termination and the
account's service address (Goldberg v. Sweet, 488 U.S. 252; Mobile Telecommunications Sourcing Act
for the service address). Everything else is taxed at the service address.
"""

import re
from bisect import bisect_right
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.lines import CALL_LINES
from rater.money import NANOS, divide_half_even, format_nanos
from rater.months import FOREVER_US, edge_us

LEVELS = ("federal", "state", "local")


class Address(NamedTuple):
    """Where an account is served; empty where the book does not say."""

    country: str = ""
    state: str = ""
    locality: str = ""


class TaxRow(NamedTuple):
    """One authority's tax on some lines, for [valid_from, valid_until). Rates are nanos of 1.

    Its dates are days, kept as their midnights in UTC: `TaxTable.in_zone` has them in another.
    """

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


class TaxRule:
    """The rows that tax a charge of one line at one place, from an instant until another."""

    def __init__(
        self, rows: tuple[TaxRow, ...] | None, rule: str, from_us: int, until_us: int
    ) -> None:
        self._rows = rows
        self._rule = rule
        self.from_us, self.until_us = from_us, until_us

    def on(self, charge: int) -> Taxes:
        """The taxes on a charge of so many nanos, each rounded half-even once."""
        if self._rows is None:
            return UNKNOWN
        amounts = dict.fromkeys(LEVELS, 0)
        for row in self._rows:
            amounts[row.level] += divide_half_even(
                charge * row.taxed_share * row.rate, NANOS * NANOS
            )
        return Taxes(
            amounts["federal"],
            amounts["state"],
            amounts["local"],
            "taxed" if self._rows else "exempt",
            self._rule,
        )


NO_TABLE = TaxRule(None, "", -FOREVER_US, FOREVER_US)


class TaxTable:
    """Rows by date and place, as of one zone. `rule` is a pure function of its arguments."""

    def __init__(self, rows: list[TaxRow]) -> None:
        self._rows = rows
        self._by_zone: dict[ZoneInfo, TaxTable] = {}
        edges = {row.valid_from_us for row in rows} | {row.valid_until_us for row in rows}
        self._edges = sorted(edges)
        self._applicable = cache(self._find)

    def in_zone(self, zone: ZoneInfo) -> "TaxTable":
        """The table for accounts of a zone, where its days begin at midnight."""
        table = self._by_zone.get(zone)
        if table is None:
            # What another thread found meanwhile stands: what is remembered goes by its rules.
            table = self._by_zone.setdefault(
                zone, TaxTable([_dated(row, zone) for row in self._rows])
            )
        return table

    def rule(
        self, line: str, at_us: int, address: Address, origin: str, termination: str
    ) -> TaxRule:
        """What taxes a line's charge at an instant, by the states of both parties of a call."""
        state = address.state
        if line in CALL_LINES:
            state = two_of_three(origin, termination, address.state)
        # Between two edges of the table nothing changes, so the span stands for the instant.
        return self._applicable(line, bisect_right(self._edges, at_us), address, state)

    def _find(self, line: str, span: int, address: Address, state: str) -> TaxRule:
        from_us = self._edges[span - 1] if span else -FOREVER_US
        until_us = self._edges[span] if span < len(self._edges) else FOREVER_US
        current = [
            row
            for row in self._rows
            if row.country == address.country and row.valid_from_us <= from_us < row.valid_until_us
        ]
        if not current:
            return TaxRule(None, "", from_us, until_us)
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
        return TaxRule(
            rows, f"{address.country}, {place}: {rule or 'not taxed'}", from_us, until_us
        )


def _dated(row: TaxRow, zone: ZoneInfo) -> TaxRow:
    return row._replace(
        valid_from_us=edge_us(row.valid_from_us, zone, is_day=True),
        valid_until_us=edge_us(row.valid_until_us, zone, is_day=True),
    )


def two_of_three(origin: str, termination: str, service: str) -> str:
    """The state that two agree on, or "" where no two do (an interstate call: no state's tax)."""
    if origin and origin in (termination, service):
        return origin
    return termination if termination and termination == service else ""


_AUTHORITY = re.compile(rf"({'|'.join(LEVELS)}) (.+) [0-9.]+ of [0-9.]+")


def authorities_of(rule: str) -> list[tuple[str, str]]:
    """Level and authority of each tax that a row's rule names; the form is `TaxTable.rule`'s.

    "US, TX: federal USF 0.334 of 0.649; state Texas 0.0625 of 1" names (federal, USF) and
    (state, Texas).
    """
    taxes = rule.partition(": ")[2].split("; ")
    matches = filter(None, map(_AUTHORITY.fullmatch, taxes))
    return [(match[1], match[2]) for match in matches]
