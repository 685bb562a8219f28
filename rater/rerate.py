"""Rating a row of the ledger again, from itself alone: no event and no log is needed.

The row keeps every fact of its event that a rule reads, so another price book gives what rating the
event under it gives. Source: docs/architecture.md, the laws.
"""

from rater import numbers
from rater.charge import Charge, new_charge
from rater.kinds import KINDS
from rater.monthly import charge_asset
from rater.price import find_by_prefix
from rater.rate import Parked, find_shape, no_price
from rater.tariff import Book, Memo
from rater.usage import RowFacts, Usage, dims_of


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
    memo = memo or Memo()
    usage = usage_of_row(charge)
    account = book.account(charge.account_id, usage.at_us)
    shape = find_shape(book, memo, account, charge.terms.kind, usage)
    if isinstance(shape, Parked):
        return shape
    (priced,) = shape.lines
    price = find_by_prefix(priced.view, usage.number)
    if price is None:
        return no_price(account, priced.line, usage.dims, usage.number)
    pricing = priced.pricing(price, book, memo, account, charge.terms.kind, usage, shape)
    return new_charge((*charge[:-2], pricing.terms, pricing.cost(usage)))


def usage_of_row(charge: Charge) -> Usage:
    """What was priced of a row's event, on the row's line."""
    terms, cost = charge.terms, charge.cost
    kind = KINDS[terms.kind]
    usage = kind.usage
    assert usage is not None, "a recurring charge has no usage of an event"
    answers = {
        "direction": terms.direction, "media": terms.media, "device": terms.device,
        "sender": terms.sender, "carrier": terms.carrier, "registered": terms.registered,
        "number_type": terms.number_type, "product": terms.product, "recorded": terms.recorded,
    }  # fmt: skip
    origin = termination = ""
    if usage.parties is not None:
        answers["from"], origin = numbers.face(getattr(charge, usage.parties[0]))
        answers["to"], termination = numbers.face(getattr(charge, usage.parties[1]))
    return Usage(
        lines=(terms.line,),
        dims=dims_of({name: answer or None for name, answer in answers.items()}),
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


def _rate_asset_again(charge: Charge, book: Book) -> Charge | Parked:
    terms = charge.terms
    dims = dims_of({"number_type": terms.number_type or None, "product": terms.product or None})
    return charge_asset(
        charge.account_id,
        charge.event_id,
        charge.identity,
        RowFacts(**{name: getattr(charge, name) for name in RowFacts._fields}),
        kind=terms.kind,
        usage=Usage((terms.line,), dims, charge.to, charge.occurred_us, ended_us=charge.ended_us),
        seconds=charge.cost.raw_seconds,
        month=terms.month,
        book=book,
        stood_us=charge.cost.stood_us,
    )
