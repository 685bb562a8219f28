"""A campaign of the power dialer: its name, and whether A.I. voice detection is on."""

from typing import Annotated, Literal

import msgspec

from rater.kinds.event import Event, Id, Time
from rater.kinds.kind import Kind, Lifecycle

CampaignName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Campaign(Event, frozen=True, kw_only=True):
    """A campaign as it is from `effective_at` on: nothing is charged for it."""

    kind: Literal["campaign"] = "campaign"
    campaign_id: Id
    name: CampaignName
    detection: bool
    effective_at: Time


CAMPAIGN = Kind(
    "campaign",
    Campaign,
    lifecycle=Lifecycle(
        line="",
        billed_as="campaign_id",
        start="effective_at",
        one_a_start=True,  # what it was before stays known
        name="name",
        detection="detection",
    ),
)
