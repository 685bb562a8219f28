"""A leg of a call, voice or video, and what a dial of a campaign has in common with it."""

from typing import Literal

import msgspec

from rater import numbers
from rater.kinds.checks import MAX_CALL, AreParties, Check, IsInOrder, Needs
from rater.kinds.event import Caller, CallStatus, Direction, Event, Id, Party, Time
from rater.kinds.kind import Kind, LinesBy, Read, UsageMap, true_or_false


class Dialed(Event, frozen=True, kw_only=True):
    """A call's facts, shared by `call` and `dial`."""

    direction: Direction
    from_: Caller = msgspec.field(name="from")
    to: Party
    dialed_at: Time | None = None
    answered_at: Time | None = None
    ended_at: Time
    status: CallStatus
    group_id: Id | None = None
    device: Literal["web", "cell"] | None = None
    recorded: bool | None = None


class Call(Dialed, frozen=True, kw_only=True):
    """A leg of a call, voice or video. Each leg rounds alone; group_id ties them."""

    kind: Literal["call"] = "call"
    media: Literal["voice", "video"] = "voice"


DIALED_CHECKS: tuple[Check, ...] = (
    AreParties(("to",)),
    AreParties(("from_",), numbers.is_caller),
    Needs(
        "answered_at",
        "dialed_at",
        "answered_at is given without dialed_at: say when it was dialed",
    ),
    IsInOrder(("dialed_at", "answered_at", "ended_at"), longest=MAX_CALL),
)
# What a call and a dial have in common; each says its lines and its media.
DIALED = UsageMap(
    lines=(),
    start="dialed_at",
    refused_at="ended_at",
    answered="answered_at",
    ended="ended_at",
    prefix_of="to",
    parties=("from_", "to"),
    match={
        "direction": Read("direction"),
        "device": Read("device"),
        "recorded": Read("recorded", true_or_false),
    },
    status="status",
)

CALL = Kind(
    "call",
    Call,
    usage=DIALED._replace(
        lines=LinesBy("media", {"voice": ("calls",), "video": ("video_calls",)}),
        match={**DIALED.match, "media": Read("media")},
    ),
    checks=DIALED_CHECKS,
)
