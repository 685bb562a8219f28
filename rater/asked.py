"""What using a destination would cost: an event of each kind, rated as if it happened now. Pure."""

from typing import Any

import msgspec

from rater.charge import Charge, format_us
from rater.decode import decode
from rater.kinds import KINDS
from rater.rate import Parked, rate
from rater.reject import Reject
from rater.tariff import Book, Memo

LENGTH_S = 60
FROM = "+18005550100"  # whose own prefix no price asks for


def rate_asked(
    kind: str,
    number: str,
    account_id: str,
    book: Book,
    now_us: int,
    *,
    memo: Memo | None = None,
    more: dict[str, Any] | None = None,
) -> list[Charge] | Parked | Reject:
    """The charges of one outbound event: a text, a call of a minute that was answered at once, or a
    detection on one. `more` has fields of its own."""
    at, ended = format_us(now_us), format_us(now_us + LENGTH_S * 1_000_000)
    fields: dict[str, Any] = {"id": "asked", "account_id": account_id}
    if kind == "text":
        fields |= {"direction": "outbound", "from": FROM, "to": number, "sent_at": at}
    elif kind == "amd":
        fields |= {"call_id": "asked", "dialed_at": at, "answered_at": at, "verdict": "human"}
    else:
        fields |= {"direction": "outbound", "from": FROM, "to": number, "status": "completed"}
        fields |= {"dialed_at": at, "answered_at": at, "ended_at": ended}
    raw = msgspec.json.encode(fields | (more or {}))
    read = decode(KINDS[kind], raw, now_us + 10 * LENGTH_S * 1_000_000)
    return read if isinstance(read, Reject) else rate(read, book, memo)
