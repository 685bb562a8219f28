"""Where a number leads: places and countries by their names, each with a number that stands for it.

The names are the phone library's own; they take some seconds and 100 MB when they are first asked
for, and are kept.
"""

import re
from functools import cache
from typing import NamedTuple

import phonenumbers

FOUND_MOST = 8
_TYPED = re.compile(r"\+?[0-9][0-9 ().-]*")


class Destination(NamedTuple):
    """A place, the prefix that leads there, and a number of it that nobody need have."""

    name: str
    prefix: str
    number: str


def destinations_of(words: str) -> list[Destination]:
    """What a reader may mean: a number or a prefix as it is typed, else places of that name.

    Of places the shortest prefix stands for the name, and the nearest names go first.
    """
    words = words.strip()
    if _TYPED.fullmatch(words):
        digits = re.sub(r"[^0-9]", "", words)
        if not words.startswith("+"):
            return [Destination(digits, digits, digits)]
        return [Destination(f"+{digits}", f"+{digits}", _number_at(digits))]
    wanted = words.casefold()
    if not wanted:
        return []
    found: dict[str, str] = {}
    for name, prefix in _names():
        known = name.casefold()
        if known.startswith(wanted) and len(prefix) < len(found.get(name, prefix + "0")):
            found[name] = prefix
    nearest = sorted(found, key=lambda name: (len(name), name))[:FOUND_MOST]
    return [Destination(name, f"+{found[name]}", _number_at(found[name])) for name in nearest]


def _number_at(prefix: str) -> str:
    """A number below a prefix, as long as numbers are there; the prefix where nobody knows."""
    country = None
    for length in (3, 2, 1):
        code = int(prefix[:length] or 0)
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            country = code
            break
    if country is None:
        return f"+{prefix}"
    region = phonenumbers.region_code_for_country_code(country)
    example = phonenumbers.example_number(region)
    if example is None:
        return f"+{prefix}"
    whole = f"{country}{example.national_number}"
    return f"+{prefix}{whole[len(prefix) :]}"


@cache
def _names() -> tuple[tuple[str, str], ...]:
    """Names of countries and places in English, each with its prefix."""
    from phonenumbers.geodata import GEOCODE_DATA
    from phonenumbers.geodata.locale import LOCALE_DATA

    countries = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        names = LOCALE_DATA.get(regions[0], {})
        name = names.get("en", "")
        if name.startswith("*"):  # as in another language
            name = names.get(name[1:], "")
        if name:
            countries.append((name, str(code)))
    places = [(names["en"], prefix) for prefix, names in GEOCODE_DATA.items() if "en" in names]
    return tuple(countries + places)
