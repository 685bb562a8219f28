"""All of a filter's charges, for files: page by page, in the ledger's own order.

Newest first would sort everything again for each page. By the table's key a page begins where the
one before ended, so that a million rows are read once, in the memory of a page.
"""

from collections.abc import Iterator

import pyarrow as pa

from rater.charge import MONEY
from streams.store.events import COLUMNS, NAMES, Filter, where_of
from streams.store.ledger import Ledger

# The names of a file, which are those of the API's rows, and what each is of the ledger.
_TIMES = ("occurred_at", "answered_at", "ended_at", "logged_at")
_OTHERWISE = {"from_": "from", "month": "month"} | {
    name: column for name, column in NAMES.items() if column in _TIMES
}
_EXACT = {_OTHERWISE.get(name, name): NAMES.get(name, name) for name in COLUMNS} | {
    "month": "formatDateTime(month, '%Y-%m')"
}


def _as_text(name: str, column: str) -> str:
    """A column as the API says it: exact decimals without trailing zeros, instants in UTC."""
    if name in MONEY:
        return f"toString({column})"
    if name in _TIMES:
        text = f"replaceOne(toString({column}), ' ', 'T')"
        return f"concat(replaceRegexpOne({text}, '\\\\.?0+$', ''), 'Z')"
    return column


def _select(*, as_text: bool) -> str:
    return ", ".join(
        f"{_as_text(name, column) if as_text else column} AS `{name}`"
        for name, column in _EXACT.items()
    )


_SELECTS = {as_text: _select(as_text=as_text) for as_text in (True, False)}


def read_all_charges(
    ledger: Ledger, account_id: str, chosen: Filter, *, as_text: bool, rows: int
) -> Iterator[pa.Table]:
    """The charges that a filter lets through, `rows` at a time; where there are none, no rows once.

    By month, line and identity. Decimals and instants are what they are, or text as the API says
    them. Raises one of StoreErrors.
    """
    where, values = where_of(account_id, chosen)
    parts = ledger.search(
        f"SELECT DISTINCT month, line FROM rated_rows WHERE {where} ORDER BY month, line", values
    )
    page = (
        f"SELECT {_SELECTS[as_text]} FROM (SELECT * FROM rated_rows WHERE {where}"
        " AND month = {of_month:Date} AND line = {of_line:String}"
        # The first of the two is what the table's index understands.
        " AND identity >= {after:String} AND (identity, revision) > ({after:String},"
        " {revision:Int64}) ORDER BY identity, revision LIMIT {rows:UInt32})"
    )
    for month, line in parts or [(chosen.months[0], "")]:
        place = {"of_month": month, "of_line": line, "after": "", "revision": -1, "rows": rows}
        while True:
            table = ledger.search_columns(page, values | place)
            if table.num_rows or not parts:
                yield table
            if table.num_rows < rows:
                break
            last = table.slice(table.num_rows - 1).to_pylist()[0]
            place |= {"after": last["identity"], "revision": last["revision"]}
