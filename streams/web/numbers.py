"""Numbers for the eye, made here and nowhere else: the page, its live fragments and the bars.

An exact decimal comes as text and is rounded half to even for the eye; the exact one stands beside
it (`title`, and as the number itself where the reader asked for exact amounts).
"""

from typing import NamedTuple

from rater.words import DASH, grouped, rounded, symbol_of


class Numbers(NamedTuple):
    """How a reader has numbers: rounded for the eye, or exact to the last digit."""

    currency: str
    exact: bool

    @property
    def symbol(self) -> str:
        return symbol_of(self.currency)

    def money(self, text: str | None, places: int = 2) -> str:
        """An amount in cents; with all its digits where exact amounts were asked for."""
        if text is None:
            return DASH
        if self.exact:
            fraction = text.partition(".")[2]
            places = max(places, len(fraction))
        return grouped(rounded(text, places), self.symbol)

    def price(self, text: str | None) -> str:
        """The price of one: four places, for a minute costs parts of a cent."""
        return self.money(text, 4)

    def exactly(self, text: str | None) -> str:
        """The exact amount whatever was asked for: what stands beside a rounded one."""
        return "" if text is None else grouped(text, self.symbol)

    def quantity(self, text: str | None) -> str:
        """How many: whole, or with two places where it is a fraction."""
        if text is None:
            return DASH
        if "." not in text or self.exact:
            return grouped(text)
        return grouped(rounded(text, 2))


def shown_rate(per_second: float) -> str:
    """Events a second: whole, but a trickle with one decimal, so that it is not shown as 0."""
    return f"{per_second:g}" if per_second < 10 else f"{int(per_second + 0.5):,}"
