"""The tariff book: which account pays by which tariff, and which version holds at an instant."""

from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.price import Price, Prices
from rater.tax import Address, TaxTable

FOREVER_US = 2**62


class Account(NamedTuple):
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


class Tariff:
    """The versions of one tariff. The event's own time picks, never the clock."""

    def __init__(self, name: str, versions: list[Version]) -> None:
        self.name = name
        self.versions = versions
        self._spans: list[tuple[str, int, Prices]] = []  # version label, until, prices
        self._starts: list[int] = []
        for version in sorted(versions, key=lambda version: version.from_us):
            edges = {version.from_us, version.until_us}
            for price in version.prices:
                edges |= {price.valid_from_us, price.valid_until_us}
            starts = sorted(us for us in edges if version.from_us <= us <= version.until_us)
            for start_us, until_us in pairwise(starts):
                prices = [
                    price
                    for price in version.prices
                    if price.valid_from_us <= start_us < price.valid_until_us
                ]
                self._starts.append(start_us)
                self._spans.append((version.label, until_us, Prices(prices)))

    def at(self, at_us: int) -> tuple[str, Prices] | None:
        """The version label and prices that hold at an instant, or None outside all versions."""
        index = bisect_right(self._starts, at_us) - 1
        if index < 0:
            return None
        label, until_us, prices = self._spans[index]
        return (label, prices) if at_us < until_us else None


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
        self.accounts = accounts
        self.taxes = taxes
        self._default = accounts["default"]

    def account(self, account_id: str) -> Account:
        return self.accounts.get(account_id, self._default)

    def label(self) -> str:
        """The newest version of each tariff, for the metric rater_tariff_info."""
        return ",".join(
            f"{tariff.name}@{tariff.versions[-1].label}" for tariff in self.tariffs.values()
        )
