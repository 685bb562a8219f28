"""What is told of a budget as it goes over the wire: on the topic and to the webhook alike."""

from typing import Literal

import msgspec


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A budget's threshold was reached, or a minute cost far more than is usual.

    Sent at least once: `id` is the same each time, so a receiver drops what it has. Amounts are
    exact decimals as text. `spent` is what is spent, what the month will come to, or what the
    minute cost.
    """

    type: Literal["budget.actual", "budget.forecast", "budget.runaway"]
    id: str
    timestamp: str
    account_id: str
    month: str
    budget: str
    percent: int
    amount: str
    spent: str
    currency: str
    sentence: str


def encode_alert(event: AlertEvent) -> bytes:
    return msgspec.json.encode(event)


class Answer(msgspec.Struct, frozen=True):
    """What became of sending one: in words that name no address and no secret."""

    was_sent: bool
    text: str
