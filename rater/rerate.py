"""Rating a row of the ledger again, from itself alone: no event and no log is needed.

The row keeps every fact of its event that a rule reads, so another price book gives what rating the
event under it gives. Source: docs/architecture.md, the laws.
"""

from collections.abc import Mapping

from rater import numbers
from rater.charge import Charge, Terms
from rater.kinds import KINDS
from rater.monthly import charge_asset
from rater.rate import Parked, price_usage
from rater.tariff import Book, Memo
from rater.usage import DIMENSIONS, Dims, RowFacts, Usage, dims_of


def rate_again(charge: Charge, book: Book, memo: Memo | None = None) -> Charge | Parked:
    """The charge that a row's event has under a book, or the reason why it would wait.

    A row that was voided because nothing of it stands stays as it is. The month of a recurring
    charge is the row's own: what stood in it was told by the zone then in force. `memo` is as for
    `rater.rate.rate`.
    """
    if charge.terms.status == "voided":
        return charge
    if KINDS[charge.terms.kind].monthly:
        return _rate_asset_again(charge, book)
    kind, usage = charge.terms.kind, usage_of_row(charge)
    priced = price_usage(charge.account_id, kind, usage, book, memo or Memo())
    if isinstance(priced, Parked):
        return priced
    ((terms, cost),) = priced
    return charge._replace(terms=terms, cost=cost)


def usage_of_row(charge: Charge) -> Usage:
    """What was priced of a row's event, on the row's line."""
    terms, cost = charge.terms, charge.cost
    kind = KINDS[terms.kind]
    usage = kind.usage
    assert usage is not None, "a recurring charge has no usage of an event"
    forms = {}
    origin = termination = ""
    if usage.parties is not None:
        forms["from"], origin = numbers.face(getattr(charge, usage.parties[0]))
        forms["to"], termination = numbers.face(getattr(charge, usage.parties[1]))
    return Usage(
        lines=(terms.line,),
        dims=_dims_of(terms, forms),
        number=getattr(charge, usage.prefix_of) if usage.prefix_of else "",
        at_us=charge.occurred_us,
        status=terms.event_status,
        answered_us=charge.answered_us,
        ended_us=charge.ended_us,
        segments=cost.segments if usage.quantity is not None else 1,
        dialed=terms.dialed,
        origin=origin,
        termination=termination,
    )


def _dims_of(terms: Terms, forms: Mapping[str, str]) -> Dims:
    """What a row answers to a match: its terms, and the forms of its parties."""
    answers = {name: getattr(terms, name) or None for name in DIMENSIONS if name in Terms._fields}
    return dims_of({**answers, **forms})


def _rate_asset_again(charge: Charge, book: Book) -> Charge | Parked:
    terms = charge.terms
    return charge_asset(
        charge.account_id,
        charge.event_id,
        charge.identity,
        RowFacts(**{name: getattr(charge, name) for name in RowFacts._fields}),
        kind=terms.kind,
        usage=Usage(
            (terms.line,),
            _dims_of(terms, {}),
            charge.to,
            charge.occurred_us,
            ended_us=charge.ended_us,
        ),
        seconds=charge.cost.raw_seconds,
        month=terms.month,
        book=book,
        stood_us=charge.cost.stood_us,
    )
