"""What a telephone number is: its form, whether it is toll-free, its US state.

A party of a call or a text is an E.164 number (`+14155550100`) or another form said explicitly:
a short code (`87121`), `client:NAME`, `sip:USER@HOST`, or `anonymous`.
"""

import re
from functools import lru_cache

import phonenumbers

from rater.area_codes import STATE_OF_AREA_CODE

# One pattern for the whole field, so that a number that is no number is refused when it is decoded.
# `$` alone also matches before a last newline, hence (?!\n).
E164_PATTERN = r"\+[1-9][0-9]{6,14}"
PARTY_FORMS = rf"{E164_PATTERN}|[0-9]{{3,8}}|client:.+|sips?:.+|anonymous"
PARTY_PATTERN = rf"^({PARTY_FORMS})$(?!\n)"
NUMBER_PATTERN = rf"^({E164_PATTERN}|[0-9]{{3,8}})$(?!\n)"

# A match for what is a party, None for what is none.
is_party = re.compile(PARTY_PATTERN).match
is_number = re.compile(NUMBER_PATTERN).match

FORMS = ("geographic", "tollfree", "shortcode", "client", "sip", "anonymous")

# The North American toll-free area codes in service. Source: NANPA, 8XX codes.
NANP_TOLL_FREE = frozenset({"800", "833", "844", "855", "866", "877", "888"})


def form(party: str) -> str:
    """One of FORMS: "+18005550100" is tollfree, "87121" shortcode, "client:ann" client."""
    first = party[:1]
    if first == "+":
        if party.startswith("+1"):
            return "tollfree" if party[2:5] in NANP_TOLL_FREE and len(party) == 12 else "geographic"
        return _form_abroad(party)
    if first.isdigit():
        return "shortcode"
    return "anonymous" if party == "anonymous" else party.partition(":")[0].removesuffix("s")


@lru_cache(maxsize=65_536)
def _form_abroad(number: str) -> str:
    # A parse costs 11 us, hence the cache; numbers that do not parse are billed as geographic.
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return "geographic"
    is_toll_free = phonenumbers.number_type(parsed) == phonenumbers.PhoneNumberType.TOLL_FREE
    return "tollfree" if is_toll_free else "geographic"


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
