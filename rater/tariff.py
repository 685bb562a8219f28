"""The tariff book: which account pays by which tariff, and which version holds at an instant."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rater.price import Price, Prices
from rater.tax import Address, TaxTable


@dataclass(frozen=True, slots=True)
class Account:
    """What an account maps to; `accounts.default` for one that the book does not name."""

    tariff: str
    zone: ZoneInfo
    address: Address


class Version(NamedTuple):
    """A tariff's version, valid [from, until). The label is its valid_from."""

    label: str
    from_us: int
    until_us: int
    prices: list[Price]


class Span(NamedTuple):
    """The prices of a tariff's version that hold from an instant until another."""

    version: str
    from_us: int
    until_us: int
    prices: Prices


class Tariff:
    """The versions of one tariff. The event's own time picks, never the clock."""

    def __init__(self, name: str, versions: list[Version]) -> None:
        self.name = name
        self.versions = versions
        self._spans: list[Span] = []
        for version in sorted(versions, key=lambda version: version.from_us):
            edges = {version.from_us, version.until_us}
            edges.update(price.valid_from_us for price in version.prices)
            edges.update(price.valid_until_us for price in version.prices)
            starts = sorted(us for us in edges if version.from_us <= us <= version.until_us)
            for from_us, until_us in pairwise(starts):
                prices = [
                    price
                    for price in version.prices
                    if price.valid_from_us <= from_us < price.valid_until_us
                ]
                self._spans.append(Span(version.label, from_us, until_us, Prices(prices)))
        self._starts = [span.from_us for span in self._spans]

    def at(self, at_us: int) -> Span | None:
        """The version and prices that hold at an instant, or None outside all versions."""
        index = bisect_right(self._starts, at_us) - 1
        if index < 0:
            return None
        span = self._spans[index]
        return span if at_us < span.until_us else None


class Memo:
    """What one caller remembers of a book as it rates: never of two books, never for two threads.

    Emptied when it holds too much: it can be found again.
    """

    def __init__(self, room: int = 262_144) -> None:
        self._room = room
        self.shapes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.terms: dict[Any, Any] = {}  # by themselves: those that are equal are one object
        self.costs: dict[tuple[Any, ...], dict[tuple[int, int], Any]] = {}
        self._count = 0

    def make_room(self) -> None:
        """To be asked before each thing that is put in."""
        self._count += 1
        if self._count > self._room:
            self.shapes.clear()
            self.terms.clear()
            self.costs.clear()
            self._count = 0


class Book:
    """All that prices an event: tariffs, accounts, the tax table. Not changed once made."""

    def __init__(
        self,
        currency: str,
        tariffs: dict[str, Tariff],
        accounts: dict[str, Account],
        taxes: TaxTable | None,
    ) -> None:
        self.currency = currency
        self.tariffs = tariffs
        alike = {account: account for account in accounts.values()}
        self.accounts = {name: alike[account] for name, account in accounts.items()}
        self.taxes = taxes
        self._default = self.accounts["default"]

    def account(self, account_id: str) -> Account:
        return self.accounts.get(account_id, self._default)

    def accounts_of(self, account_ids: Iterable[str]) -> list[Account]:
        """`account` of each."""
        return list(map(self.accounts.get, account_ids, repeat(self._default)))

    def label(self) -> str:
        """The newest version of each tariff, for the metric rater_tariff_info."""
        return ",".join(
            f"{tariff.name}@{tariff.versions[-1].label}" for tariff in self.tariffs.values()
        )
