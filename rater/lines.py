"""The statement's lines: one row a line, in the customer's order. Source: docs/rules.md.

Whatever asks for "the lines that ..." takes its list from here: the statement, the page, the
check of a tariff, taxes, and the SQL of `streams` (`streams/store/lines.py`). The lists in the
migrations are held against this table by a test.
"""

from enum import StrEnum
from typing import NamedTuple


class TaxedBy(StrEnum):
    """What decides the state whose taxes a charge bears."""

    STATES = "two of three states"  # of origin, termination and service address: calls
    ADDRESS = "service address"
    NOTHING = "not taxed"


class Tab(StrEnum):
    """The list of the page that a line stands in, each with a total of its own."""

    USAGE = "usage"
    PRODUCTS = "products"


class Line(NamedTuple):
    """What a line of the statement is. A line without `units` has no prices: the taxes."""

    name: str
    title: str
    unit: str  # of the quantity shown, which counts what was charged for
    noun: str  # what the amount counts, charged or free
    units: tuple[str, ...] = ()  # that its prices may have
    dims: tuple[str, ...] = ()  # that its prices may match on
    fallback_by: tuple[str, ...] = ()  # a fallback row may stand for each value of these
    taxed_by: TaxedBy = TaxedBy.ADDRESS
    monthly: bool = False  # made once a month from what stood in it, and not by an event
    directions: tuple[str, ...] = ("",)  # that stand as rows of their own
    # What its breakdown goes by: each name, and the values that a row is kept ready for.
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tab: Tab = Tab.USAGE
    group: str = ""  # of a day's bars, where it has a day
    help: str = ""  # what is charged, in the customer's words

    def title_of(self, direction: str) -> str:
        """ "Inbound calls" where directions stand as rows of their own, else "Phone numbers"."""
        if not direction:
            return self.title
        return f"{direction.capitalize()} {self.title[0].lower()}{self.title[1:]}"


_CALL_DIMS = ("direction", "media", "device", "from", "to")
_TEXT_DIMS = ("direction", "media", "sender", "carrier", "registered", "from", "to")
_TIME = ("minute", "second")
_WAYS = ("inbound", "outbound")

LINES = (
    Line(
        "phone_numbers", "Phone numbers", "number", "number",
        units=("number",), dims=("number_type",), fallback_by=("number_type",), monthly=True,
        help="The price of each number owned at any time in the month.",
    ),
    Line(
        "calls", "Calls", "minute", "call",
        units=_TIME, dims=_CALL_DIMS, fallback_by=("direction",), taxed_by=TaxedBy.STATES,
        directions=_WAYS,
        group="voice",
        help="By the minute, from the moment of dialing, answered or not: 1 minute 1 second is"
        " 2 minutes.",
    ),
    Line(
        "video_calls", "Video calls", "minute", "call",
        units=_TIME, dims=_CALL_DIMS, fallback_by=("direction",), taxed_by=TaxedBy.STATES,
        directions=_WAYS,
        group="voice",
        help="By the minute, from the moment of dialing: 1 minute 1 second counts as 2 minutes.",
    ),
    Line(
        "texts", "Texts", "text", "text",
        units=("text", "segment"), dims=_TEXT_DIMS, fallback_by=("direction", "media"),
        directions=_WAYS,
        group="messages",
        help="By the text, or by the segment where the price says so. An emoji shortens segments.",
    ),
    Line(
        "campaign_calls", "Campaign calls", "minute", "call",
        units=_TIME, dims=_CALL_DIMS, fallback_by=("direction",), taxed_by=TaxedBy.STATES,
        group="campaigns",
        help="Power dialer: by the minute, from the moment of dialing, answered or not.",
    ),
    Line(
        "recording_storage", "Recording storage", "minute", "recording",
        units=_TIME, monthly=True,
        help="By the recorded minute kept at any time in the month: 50 seconds are 1 minute.",
    ),
    Line(
        "carrier_fees", "Carrier fees", "text", "text",
        units=("text", "segment", "message"), dims=_TEXT_DIMS, fallback_by=("direction", "media"),
        parts=(
            ("media", ("sms", "mms")),
            ("registered", ("true", "false")),
            ("direction", ("outbound", "inbound")),
        ),
        group="messages",
        help="What carriers ask for each text: by SMS or MMS, registered or not.",
    ),
    Line(
        "taxes", "Taxes", "item", "charge", taxed_by=TaxedBy.NOTHING,
        parts=(("level", ("federal", "state", "local")),),
        group="tax",
        help="Federal, state and local, based on the caller and the call recipient.",
    ),
    Line(
        "ai_voice_detection", "A.I. voice detection", "call", "call", units=("call",),
        group="campaigns",
        help="Once for each connected call. A call that is not answered is not charged.",
    ),
    Line(
        "subscriptions", "Subscriptions", "item", "product",
        units=("item",), dims=("product",), monthly=True, tab=Tab.PRODUCTS,
        help="Fixed items of the account, each month.",
    ),
)  # fmt: skip

TAXES = "taxes"
PRICED = {line.name: line for line in LINES if line.units}
CALL_LINES = frozenset(line.name for line in LINES if line.taxed_by is TaxedBy.STATES)
MONTHLY_LINES = tuple(line.name for line in LINES if line.monthly)
