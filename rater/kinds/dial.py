"""A campaign's call by the power dialer."""

from typing import Literal

from rater.kinds.call import DIALED, DIALED_CHECKS, DIALED_MATCH, Dialed
from rater.kinds.event import Id
from rater.kinds.kind import Always, Kind, UsageMap


class Dial(Dialed, frozen=True, kw_only=True):
    """A campaign's call by the power dialer: on the campaign line only."""

    kind: Literal["dial"] = "dial"
    campaign_id: Id


DIAL = Kind(
    "dial",
    Dial,
    usage=UsageMap(
        lines=("campaign_calls",), match={**DIALED_MATCH, "media": Always("voice")}, **DIALED
    ),
    checks=DIALED_CHECKS,
)
