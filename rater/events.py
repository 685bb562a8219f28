"""Usage events: one typed struct per kind, and the registry of kinds.

A struct says what its event uses (`usage`, priced line by line) or, for the monthly kinds, what
stands (`state`). A new kind is one struct, one entry in KINDS, one table of cases in tests.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple

import msgspec

from rater import numbers
from rater.reject import Reason, Reject
from rater.segments import count_segments
from rater.tuples import by_fields

MAX_CALL = timedelta(hours=24)

encode_content = msgspec.json.Encoder().encode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Time = Annotated[
    datetime, msgspec.Meta(tz=True, description="RFC 3339 with an offset, for example Z")
]
Party = Annotated[
    str,
    msgspec.Meta(
        max_length=256,
        description="E.164 (+14155550100), a short number, client:NAME, sip:USER@HOST or anonymous",
        extra_json_schema={"pattern": numbers.PARTY_PATTERN},
    ),
]
OwnNumber = Annotated[
    str,
    msgspec.Meta(
        description="E.164 (+14155550100) or short code",
        extra_json_schema={"pattern": numbers.NUMBER_PATTERN},
    ),
]
Direction = Literal["inbound", "outbound"]
CallStatus = Literal["completed", "busy", "no-answer", "failed", "canceled"]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
Segments = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


def to_us(time: datetime) -> int:
    """Microseconds since the Unix epoch, exact (a float of seconds is not)."""
    return (time - EPOCH) // _MICROSECOND


# The answers to what a price can match on, in the order of DIMENSIONS; None where it has none.
Dims = tuple[str | None, ...]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What is priced of an event, by each of its lines: a call's duration; a text and its fee.

    Times are microseconds since the epoch. `dims` answers a price's match, by DIMENSIONS.
    """

    lines: tuple[str, ...]
    dims: Dims
    number: str  # whose prefix picks the rate: the dialed or addressed party
    at_us: int  # picks the price version and the month: dialing, sending
    status: str = ""
    answered_us: int | None = None  # None: never answered
    ended_us: int | None = None
    segments: int = 1
    dialed: bool = True  # False: the platform refused before dialing
    origin: str = ""  # the US states of both parties, for taxes
    termination: str = ""


# What a price can match on, beside the longest prefix. The order is that of Usage.dims.
DIMENSIONS = (
    "direction", "media", "device", "sender", "carrier", "registered",
    "from", "to", "number_type", "product",
)  # fmt: skip


NO_DIMS: Dims = (None,) * len(DIMENSIONS)


class State(NamedTuple):
    """What an event tells of a thing that is billed by the month: it stands [from, until)."""

    line: str
    thing: str  # the identity of what stands; one row a month for each `billed_as`
    billed_as: str
    from_us: int
    until_us: int | None
    seconds: int
    number: str
    dims: Dims
    call_id: str = ""


class Parties(NamedTuple):
    """Whom and what a charge names beside the event; text that is absent is ""."""

    from_: str = ""
    to: str = ""
    group_id: str = ""
    campaign_id: str = ""
    call_id: str = ""


NO_PARTIES = Parties()
_parties = by_fields(Parties)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What every kind carries."""

    kind: str
    id: Id
    account_id: Id
    revision: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0

    def check(self) -> Reject | None:
        """What no single field shows, such as an end before the start."""
        return None

    def span(self) -> tuple[datetime, datetime]:
        """The first and the last instant the event tells of.

        The ledger's calendar begins in 1970, and the last can't lie in the future.
        """
        raise NotImplementedError

    def content(self) -> bytes:
        """What two events with one id must agree in, or they are in conflict."""
        return encode_content(self)

    def usage(self) -> Usage | None:
        """What is priced, a row for each of its lines; None for the monthly kinds."""
        return None

    def state(self) -> State | None:
        """What stands, for the monthly kinds."""
        return None

    def identity(self) -> str:
        """What may be charged once: the event itself, unless the kind says otherwise."""
        return self.id

    def parties(self) -> Parties:
        """Whom and what a charge of the event names."""
        return NO_PARTIES


class _Dialed(Event, frozen=True, kw_only=True):
    """A call's facts, shared by `call` and `dial`."""

    direction: Direction
    from_: Party = msgspec.field(name="from")
    to: Party
    dialed_at: Time | None = None
    answered_at: Time | None = None
    ended_at: Time
    status: CallStatus
    group_id: Id | None = None
    device: Literal["web", "cell"] | None = None
    recorded: bool | None = None

    def check(self) -> Reject | None:
        if (reject := _check_parties(self.from_, self.to)) is not None:
            return reject
        dialed, answered, ended = self.dialed_at, self.answered_at, self.ended_at
        if dialed is None:
            if answered is not None:
                return bad_time("answered_at is given without dialed_at: say when it was dialed")
            return None
        if ended < dialed:
            return bad_time(f"ended_at {ended} is before dialed_at {dialed}")
        if ended - dialed > MAX_CALL:
            return bad_time(f"the call lasts {ended - dialed}, longer than 24 h")
        if answered is not None and not dialed <= answered <= ended:
            return bad_time(f"answered_at {answered} is outside the call, {dialed} to {ended}")
        return None

    def span(self) -> tuple[datetime, datetime]:
        return self.dialed_at or self.ended_at, self.ended_at

    def parties(self) -> Parties:
        return _parties((self.from_, self.to, self.group_id or "", "", ""))

    def _usage(self, lines: tuple[str], media: str) -> Usage:
        dialed, answered = self.dialed_at, self.answered_at
        from_form, origin = numbers.face(self.from_)
        to_form, termination = numbers.face(self.to)
        ended_us = to_us(self.ended_at)
        return Usage(
            lines,
            (self.direction, media, self.device, None, None, None, from_form, to_form, None, None),
            self.to,
            to_us(dialed) if dialed is not None else ended_us,
            self.status,
            to_us(answered) if answered is not None else None,
            ended_us,
            1,
            dialed is not None,
            origin,
            termination,
        )


class Call(_Dialed, frozen=True, kw_only=True):
    """A leg of a call, voice or video. Each leg rounds alone; group_id ties them."""

    kind: Literal["call"] = "call"
    media: Literal["voice", "video"] = "voice"

    def usage(self) -> Usage:
        return self._usage(("video_calls",) if self.media == "video" else ("calls",), self.media)


class Dial(_Dialed, frozen=True, kw_only=True):
    """A campaign's call by the power dialer: on the campaign line only."""

    kind: Literal["dial"] = "dial"
    campaign_id: Id

    def parties(self) -> Parties:
        return _parties((self.from_, self.to, self.group_id or "", self.campaign_id, ""))

    def usage(self) -> Usage:
        return self._usage(("campaign_calls",), "voice")


# The fields of a text's content; after them its count of segments.
TEXT_CONTENT = (
    "kind", "id", "account_id", "revision", "direction", "media", "from_", "to", "sent_at",
    "registered", "carrier", "sender",
)  # fmt: skip
_text_content = attrgetter(*TEXT_CONTENT)


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
    carrier: str | None = None
    sender: Literal["10dlc", "tollfree", "shortcode"] | None = None
    segments: Segments | None = None
    body: str | None = None  # counts segments when `segments` is absent; never stored

    def check(self) -> Reject | None:
        return _check_parties(self.from_, self.to)

    def span(self) -> tuple[datetime, datetime]:
        return self.sent_at, self.sent_at

    def content(self) -> bytes:
        # A status update of the same text is neither a new charge nor a conflict.
        # The body counts by its segments alone, so a parked text agrees with its re-send.
        return encode_content((*_text_content(self), self.segment_count()))

    def segment_count(self) -> int:
        """The provider's own count wins; then the body's; an MMS and a text without either is 1."""
        if self.segments is not None:
            return self.segments
        return count_segments(self.body) if self.body and self.media == "sms" else 1

    def parties(self) -> Parties:
        return _parties((self.from_, self.to, "", "", ""))

    def usage(self) -> Usage:
        from_form, origin = numbers.face(self.from_)
        to_form, termination = numbers.face(self.to)
        return Usage(
            ("texts", "carrier_fees"),
            (
                self.direction, self.media, None, self.sender, normal_carrier(self.carrier),
                "true" if self.registered else "false", from_form, to_form, None, None,
            ),
            self.to,
            to_us(self.sent_at),
            self.status,
            None,
            None,
            self.segment_count(),
            True,
            origin,
            termination,
        )  # fmt: skip


class Amd(Event, frozen=True, kw_only=True):
    """A.I. voice detection: once per connected call, whatever the verdict."""

    kind: Literal["amd"] = "amd"
    call_id: Id
    campaign_id: Id | None = None
    dialed_at: Time
    answered_at: Time | None = None
    verdict: Literal["human", "machine", "fax", "unknown"]

    def check(self) -> Reject | None:
        if self.answered_at is not None and self.answered_at < self.dialed_at:
            return bad_time(f"answered_at {self.answered_at} is before dialed_at {self.dialed_at}")
        if self.answered_at is not None and self.answered_at - self.dialed_at > MAX_CALL:
            return bad_time(f"answered_at {self.answered_at} is over 24 h after dialed_at")
        return None

    def span(self) -> tuple[datetime, datetime]:
        return self.dialed_at, self.answered_at or self.dialed_at

    def identity(self) -> str:
        return self.call_id

    def parties(self) -> Parties:
        return _parties(("", "", "", self.campaign_id or "", self.call_id))

    def usage(self) -> Usage:
        return Usage(
            ("ai_voice_detection",),
            NO_DIMS,
            "",
            to_us(self.dialed_at),
            "completed" if self.answered_at else "no-answer",
            to_us(self.answered_at) if self.answered_at else None,
        )


class Recording(Event, frozen=True, kw_only=True):
    """A recording is stored until it is deleted; a deletion is an event of its own."""

    kind: Literal["recording"] = "recording"
    recording_id: Id
    call_id: Id | None = None
    stored_at: Time
    duration_s: Seconds
    deleted_at: Time | None = None

    def check(self) -> Reject | None:
        return _check_span("stored_at", self.stored_at, "deleted_at", self.deleted_at)

    def span(self) -> tuple[datetime, datetime]:
        return self.stored_at, self.deleted_at or self.stored_at

    def state(self) -> State:
        return State(
            "recording_storage",
            self.recording_id,
            self.recording_id,
            to_us(self.stored_at),
            to_us(self.deleted_at) if self.deleted_at else None,
            self.duration_s,
            "",
            NO_DIMS,
            self.call_id or "",
        )


class Number(Event, frozen=True, kw_only=True):
    """A phone number is owned from acquired_at until released_at."""

    kind: Literal["number"] = "number"
    number: OwnNumber
    number_type: Literal["local", "tollfree"]
    acquired_at: Time
    released_at: Time | None = None

    def check(self) -> Reject | None:
        if not numbers.is_number(self.number):
            return _bad_number("number", "E.164 such as +14155550100 or a short code")
        return _check_span("acquired_at", self.acquired_at, "released_at", self.released_at)

    def span(self) -> tuple[datetime, datetime]:
        return self.acquired_at, self.released_at or self.acquired_at

    def state(self) -> State:
        acquired_us = to_us(self.acquired_at)
        return State(
            "phone_numbers",
            f"{self.number}@{acquired_us}",
            self.number,
            acquired_us,
            to_us(self.released_at) if self.released_at else None,
            0,
            self.number,
            (None,) * 8 + (self.number_type, None),
        )


class Subscription(Event, frozen=True, kw_only=True):
    """A fixed monthly item of the account, on the Products tab."""

    kind: Literal["subscription"] = "subscription"
    subscription_id: Id
    product: Id
    started_at: Time
    ended_at: Time | None = None

    def check(self) -> Reject | None:
        return _check_span("started_at", self.started_at, "ended_at", self.ended_at)

    def span(self) -> tuple[datetime, datetime]:
        return self.started_at, self.ended_at or self.started_at

    def state(self) -> State:
        return State(
            "subscriptions",
            self.subscription_id,
            self.subscription_id,
            to_us(self.started_at),
            to_us(self.ended_at) if self.ended_at else None,
            0,
            "",
            (None,) * 9 + (self.product,),
        )


class Kind(NamedTuple):
    """An entry of the registry: its struct, its topic (before any prefix), its decoder."""

    name: str
    struct: type[Event]
    topic: str
    decode: Callable[[bytes], Event]
    monthly: bool = False


def _kind(name: str, struct: type[Event], *, monthly: bool = False) -> Kind:
    return Kind(name, struct, f"usage.{name}.v1", msgspec.json.Decoder(struct).decode, monthly)


KINDS = {
    kind.name: kind
    for kind in (
        _kind("call", Call),
        _kind("text", Text),
        _kind("dial", Dial),
        _kind("amd", Amd),
        _kind("recording", Recording, monthly=True),
        _kind("number", Number, monthly=True),
        _kind("subscription", Subscription, monthly=True),
    )
}


def bad_time(message: str) -> Reject:
    return Reject(Reason.BAD_TIME, message)


def _check_parties(from_: str, to: str) -> Reject | None:
    for field, party in (("from", from_), ("to", to)):
        if not numbers.is_party(party):
            return _bad_number(
                field, "E.164 such as +14155550100, a short code, client:, sip: or anonymous"
            )
    return None


def _bad_number(field: str, forms: str) -> Reject:
    return Reject(Reason.BAD_NUMBER, f"not the form of a number - at `$.{field}`: send {forms}")


def _check_span(
    start_name: str, start: datetime, end_name: str, end: datetime | None
) -> Reject | None:
    if end is not None and end < start:
        return bad_time(f"{end_name} {end} is before {start_name} {start}")
    return None


@lru_cache(maxsize=4096)
def normal_carrier(carrier: str | None) -> str | None:
    """Carriers as a tariff compares them: "AT&T", "at&t" and "att" are one."""
    if carrier is None:
        return None
    return "".join(filter(str.isalnum, carrier)).lower() or None
