"""A campaign's call by the power dialer."""

from typing import Literal

from rater.kinds.call import DIALED, DIALED_CHECKS, Dialed
from rater.kinds.event import Id
from rater.kinds.kind import Always, Kind


class Dial(Dialed, frozen=True, kw_only=True):
    """A campaign's call by the power dialer: on the campaign line only."""

    kind: Literal["dial"] = "dial"
    campaign_id: Id


DIAL = Kind(
    "dial",
    Dial,
    usage=DIALED._replace(
        lines=("campaign_calls",), match={**DIALED.match, "media": Always("voice")}
    ),
    checks=DIALED_CHECKS,
)
