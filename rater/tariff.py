"""The tariff book: which account pays by which tariff, and which version holds at an instant."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from itertools import pairwise, repeat
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from rater.months import FOREVER_US, day_start_us, edge_us, next_month
from rater.price import Price, Prices
from rater.tax import Address, TaxTable


@dataclass(frozen=True, slots=True)
class Account:
    """What an account maps to; `accounts.default` for one that the book does not name."""

    tariff: str
    zone: ZoneInfo
    address: Address


class History(NamedTuple):
    """What an account maps to, one thing after another; `starts` has all but the first's."""

    starts: tuple[int, ...]
    accounts: tuple[Account, ...]

    def at(self, at_us: int) -> Account:
        return self.accounts[bisect_right(self.starts, at_us) if self.starts else 0]

    def month_start_us(self, month: date) -> int:
        """The first instant at which the zone then in force has reached the month."""
        starts = (-FOREVER_US, *self.starts)
        ends = (*self.starts, FOREVER_US)
        reached = (
            max(start, day_start_us(month, account.zone))
            for start, account in zip(starts, self.accounts, strict=True)
        )
        return next(at_us for at_us, end in zip(reached, ends, strict=True) if at_us < end)


class Version(NamedTuple):
    """A tariff's version, valid [from, until). The label is its valid_from.

    Where `valid_from` or `valid_until` is a day, the instant here is its midnight in UTC.
    """

    label: str
    from_us: int
    until_us: int
    prices: list[Price]
    from_is_day: bool = False
    until_is_day: bool = False

    def edges(self, zone: ZoneInfo) -> tuple[int, int]:
        """The instants [from, until) for accounts of a zone."""
        return (
            edge_us(self.from_us, zone, is_day=self.from_is_day),
            edge_us(self.until_us, zone, is_day=self.until_is_day),
        )

    def has_days(self) -> bool:
        """Whether its own edges, or those of its prices, are other instants in another zone."""
        return (
            self.from_is_day
            or self.until_is_day
            or any(price.from_is_day or price.until_is_day for price in self.prices)
        )

    def fingerprint(self) -> bytes:
        """Of its prices, in their order, wherever they stand: another one where one was edited."""
        prices = [replace(price, place="") for price in self.prices]
        told = msgspec.msgpack.encode(prices, order="deterministic")
        return blake2b(told, digest_size=16).digest()


class Span(NamedTuple):
    """The prices of a tariff's version that hold from an instant until another."""

    version: str
    from_us: int
    until_us: int
    prices: Prices


_UTC = ZoneInfo("UTC")


class Tariff:
    """The versions of one tariff. The event's own time picks, never the clock."""

    def __init__(self, name: str, versions: list[Version]) -> None:
        self.name = name
        self.versions = versions
        # Prices found by prefix, by the dated ones among them: zones of one deck share them.
        self._prices: dict[tuple[str, tuple[int, ...]], Prices] = {}
        self._in_utc = self._spans(_UTC)
        self._has_days = any(version.has_days() for version in versions)
        self._by_zone = {_UTC: self._in_utc}

    def at(self, at_us: int, zone: ZoneInfo = _UTC) -> Span | None:
        """The version and prices that hold at an instant, or None outside all versions.

        `zone` is the account's: in which days begin.
        """
        spans = self._in_utc
        if self._has_days:
            found = self._by_zone.get(zone)
            spans = self._by_zone.setdefault(zone, self._spans(zone)) if found is None else found
        index = bisect_right(spans, at_us, key=lambda span: span.from_us) - 1
        if index < 0:
            return None
        span = spans[index]
        return span if at_us < span.until_us else None

    def _spans(self, zone: ZoneInfo) -> list[Span]:
        spans = []
        for version in sorted(self.versions, key=lambda version: version.edges(zone)):
            first_us, last_us = version.edges(zone)
            dated = [
                (price, *price.edges(zone))
                for price in version.prices
                if price.valid_from_us > -FOREVER_US or price.valid_until_us < FOREVER_US
            ]
            edges = {first_us, last_us}.union(*(edges for _, *edges in dated))
            starts = sorted(us for us in edges if first_us <= us <= last_us)
            for from_us, until_us in pairwise(starts):
                absent = {id(price) for price, of, to in dated if not of <= from_us < to}
                prices = self._prices_without(version, absent)
                spans.append(Span(version.label, from_us, until_us, prices))
        return spans

    def _prices_without(self, version: Version, absent: set[int]) -> Prices:
        key = (version.label, tuple(sorted(absent)))
        if key not in self._prices:
            self._prices[key] = Prices(
                [price for price in version.prices if id(price) not in absent]
            )
        return self._prices[key]


MEMO_BYTES = 67_108_864
ENTRY_BYTES = 800  # of one thing that is remembered, without an event's texts; measured


class Memo:
    """What one caller remembers of a book as it rates: never of two books, never for two threads.

    Emptied when it holds too much: it can be found again. `room` is in bytes, about.
    """

    def __init__(self, room: int = MEMO_BYTES) -> None:
        self._room = room
        self.shapes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.views: dict[tuple[Any, ...], Any] = {}
        self.terms: dict[Any, Any] = {}  # by themselves: those that are equal are one object
        self.costs: dict[tuple[Any, ...], dict[tuple[int, int], Any]] = {}
        self._size = 0

    def make_room(self, texts: Iterable[object] = ()) -> None:
        """To be asked before each thing that is put in, with what it has of an event's texts."""
        size = ENTRY_BYTES + sum(len(text) for text in texts if isinstance(text, str))
        self._size += size
        if self._size > self._room:
            self.shapes.clear()
            self.views.clear()
            self.terms.clear()
            self.costs.clear()
            self._size = size


class Book:
    """All that prices an event: tariffs, accounts, the tax table. Not changed once made."""

    def __init__(
        self,
        currency: str,
        tariffs: dict[str, Tariff],
        accounts: dict[str, History],
        taxes: TaxTable | None,
    ) -> None:
        self.currency = currency
        self.tariffs = tariffs
        self.accounts = _share(accounts)
        self.taxes = taxes
        self._default = self.accounts["default"]

    def account(self, account_id: str, at_us: int) -> Account:
        """What an account maps to at an instant: its plan, zone and service address then."""
        return self.accounts.get(account_id, self._default).at(at_us)

    def histories_of(self, account_ids: Iterable[str]) -> list[History]:
        """All that each account maps to, in order of time."""
        return list(map(self.accounts.get, account_ids, repeat(self._default)))

    def month_bounds_us(self, account_id: str, month: date) -> tuple[int, int]:
        """The instants [from, until) of an account's month: one ends where the next begins.

        Where its zone stays the same, these are the month's midnights in it.
        """
        history = self.accounts.get(account_id, self._default)
        return history.month_start_us(month), history.month_start_us(next_month(month))

    def label(self) -> str:
        """The newest version of each tariff, for the metric rater_tariff_info."""
        return ",".join(
            f"{tariff.name}@{tariff.versions[-1].label}" for tariff in self.tariffs.values()
        )

    def edited_since(self, before: "Book") -> list[str]:
        """The versions that have other prices than they had, under the same name and date."""
        had = before.fingerprints()
        return [
            version
            for version, prices in self.fingerprints().items()
            if had.get(version, prices) != prices
        ]

    def fingerprints(self) -> dict[str, bytes]:
        """Of each version's prices, by its tariff's name and its label as rows have them."""
        return {
            f"{tariff.name}@{version.label}": version.fingerprint()
            for tariff in self.tariffs.values()
            for version in tariff.versions
        }


def _share(histories: dict[str, History]) -> dict[str, History]:
    """The same, where accounts that are equal are one object: what is remembered goes by it."""
    accounts: dict[Account, Account] = {}
    shared: dict[int, History] = {}
    for history in histories.values():
        if id(history) not in shared:
            one = [accounts.setdefault(account, account) for account in history.accounts]
            shared[id(history)] = history._replace(accounts=tuple(one))
    return {name: shared[id(history)] for name, history in histories.items()}
