"""An SMS or MMS: its price and its carrier fee are two charges."""

from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from rater.kinds.checks import AreParties
from rater.kinds.event import Direction, Event, Id, Name, Party, Time
from rater.kinds.kind import Derived, Kind, Prefer, Read, UsageMap, true_or_false
from rater.segments import count_segments, encoding_of

Segments = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Text(Event, frozen=True, kw_only=True):
    """An SMS or MMS: its price and its carrier fee are two charges."""

    kind: Literal["text"] = "text"
    direction: Direction
    media: Literal["sms", "mms"]
    from_: Party = msgspec.field(name="from")
    to: Party
    sent_at: Time
    status: Literal["sent", "delivered", "received", "failed", "undelivered"]
    registered: bool
    carrier: Name | None = None
    sender: Literal["10dlc", "tollfree", "shortcode"] | None = None
    campaign_id: Id | None = None
    segments: Segments | None = None
    encoding: Literal["gsm7", "ucs2"] | None = None
    body: str | None = None  # counts segments when `segments` is absent; never stored


def segments_of(media: str, body: str) -> int:
    """The body's segments; an MMS is 1."""
    return count_segments(body) if media == "sms" else 1


def encoding_of_text(media: str, body: str) -> str | None:
    """The encoding that a body needs; an MMS has none."""
    return encoding_of(body) if body and media == "sms" else None


@lru_cache(maxsize=4096)
def normal_carrier(carrier: str | None) -> str | None:
    """Carriers as a tariff compares them: "AT&T", "at&t" and "att" are one."""
    if carrier is None:
        return None
    return "".join(filter(str.isalnum, carrier)).lower() or None


TEXT = Kind(
    "text",
    Text,
    usage=UsageMap(
        lines=("texts", "carrier_fees"),
        start="sent_at",
        prefix_of="to",
        parties=("from_", "to"),
        match={
            "direction": Read("direction"),
            "media": Read("media"),
            "sender": Read("sender"),
            "carrier": Read("carrier", normal_carrier),
            "registered": Read("registered", true_or_false),
        },
        status="status",
        # A provider tells of a text again as it goes on its way, in any order.
        prefer=Prefer(
            "status",
            (
                frozenset({"sent"}),
                frozenset({"failed", "undelivered"}),
                frozenset({"delivered", "received"}),
            ),
        ),
        # The provider's own count wins.
        quantity=Derived("segments", ("media", "body"), segments_of),
        derived=(Derived("encoding", ("media", "body"), encoding_of_text),),
        # A status update of the same text is neither a new charge nor a conflict. The body counts
        # by its segments alone, so a text agrees with its re-send that was counted before.
        restated=frozenset({"status", "body", "encoding"}),
        never_stored=("body",),
    ),
    checks=(AreParties(("from_", "to")),),
)
