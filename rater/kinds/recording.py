"""A recording is stored until it is deleted; a deletion is an event of its own."""

from typing import Annotated, Literal

import msgspec

from rater.kinds.checks import IsInOrder
from rater.kinds.event import Event, Id, Time
from rater.kinds.kind import Kind, Lifecycle

Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class Recording(Event, frozen=True, kw_only=True):
    """A recording is stored until it is deleted; a deletion is an event of its own."""

    kind: Literal["recording"] = "recording"
    recording_id: Id
    call_id: Id | None = None
    stored_at: Time
    duration_s: Seconds
    deleted_at: Time | None = None


RECORDING = Kind(
    "recording",
    Recording,
    lifecycle=Lifecycle(
        line="recording_storage",
        billed_as="recording_id",
        start="stored_at",
        end="deleted_at",
        seconds="duration_s",
    ),
    checks=(IsInOrder(("stored_at", "deleted_at")),),
)
