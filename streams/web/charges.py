"""An account's charges as the API answers them: a page of a filter's rows, or their sums in groups.

Each function blocks and reads the ledger: it runs off the loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, HTTPException, Query

from rater.money import format_nanos
from streams.formats.registry import Exporter
from streams.operations.explain import row_to_json
from streams.store.events import GROUPINGS, Cursor, Filter, cursor_of, read_events
from streams.store.exports import read_all_cells, read_all_charges
from streams.store.grouped import CurrencySum, UsageGroup, read_sums, read_usage
from streams.web.filters import Wanted, encode_cursor, filter_of
from streams.web.reads import Reads

ROWS_MOST = 500
PAGE_ROWS = 50_000  # of a file, that are in memory at once
GROUPS_MOST = (
    1000  # of one answer, and its sums; what is left stands in `sums` and is told of in `left_out`
)
GROUPINGS_MOST = 2


@dataclass(frozen=True)
class WantedByName(Wanted):
    """The same with a range's days by the names that an API gives them."""

    first: Annotated[
        str,
        Query(alias="from", max_length=10, description="YYYY-MM-DD, the first day of a range"),
    ] = ""
    last: Annotated[
        str, Query(alias="to", max_length=10, description="YYYY-MM-DD, its last day")
    ] = ""


WantedCharges = Annotated[WantedByName, Depends(WantedByName)]
Limit = Annotated[int, Query(ge=1, le=ROWS_MOST, description="rows of a page, at most")]


def groupings(
    by: Annotated[
        str,
        Query(max_length=64, description=f"one or two by comma of {', '.join(GROUPINGS)}"),
    ] = "",
) -> tuple[str, ...]:
    """Raises 422 for what is no grouping, and for more than two."""
    names = tuple(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    for name in names:
        if name not in GROUPINGS:
            raise HTTPException(422, f"no grouping {name[:40]!r}; one of {', '.join(GROUPINGS)}")
    if len(names) > GROUPINGS_MOST:
        raise HTTPException(422, f"{GROUPINGS_MOST} groupings at the most, not {len(names)}")
    return names


By = Annotated[tuple[str, ...], Depends(groupings)]


def read_charges(
    reads: Reads,
    account: str,
    month: date | None,
    *,
    wanted: Wanted,
    before: Cursor | None,
    limit: int,
) -> dict[str, Any]:
    """A page of charges, the newest first, `next` for the one after it, and the filter's sums."""
    chosen, zone = chosen_by(reads, account, month, wanted)
    found = read_events(reads.ledger, account, chosen, before=before, limit=limit + 1)
    rows = found[:limit]
    return {
        "account_id": account,
        "zone": zone,
        "rows": [row_to_json(row) for row in rows],
        "next": encode_cursor(cursor_of(rows[-1])) if len(found) > limit else None,
        "sums": [_sum_to_json(one) for one in read_sums(reads.ledger, account, chosen)],
    }


def read_usage_groups(
    reads: Reads, account: str, month: date | None, *, wanted: Wanted, by: tuple[str, ...]
) -> dict[str, Any]:
    """The sums of a filter's charges by line and groupings. They add up to the statement's lines.

    GROUPS_MOST at the most, the dearest first: `left_out` says what the rest come to.
    """
    chosen, zone = chosen_by(reads, account, month, wanted)
    groups, sums = read_usage(reads.ledger, account, chosen, by=by, zone=zone, limit=GROUPS_MOST)
    return {
        "account_id": account,
        "zone": zone,
        "by": list(by),
        "groups": [_group_to_json(group, by) for group in groups],
        "left_out": [_sum_to_json(left) for one in sums if (left := _left(one, groups)).amount],
        "sums": [_sum_to_json(one) for one in sums],
    }


def export_charges(
    reads: Reads, account: str, month: date | None, *, wanted: Wanted, exporter: Exporter
) -> Iterator[bytes]:
    """All charges of a filter as a file; each piece is made when it is asked for."""
    chosen, _ = chosen_by(reads, account, month, wanted)
    if exporter.rows is None:
        yield from read_all_cells(reads.ledger, account, chosen, rows=PAGE_ROWS)
        return
    pages = read_all_charges(
        reads.ledger, account, chosen, as_text=exporter.is_text, rows=PAGE_ROWS
    )
    yield from exporter.rows(pages)


def chosen_by(reads: Reads, account: str, month: date | None, wanted: Wanted) -> tuple[Filter, str]:
    """The filter by the account's days, and the zone that they are of."""
    at, basis = reads.read_basis(account, month)
    return filter_of(wanted, at, ZoneInfo(basis.zone)), basis.zone


def _left(whole: CurrencySum, groups: list[UsageGroup]) -> CurrencySum:
    """What groups of the sum's currency do not have of it."""
    shown = [group for group in groups if group.currency == whole.currency]
    return CurrencySum(
        whole.currency,
        whole.amount - sum(group.amount for group in shown),
        whole.charge - sum(group.charge for group in shown),
        whole.tax - sum(group.tax for group in shown),
    )


def _sum_to_json(one: CurrencySum) -> dict[str, Any]:
    return one._asdict() | {"charge": format_nanos(one.charge), "tax": format_nanos(one.tax)}


def _group_to_json(group: UsageGroup, by: tuple[str, ...]) -> dict[str, Any]:
    return {
        "line": group.line,
        "group": dict(zip(by, group.names, strict=True)),
        "currency": group.currency,
        "amount": group.amount,
        "billed": group.billed,
        "billed_seconds": group.billed_seconds,
        "charge": format_nanos(group.charge),
        "tax": format_nanos(group.tax),
    }
