"""A.I. voice detection (answering machine detection) on a call."""

from typing import Annotated, Literal

import msgspec

from rater.kinds.checks import MAX_CALL, IsInOrder
from rater.kinds.event import Event, Id, Time
from rater.kinds.kind import Kind, Prefer, UsageMap

Verdict = Annotated[str, msgspec.Meta(max_length=64)]


class Amd(Event, frozen=True, kw_only=True):
    """A.I. voice detection: once per connected call, whatever the verdict."""

    kind: Literal["amd"] = "amd"
    call_id: Id
    campaign_id: Id | None = None
    dialed_at: Time
    answered_at: Time | None = None
    verdict: Verdict


AMD = Kind(
    "amd",
    Amd,
    usage=UsageMap(
        lines=("ai_voice_detection",),
        start="dialed_at",
        answered="answered_at",
        status_by_answer=("completed", "no-answer"),
        charged_once_per="call_id",
        # Where the events of one call disagree, one that was answered counts.
        prefer=Prefer("answered_at"),
    ),
    checks=(IsInOrder(("dialed_at", "answered_at"), longest=MAX_CALL),),
)
