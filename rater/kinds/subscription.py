"""A fixed monthly item of the account, on the Products tab."""

from typing import Literal

from rater.kinds.checks import IsInOrder
from rater.kinds.event import Event, Id, Time
from rater.kinds.kind import Kind, Lifecycle, Read


class Subscription(Event, frozen=True, kw_only=True):
    """A fixed monthly item of the account, on the Products tab."""

    kind: Literal["subscription"] = "subscription"
    subscription_id: Id
    product: Id
    started_at: Time
    ended_at: Time | None = None


SUBSCRIPTION = Kind(
    "subscription",
    Subscription,
    lifecycle=Lifecycle(
        line="subscriptions",
        billed_as="subscription_id",
        start="started_at",
        end="ended_at",
        match={"product": Read("product")},
    ),
    checks=(IsInOrder(("started_at", "ended_at")),),
)
