"""Rating many events of one kind by column: the same charges as `rate` gives row by row, sooner.

Events that are priced alike are found first; what they have in common is then looked up once for
all of them, and what a quantity costs once for all whose quantities are equal (`rater.rate`). What
has to wait, or may have to, is left to `rate`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rater.charge import Cost, Terms
from rater.codes import (
    Codes,
    Indexes,
    codes_of,
    codes_of_heads,
    codes_of_keys,
    firsts_of,
    pair,
    pick,
)
from rater.instants import Instants
from rater.months import FOREVER_US
from rater.price import Price, find_by_prefix
from rater.rate import NO_STATES, Parked, PricedLine, Pricing, Quantity, Shape, States, find_shape
from rater.tariff import Account, Book, History, Memo
from rater.usage_columns import UsageColumns, states_of


class RatedLine(NamedTuple):
    """One line's charges, in the order of the events: its terms and cost by their places."""

    terms: list[Terms]
    costs: list[Cost]
    terms_of: Codes
    costs_of: Codes
    charges: list[int]  # nanos

    def charged(self) -> Counter[str]:
        """The nanos of all charges by line: calls and video calls are of one kind."""
        charged: Counter[str] = Counter()
        charges = np.array(self.charges)
        for line in {terms.line for terms in self.terms}:
            is_line = pick([terms.line == line for terms in self.terms], self.terms_of)
            charged[line] = sum(charges[is_line > 0].tolist())
        return charged

    def tax_unknown(self) -> int:
        """How many charges have a tax that no table could tell."""
        return int(pick([cost.tax_status == "unknown" for cost in self.costs], self.costs_of).sum())


class Rated(NamedTuple):
    """The charges of all the events by line; or which events must be rated row by row."""

    lines: list[RatedLine]
    by_row: Indexes  # where there are any, the lines are not whole


def rate_columns(usage: UsageColumns, book: Book, memo: Memo) -> Rated:
    """The charges of all the events, where none must be rated row by row.

    `memo` is what was remembered of this book, by this caller alone.
    """
    work = _Work(usage, book, memo)
    shapes, shape_of = work.find_shapes()
    is_by_row = (usage.revisions > 0) | (shape_of < 0)
    lines = []
    if not is_by_row.any():
        for of_shapes in zip(*(shape.lines for shape in shapes), strict=True):
            pricings, pricing_of = work.find_pricings(shapes, of_shapes, shape_of)
            is_by_row |= pricing_of < 0
            if not is_by_row.any():
                lines.append(work.cost(pricings, pricing_of))
    return Rated(lines, np.flatnonzero(is_by_row))


def accounts_at(
    histories: Sequence[History], codes: Codes, at_us: Instants
) -> tuple[list[Account], Codes]:
    """Accounts, and which of them each event has: the one of its history that holds at its instant.

    `codes` say which history is an event's. Without dates there is one for each, and no instant is
    looked at.
    """
    in_turn = [account for history in histories for account in history.accounts]
    firsts = np.cumsum([0, *(len(history.accounts) for history in histories)])
    turn_of = firsts[codes]
    for turn in range(max(len(history.starts) for history in histories)):
        starts = [
            history.starts[turn] if turn < len(history.starts) else FOREVER_US
            for history in histories
        ]
        turn_of += at_us >= pick(starts, codes)
    accounts = list({id(account): account for account in in_turn}.values())
    places = {id(account): place for place, account in enumerate(accounts)}
    return accounts, pick([places[id(account)] for account in in_turn], turn_of)


class _Work:
    """What is found of the events, step by step."""

    def __init__(self, usage: UsageColumns, book: Book, memo: Memo) -> None:
        self._usage, self._book, self._memo = usage, book, memo
        self._kind = usage.events.kind
        codes, account_ids = codes_of(usage.account_ids)
        histories = book.histories_of(account_ids.to_pylist())
        self._accounts, self._account_of = accounts_at(histories, codes, usage.at_us)

    def _account(self, index: int) -> Account:
        return self._accounts[int(self._account_of[index])]

    def find_shapes(self) -> tuple[list[Shape], Codes]:
        """What events share, and which each has; -1 where an event may have to wait."""
        at_us = self._usage.at_us
        alike = pair(self._usage.pricing_key, self._account_of)
        shapes: list[Shape] = []
        shape_of = np.full(len(alike), -1)
        waiting = np.arange(len(alike))
        while len(waiting):  # once, or again for those beyond an edge in time
            groups = codes_of_keys(alike[waiting])
            places, from_us, until_us = [], [], []
            for index in waiting[firsts_of(groups)].tolist():
                usage, account = self._usage.usage(index), self._account(index)
                shape = find_shape(self._book, self._memo, account, self._kind.name, usage)
                if isinstance(shape, Parked):
                    places.append(-1)
                    from_us.append(-FOREVER_US)
                    until_us.append(FOREVER_US)
                    continue
                places.append(len(shapes))
                from_us.append(shape.from_us)
                until_us.append(shape.until_us)
                shapes.append(shape)
            waiting_us = at_us[waiting]
            holds = (waiting_us >= pick(from_us, groups)) & (waiting_us < pick(until_us, groups))
            shape_of[waiting[holds]] = pick(places, groups)[holds]
            waiting = waiting[~holds]
        return shapes, shape_of

    def find_pricings(
        self, shapes: Sequence[Shape], lines: Sequence[PricedLine], shape_of: Codes
    ) -> tuple[list[Pricing], Codes]:
        """How events are priced on a line, by `lines` of the shapes; -1 where there is no price."""
        alike = self._by_head(lines, shape_of)
        firsts = firsts_of(alike)
        numbers = self._usage.number.take(pa.array(firsts)).to_pylist()
        place_of: dict[tuple[int, int], int] = {}
        pricings: list[Pricing] = []
        places = []
        for first, number in zip(firsts.tolist(), numbers, strict=True):
            shape = int(shape_of[first])
            price = find_by_prefix(lines[shape].view, number)
            if price is None:
                places.append(-1)
                continue
            place = place_of.setdefault((shape, id(price)), len(pricings))
            if place == len(pricings):
                pricings.append(
                    lines[shape].pricings.get(id(price))
                    or self._new_pricing(lines[shape], price, shapes[shape], first)
                )
            places.append(place)
        return pricings, pick(places, alike)

    def _new_pricing(self, line: PricedLine, price: Price, shape: Shape, index: int) -> Pricing:
        usage, account = self._usage.usage(index), self._account(index)
        return line.pricing(
            price, self._book, self._memo, account=account, kind=self._kind.name, usage=usage,
            shape=shape,
        )  # fmt: skip

    def _by_head(self, lines: Sequence[PricedLine], shape_of: Codes) -> Codes:
        """The shapes; each in parts by how numbers begin, as far as its prefixes reach."""
        longest = [max((length for length, _ in line.view), default=0) for line in lines]
        some = np.flatnonzero(pick(longest, shape_of))
        if not len(some):
            return shape_of
        heads = np.zeros(len(shape_of), np.int64)
        heads[some] = codes_of_heads(self._usage.number.take(pa.array(some)), max(longest))
        return codes_of_keys(pair(shape_of, heads))

    def cost(self, pricings: Sequence[Pricing], pricing_of: Codes) -> RatedLine:
        """The charges of a line whose pricings are known."""
        seconds = self._raw_seconds(pricings, pricing_of)
        tables, table_of = self._tables(pricings, pricing_of)
        alike = codes_of_keys(pair(pair(table_of, seconds), self._usage.quantity))
        firsts = firsts_of(alike)
        quantities: zip[Quantity] = zip(
            seconds[firsts].tolist(), self._usage.quantity[firsts].tolist(), strict=True
        )
        costs = [
            tables[table].get(quantity)
            or pricings[pricing].cost_of(quantity, self._states(pricings[pricing], index))
            for table, quantity, pricing, index in zip(
                table_of[firsts].tolist(),
                quantities,
                pricing_of[firsts].tolist(),
                firsts.tolist(),
                strict=True,
            )
        ]
        charges = pick([cost.charge for cost in costs], alike).tolist()
        terms = [pricing.terms for pricing in pricings]
        return RatedLine(terms, costs, pricing_of, alike, charges)

    def _states(self, pricing: Pricing, index: int) -> States:
        return states_of(int(self._usage.states[index])) if pricing.by_states else NO_STATES

    def _raw_seconds(self, pricings: Sequence[Pricing], pricing_of: Codes) -> Indexes:
        """Of each event, as its price measures time."""
        usage = self._usage
        seconds = np.zeros(len(pricing_of), np.int64)
        ways = [(pricing.price.start, pricing.price.fraction) for pricing in pricings]
        for way in set(ways):
            price = pricings[ways.index(way)].price
            of_way = price.raw_seconds_of(usage.at_us, usage.answered_us, usage.ended_us)
            seconds = np.where(pick([one == way for one in ways], pricing_of), of_way, seconds)
        return seconds

    def _tables(
        self, pricings: Sequence[Pricing], pricing_of: Codes
    ) -> tuple[list[dict[Quantity, Cost]], Codes]:
        """What is remembered of quantities, and which of it is for each event."""
        alike = pricing_of
        if any(pricing.by_states for pricing in pricings):
            by_states = pick([pricing.by_states for pricing in pricings], pricing_of)
            alike = codes_of_keys(pair(pricing_of, by_states * self._usage.states))
        place_of: dict[int, int] = {}
        tables: list[dict[Quantity, Cost]] = []
        places = []
        for first in firsts_of(alike).tolist():
            pricing = pricings[pricing_of[first]]
            table = pricing.costs(self._states(pricing, first))
            place = place_of.setdefault(id(table), len(tables))
            if place == len(tables):
                tables.append(table)
            places.append(place)
        return tables, pick(places, alike)
