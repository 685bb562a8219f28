"""What a telephone number is: whether it is one, its form, its US state.

A party of a call or a text is an E.164 number (`+14155550100`) or another form said explicitly:
a short number (`911`, `87121`), `client:NAME`, `sip:USER@HOST`, or a withheld caller (`anonymous`).
"""

import re
from functools import lru_cache

import phonenumbers

from rater.area_codes import STATE_OF_AREA_CODE

DISTINCT_MAX = 65_536  # distinct parties whose answers are remembered

# Withheld callers: the words for them in any case, alone or as the user of a SIP address or client,
# and the numbers that carriers send in their stead (on a keypad they spell ANONYMOUS, RESTRICTED,
# BLOCKED, UNKNOWN, UNAVAILABLE). Source: docs/rules.md, Prices; RFC 3323 for the host.
WITHHELD_WORDS = ("anonymous", "restricted", "unavailable", "unknown", "private")
WITHHELD_NUMBERS = ("266696687", "7378742833", "2562533", "8656696", "86282452253")
WITHHELD_HOST = "anonymous.invalid"
# What switches write where they were told no caller. Nobody can be called there.
NO_CALLER = ("", "+", "+1", "0")
_WITHHELD = frozenset(WITHHELD_WORDS + WITHHELD_NUMBERS)


def _in_any_case(word: str) -> str:
    """A pattern for the word in any case: JSON Schema's patterns know no flags."""
    return "".join(f"[{letter.upper()}{letter}]" for letter in word)


# North American numbers: an area code is no N11; neither it nor the exchange begins with 0 or 1.
# Source: NANPA, the numbering plan. Most parties are decided by this pattern alone, by column.
COMMON_PATTERN = r"^\+1[2-9](?:[02-9][0-9]|1[02-9])[2-9][0-9]{6}$"

# What the form alone shows; the lengths of each country's numbers are no pattern's.
_E164 = r"\+[1-9][0-9]{6,14}"
_SHORT = r"[0-9]{3,8}"
_WITHHELD_FORMS = "|".join([*map(_in_any_case, WITHHELD_WORDS), *WITHHELD_NUMBERS])
_NAMED = rf"{_in_any_case('client')}:.+|{_in_any_case('sip')}[Ss]?:.+"
# `$` alone also matches before a last newline, hence (?!\n).
_PARTY = rf"{_E164}|{_SHORT}|{_NAMED}|{_WITHHELD_FORMS}"
PARTY_PATTERN = rf"^({_PARTY})$(?!\n)"
_NO_CALLER = "|".join(map(re.escape, NO_CALLER))
CALLER_PATTERN = rf"^({_PARTY}|{_NO_CALLER})$(?!\n)"
NUMBER_PATTERN = rf"^({_E164}|{_SHORT})$(?!\n)"

_has_party_form = re.compile(PARTY_PATTERN).match
_has_number_form = re.compile(NUMBER_PATTERN).match
_is_north_american = re.compile(COMMON_PATTERN + r"(?!\n)").match

FORMS = ("geographic", "tollfree", "shortcode", "client", "sip", "anonymous")

# The North American toll-free area codes in service. Source: NANPA, 8XX codes.
NANP_TOLL_FREE = frozenset({"800", "833", "844", "855", "866", "877", "888"})


@lru_cache(maxsize=DISTINCT_MAX)
def is_party(text: str) -> bool:
    """Whether a call or a text can be from or to it: "+14155550100", "911", "Restricted".

    "+1415555010" is none: +1 has ten digits. Source: docs/rules.md, Bad input.
    """
    if not _has_party_form(text):
        return False
    return text[0] != "+" or text[1:] in _WITHHELD or _is_of_a_plan(text)


def is_caller(text: str) -> bool:
    """Whether a call can be from it: a party, or what stands where no caller was told ("", "+")."""
    return text in NO_CALLER or is_party(text)


@lru_cache(maxsize=DISTINCT_MAX)
def is_number(text: str) -> bool:
    """Whether an account can own it: an E.164 number or a short code."""
    return bool(_has_number_form(text)) and (text[0] != "+" or _is_of_a_plan(text))


def _is_of_a_plan(number: str) -> bool:
    """Whether its country has numbers of that length, as phonenumbers knows them."""
    if number.startswith("+1"):
        return bool(_is_north_american(number))
    parsed = _parse(number)
    if parsed is None:
        return False
    # Not IS_POSSIBLE_LOCAL_ONLY: a number without its area code, such as +44 79460000.
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        return False
    # phonenumbers drops the 0 of +44 (0)20; in Italy a 0 is a digit like the others.
    zero = number[1 + len(str(parsed.country_code)) :].startswith("0")
    return bool(parsed.italian_leading_zero) or not zero


def _parse(number: str, region: str | None = None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def is_region(region: str) -> bool:
    """Whether it is the code of a country whose numbers are known: "US", "DE"."""
    return region in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=DISTINCT_MAX)
def from_national(digits: str, region: str) -> str | None:
    """The party that digits dialed in a region are; None where they are none, or can't be told.

    In "US" "9055550100" is "+19055550100", "1002" the short number "1002". Without a region ("")
    only up to six digits can be told: what is longer may be a number of any country.
    """
    if not region:
        return digits if re.fullmatch("[0-9]{3,6}", digits) else None
    parsed = _parse(digits, region)
    if parsed is not None:
        number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        # Few digits are an extension of the switch, unless the region has such a number.
        if is_number(number) and (len(digits) > 8 or phonenumbers.is_valid_number(parsed)):
            return number
    return digits if re.fullmatch(_SHORT, digits) else None


def form(party: str) -> str:
    """One of FORMS: "+18005550100" is tollfree, "87121" shortcode, "Restricted" anonymous."""
    if party.startswith("+1") and len(party) == 12:
        return "tollfree" if party[2:5] in NANP_TOLL_FREE else "geographic"
    return _other_form(party)


@lru_cache(maxsize=DISTINCT_MAX)
def _other_form(party: str) -> str:
    if _is_withheld(party):
        return "anonymous"
    if party[:1] == "+":
        # A parse costs 11 us, hence the cache; what does not parse is billed as geographic.
        parsed = _parse(party)
        if parsed is None or party.startswith("+1"):
            return "geographic"
        is_toll_free = phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.TOLL_FREE
        return "tollfree" if is_toll_free else "geographic"
    if party[:1].isdigit():
        return "shortcode"
    return party.partition(":")[0].lower().removesuffix("s")


def _is_withheld(party: str) -> bool:
    if party in NO_CALLER:
        return True
    name = party.lower()
    user, _, host = name[name.find(":") + 1 :].partition("@")
    return user.removeprefix("+") in _WITHHELD or re.split("[:;?]", host)[0] == WITHHELD_HOST


def us_state(party: str) -> str:
    """The postal code of a US number's state by its area code: "+14155550100" is "CA".

    Empty for every other country, toll-free numbers and other forms. An area code says where a
    number was given out, not where its phone is. Source: rater/area_codes.py.
    """
    if not party.startswith("+1") or len(party) != 12:
        return ""
    return STATE_OF_AREA_CODE.get(party[2:5], "")


# Both answers for a North American number, by its area code.
_FACES = {
    number[:5]: (form(number), us_state(number))
    for number in (f"+1{area_code}5550100" for area_code in range(100, 1000))
}


def face(party: str) -> tuple[str, str]:
    """Its `form` and its `us_state`."""
    if len(party) == 12 and (known := _FACES.get(party[:5])) is not None:
        return known
    return form(party), us_state(party)
