"""What rating takes of an event: its usage, or the state of an asset that it tells.

A kind declares how both are read (`rater.kinds.kind`); here are their shapes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

# What a price can match on, beside the longest prefix. The order is that of Usage.dims.
DIMENSIONS = (
    "direction", "media", "device", "sender", "carrier", "registered",
    "from", "to", "number_type", "product", "recorded",
)  # fmt: skip

# The answers to what a price can match on, in the order of DIMENSIONS; None where it has none.
Dims = tuple[str | None, ...]

NO_DIMS: Dims = (None,) * len(DIMENSIONS)


def dims_of(answers: Mapping[str, str | None]) -> Dims:
    """The answers by dimension, in their order."""
    return tuple(map(answers.get, DIMENSIONS))


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
    segments: int = 1  # how many, where the unit is neither time nor one an event
    dialed: bool = True  # False: the platform refused before dialing
    origin: str = ""  # the US states of both parties, for taxes
    termination: str = ""


class State(NamedTuple):
    """What an event tells of an asset: it stands [from, until).

    `line` is "" for an asset that costs nothing, such as a campaign.
    """

    line: str
    thing: str  # the identity of what stands; one row a month for each `billed_as`
    billed_as: str
    from_us: int
    until_us: int | None
    seconds: int
    number: str
    dims: Dims
    call_id: str = ""
    name: str = ""
    detection: bool | None = None
    user_id: str = ""
    team: str = ""


class RowFacts(NamedTuple):
    """What a ledger's row keeps of its event as it is, for readers; text that is absent is "".

    A kind's field of one of these names is kept, and nothing has to be declared for it.
    """

    from_: str = ""
    to: str = ""
    group_id: str = ""
    campaign_id: str = ""
    call_id: str = ""
    user_id: str = ""
    team: str = ""
    verdict: str = ""
    encoding: str = ""
