"""An account's usage in groups: sums of a filter's rows by one or two of GROUPINGS."""

from collections.abc import Sequence
from typing import NamedTuple

from streams.store.events import GROUPINGS, TAX, Filter, amount_of, where_of
from streams.store.ledger import Ledger
from streams.store.statements import nanos


class UsageGroup(NamedTuple):
    """Charges of one line, currency and value of each grouping; `charge` and `tax` are nanos.

    `amount` counts charges, free ones too; units and seconds are of those that cost something, as
    on the statement.
    """

    line: str
    currency: str
    names: tuple[str, ...]
    amount: int
    billed: int
    billed_seconds: int
    charge: int
    tax: int


class CurrencySum(NamedTuple):
    """What all rows of one currency come to, in nanos; of taxes the charge is the tax."""

    currency: str
    amount: int
    charge: int
    tax: int


def read_usage(
    ledger: Ledger, account_id: str, chosen: Filter, *, by: Sequence[str], zone: str, limit: int
) -> tuple[list[UsageGroup], list[CurrencySum]]:
    """The groups of a filter's rows, the dearest first, `limit` at the most; and all rows' sums.

    One question for both, so that they are of the same rows whatever is written meanwhile. Raises
    KeyError for what is no grouping, one of StoreErrors.
    """
    where, values = where_of(account_id, chosen)
    names = [f"by_{n}" for n in range(len(by))]
    columns = [f"{GROUPINGS[grouping]} AS {name}" for grouping, name in zip(by, names, strict=True)]
    keys = ", ".join(["line", "currency", *names])
    rows = ledger.query(
        f"SELECT grouping(line) AS whole, {', '.join(['line', 'currency', *columns])}, count(),"
        " sumIf(billed, charge != 0), sumIf(billed_seconds, charge != 0),"
        f" sum({amount_of(chosen)}) AS total, sum({TAX}) FROM rated_rows WHERE {where}"
        f" GROUP BY GROUPING SETS (({keys}), (currency))"
        # A sum is of a currency, and those are few.
        f" ORDER BY whole DESC, total DESC, {keys} LIMIT {{limit:UInt32}}",
        values | {"zone": zone, "limit": limit},
    )
    groups, sums = [], []
    for whole, line, currency, *named, amount, billed, seconds, charge, tax in rows:
        money = nanos(charge), nanos(tax)
        if whole:
            sums.append(CurrencySum(currency, amount, *money))
        else:
            groups.append(UsageGroup(line, currency, tuple(named), amount, billed, seconds, *money))
    return groups, sums


def read_sums(ledger: Ledger, account_id: str, chosen: Filter) -> list[CurrencySum]:
    """What all of a filter's rows add up to, of each currency. Raises one of StoreErrors."""
    where, values = where_of(account_id, chosen)
    rows = ledger.query(
        f"SELECT currency, count(), sum({amount_of(chosen)}), sum({TAX}) FROM rated_rows"
        f" WHERE {where} GROUP BY currency ORDER BY currency",
        values,
    )
    return [
        CurrencySum(currency, amount, nanos(charge), nanos(tax))
        for currency, amount, charge, tax in rows
    ]
