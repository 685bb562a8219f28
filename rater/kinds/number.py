"""A phone number is owned from acquired_at until released_at."""

from typing import Literal

from rater.kinds.checks import IsInOrder, IsNumber
from rater.kinds.event import Event, OwnNumber, Time
from rater.kinds.kind import Kind, Lifecycle, Read


class Number(Event, frozen=True, kw_only=True):
    """A phone number is owned from acquired_at until released_at."""

    kind: Literal["number"] = "number"
    number: OwnNumber
    number_type: Literal["local", "tollfree"]
    acquired_at: Time
    released_at: Time | None = None


NUMBER = Kind(
    "number",
    Number,
    lifecycle=Lifecycle(
        line="phone_numbers",
        billed_as="number",
        start="acquired_at",
        end="released_at",
        one_a_start=True,  # released and acquired again, it is owned twice
        number="number",
        match={"number_type": Read("number_type")},
    ),
    checks=(IsNumber(("number",)), IsInOrder(("acquired_at", "released_at"))),
)
