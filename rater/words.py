"""Numbers and counts in words: one form on the page, in a sentence and on a terminal."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
DASH = "\N{EN DASH}"  # what there is none of: no use, no average price
MINUS = "\N{MINUS SIGN}"
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)


def symbol_of(currency: str) -> str:
    return SYMBOLS.get(currency, currency + "\N{NO-BREAK SPACE}")


def rounded(text: str, places: int) -> str:
    """An exact decimal with so many places, half to even: 0.125 with 2 is 0.12, 0.135 is 0.14."""
    return str(Decimal(text).quantize(Decimal(1).scaleb(-places), context=_WIDE))


def grouped(text: str, symbol: str = "") -> str:
    """A decimal with its thousands apart and a true minus: "-1234.5" and $ is "−$1,234.5"."""
    sign, digits = (MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    return f"{sign}{symbol}{int(whole):,}{'.' * bool(fraction)}{fraction}"


def counted(count: int | str, noun: str) -> str:
    """ "1 call", "1,204 calls"."""
    return f"{grouped(str(count))} {noun}{'' if str(count) == '1' else 's'}"


def money(text: str, symbol: str, least: int = 2) -> str:
    """An exact amount with all its digits, and so many places at least: "0.03" is "$0.03"."""
    return grouped(rounded(text, max(least, len(text.partition(".")[2]))), symbol)
