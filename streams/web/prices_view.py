"""What it costs to call or text somewhere by today's book, in the words of a charge."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rater.asked import rate_asked
from rater.destinations import Destination, destinations_of
from rater.instants import to_us
from rater.rate import Parked
from rater.reject import Reject
from rater.sentences import QUOTE_METHOD, charge_said, day_said, version_said
from rater.tariff import Book
from streams.web.frame import Frame
from streams.web.quotes import QuotePart
from streams.web.render import View, render

# One of each is rated as if it happened now: a minute, a text of one segment.
_ASKED: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("A call", "call", {}),
    ("A campaign's call", "dial", {"campaign_id": "any"}),
    ("An SMS", "text", {"media": "sms", "status": "sent", "segments": 1, "registered": True}),
    ("An MMS", "text", {"media": "mms", "status": "sent", "segments": 1, "registered": True}),
)


class Price(NamedTuple):
    """A sentence on one way to use a destination."""

    what: str
    text: str


class Found(NamedTuple):
    """A destination and its prices."""

    title: str
    said: Sequence[Price]


def prices_view(
    words: str,
    account_id: str,
    book: Book,
    now: datetime,
    frame: Frame,
    quoted: QuotePart | None = None,
) -> View:
    """Prices by the account's plan as it is now. A place's name may take some seconds at first."""
    now_us = to_us(now)
    account = book.account(account_id, now_us)
    tariff = book.tariffs.get(account.tariff)
    span = None if tariff is None else tariff.at(now_us, account.zone)
    coming = [] if tariff is None else sorted(
        version.edges(account.zone)[0] for version in tariff.versions
    )  # fmt: skip
    return render(
        "prices.html",
        frame=frame,
        words=words,
        found=[
            Found(_title(one), list(_prices(one, account_id, book, now)))
            for one in destinations_of(words)
        ],
        plan=account.tariff,
        currency=book.currency,
        since="" if span is None else f"These prices hold since {version_said(span.version)}.",
        coming=[
            f"From {day_said(at_us, account.zone)} on there are other prices."
            for at_us in coming
            if at_us > now_us
        ],
        quoted=quoted,
        method=QUOTE_METHOD,
    )


def _title(one: Destination) -> str:
    return one.name if one.name == one.prefix else f"{one.name} ({one.prefix})"


def _prices(one: Destination, account_id: str, book: Book, now: datetime) -> Iterable[Price]:
    """What rating an event of each kind says; what has no price says so."""
    for what, kind, more in _ASKED:
        rated = rate_asked(kind, one.number, account_id, book, to_us(now), more=more)
        if isinstance(rated, Reject):
            yield Price(what, "can't be reached by this number")
            continue
        if isinstance(rated, Parked):
            yield Price(what, "has no price yet")
            continue
        said = [
            "its carrier fee, " * (charge.terms.line == "carrier_fees")
            + charge_said(charge, timed=False, taxed=False)
            for charge in rated
        ]
        yield Price(what, "; ".join(said))
