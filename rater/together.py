"""Rating events of one kind together: the same charges as `rate` gives one by one, sooner.

Events that are priced alike are found first; what they have in common is then looked up once for
all of them, and their quantities become costs by tables (`rater.rate`). What has to wait, or may
have to, is left to `rate`.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rater.charge import Cost, Terms
from rater.events import Kind
from rater.facts import Facts, usage_of
from rater.price import Price, View, find_by_prefix
from rater.rate import Parked, Quantity, Shape, find_shape
from rater.tariff import Account, Book

charge_of, _tax_status_of = attrgetter("charge"), attrgetter("tax_status")

Numbers = npt.NDArray[np.int64]  # events by their place among the facts


class RatedLine(NamedTuple):
    """One line's charges, in the order of the events."""

    terms: list[Terms]
    costs: list[Cost]


class Rated(NamedTuple):
    """The charges of all events by line; or the events, by number, that `rate` must rate alone."""

    lines: list[RatedLine]
    alone: list[int]  # where there are any, the lines are not whole
    charged: Counter[str]  # nanos, by line
    tax_unknown: int  # charges whose tax no table could tell


def rate_together(kind: Kind, facts: Facts, book: Book) -> Rated:
    """The charges of all the events, where none must be rated alone."""
    work = _Work(kind, facts, book)
    alone = [number for number, revision in enumerate(facts.revisions) if revision]
    waiting = _alike(work.accounts, facts.alike)
    while waiting:
        group = waiting.pop()
        first = int(group[0])
        usage = usage_of(facts, first)
        shape = find_shape(book, work.accounts[first], kind.name, usage)
        if isinstance(shape, Parked):
            alone += group.tolist()
            continue
        at_us = facts.at_us[group]
        holds = (at_us >= shape.from_us) & (at_us < shape.until_us)
        if not holds.all():
            waiting.append(group[~holds])
            group = group[holds]
        alone += work.rate(group, shape)
    return Rated(work.lines, alone, work.charged, work.tax_unknown)


class _Work:
    """The charges as they come to be."""

    def __init__(self, kind: Kind, facts: Facts, book: Book) -> None:
        self._kind, self._facts, self._book = kind, facts, book
        self.accounts = book.accounts_of(facts.account_ids)
        self.lines: list[RatedLine] = []
        self.charged: Counter[str] = Counter()
        self.tax_unknown = 0
        self._quantities: dict[tuple[str, str], list[Quantity]] = {}

    def rate(self, group: Numbers, shape: Shape) -> list[int]:
        """Adds the charges of events of one shape; the numbers of those without a price."""
        unpriced = []
        for index, priced in enumerate(shape.lines):
            if index == len(self.lines):
                self.lines.append(_unrated(len(self.accounts)))
            terms, costs = self.lines[index]
            for price, some in _by_price(priced.view, self._facts.to, group):
                if price is None:
                    unpriced += some
                    continue
                usage = usage_of(self._facts, some[0])
                pricing = priced.pricing(
                    price, self._book, self.accounts[some[0]], self._kind.name, usage, shape
                )
                its_terms = pricing.terms
                its_costs = pricing.costs(self._facts, self._quantities_by(price), some)
                for number, cost in zip(some, its_costs, strict=True):
                    terms[number] = its_terms
                    costs[number] = cost
                self.charged[priced.line] += sum(map(charge_of, its_costs))
                self.tax_unknown += list(map(_tax_status_of, its_costs)).count("unknown")
        return unpriced

    def _quantities_by(self, price: Price) -> list[Quantity]:
        """The quantities of all the events: made once for each way in which prices measure time."""
        way = (price.start, price.fraction)
        quantities = self._quantities.get(way)
        if quantities is None:
            facts = self._facts
            seconds = price.raw_seconds_of(facts.at_us, facts.answered_us, facts.ended_us)
            quantities = list(zip(seconds.tolist(), facts.segments, strict=True))
            self._quantities[way] = quantities
        return quantities


def _unrated(events: int) -> RatedLine:
    nothing: list[Any] = [None] * events
    return RatedLine(nothing, nothing.copy())


def _alike(accounts: Sequence[Account], alike: Sequence[tuple[object, ...]]) -> list[Numbers]:
    """The events in groups that differ by nothing but numbers, quantities and time."""
    first_of: dict[tuple[object, ...], int] = {}
    keys = zip(map(id, accounts), alike, strict=True)
    firsts = np.fromiter(map(first_of.setdefault, keys, count()), np.int64, len(alike))
    order = np.argsort(firsts, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(firsts[order])) + 1)


def _by_price(
    view: View, numbers: Sequence[str], group: Numbers
) -> list[tuple[Price | None, list[int]]]:
    """The events by the price that goes first for their number; None where nothing matches."""
    if view and not view[0][0]:  # no prefix, so it matches all
        return [(view[0][1][""], group.tolist())]
    found: dict[int, tuple[Price | None, list[int]]] = {}
    for number in group.tolist():
        price = find_by_prefix(view, numbers[number])
        found.setdefault(id(price), (price, []))[1].append(number)
    return list(found.values())
