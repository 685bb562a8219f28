"""What every event carries, and the types of fields that events have in common."""

from typing import Annotated, Literal

import msgspec

from rater import numbers
from rater.instants import Instant

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
Time = Annotated[Instant, msgspec.Meta(description="RFC 3339 with an offset, for example Z")]
Party = Annotated[
    str,
    msgspec.Meta(
        max_length=256,
        description="E.164 (+14155550100), a short number, client:NAME, sip:USER@HOST or anonymous",
        extra_json_schema={"pattern": numbers.PARTY_PATTERN},
    ),
]
Caller = Annotated[
    str,
    msgspec.Meta(
        max_length=256,
        description="As `to`; nothing, +, +1 and 0 are a withheld caller",
        extra_json_schema={"pattern": numbers.CALLER_PATTERN},
    ),
]
OwnNumber = Annotated[
    str,
    msgspec.Meta(
        max_length=256,
        description="E.164 (+14155550100) or short code",
        extra_json_schema={"pattern": numbers.NUMBER_PATTERN},
    ),
]
Direction = Literal["inbound", "outbound"]
CallStatus = Literal["completed", "busy", "no-answer", "failed", "canceled"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every kind carries. `user_id` and `team` say whose use it was."""

    kind: str
    id: Id
    account_id: Id
    revision: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    user_id: Id | None = None
    team: Id | None = None


def encode_event(event: Event) -> bytes:
    """The event as JSON that decodes to the same."""
    return _encode(event)


def _as_text(value: object) -> str:
    if isinstance(value, Instant):
        return value.text()
    raise NotImplementedError(f"no event has a {type(value).__name__}")


_encode = msgspec.json.Encoder(enc_hook=_as_text).encode
