"""How many segments an SMS is sent in: GSM-7 160/153 septets, UCS-2 70/67 code units.

Source: 3GPP TS 23.038 (alphabet) and TS 23.040 (concatenation); docs/rules.md, Texts.
"""

GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Escaped into a second table: two septets each, which are never split between segments.
GSM_7_EXTENSION = frozenset("\f^{}\\[~]|€")

GSM_7_ALONE, GSM_7_JOINED = 160, 153
UCS_2_ALONE, UCS_2_JOINED = 70, 67


def encoding_of(body: str) -> str:
    """`gsm7`, or `ucs2` where one character is outside GSM-7."""
    return "gsm7" if (GSM_7 | GSM_7_EXTENSION).issuperset(body) else "ucs2"


def count_segments(body: str) -> int:
    """Segments a message body needs; an empty body is one.

    160 GSM-7 characters are 1 segment, 161 are 2; one character outside GSM-7 turns the whole
    message to UCS-2, where 70 code units are 1 and 71 are 2.
    """
    if GSM_7.issuperset(body):
        widths = None
    elif all(character in GSM_7 or character in GSM_7_EXTENSION for character in body):
        widths = [2 if character in GSM_7_EXTENSION else 1 for character in body]
    else:
        widths = [2 if character > "\uffff" else 1 for character in body]
        return _count(widths, UCS_2_ALONE, UCS_2_JOINED)
    if widths is None:
        length = len(body)
        return 1 if length <= GSM_7_ALONE else -(-length // GSM_7_JOINED)
    return _count(widths, GSM_7_ALONE, GSM_7_JOINED)


def _count(widths: list[int], alone: int, joined: int) -> int:
    if sum(widths) <= alone:
        return 1
    segments, room = 1, joined
    for width in widths:
        if width > room:
            segments, room = segments + 1, joined
        room -= width
    return segments
