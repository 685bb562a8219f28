"""All of a filter's charges, for files: page by page, in the ledger's own order.

By the table's key: where each page ends is asked first, of the keys alone, so that a page reads its
own rows and no others, and sorts no more than these.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from rater.charge import MONEY, Charge, Cost, Terms
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


# Each may be no formula, but for numbers: a new column is a text until it is known to be none.
_KINDS = {**Charge.__annotations__, **Terms.__annotations__, **Cost.__annotations__}
_NUMBERS = {*MONEY, *_TIMES, "month", "partition", "offset"} | {
    name for name, kind in _KINDS.items() if kind in (int, bool)
}


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: `=1+1` gets an apostrophe before it.

    +14155550100 and -0.5 are none.
    """
    begins = f"substring({text}, 1, 1) IN ('=', '+', '-', '@', '\\t', '\\r', '\\n')"
    is_number = f"match({text}, '^([+][0-9]+|-[0-9]+([.][0-9]+)?)$')"
    return f"if({begins} AND NOT {is_number}, concat('\\'', {text}), {text})"


def _as_cell(name: str, column: str) -> str:
    """A column as a file of comma-separated values has it; empty where there is nothing."""
    if name in _TIMES:
        return f"ifNull({_as_text(name, column)}, '')"
    return _as_text(name, column) if name in _NUMBERS else harmless(f"toString({column})")


def _select(told: Callable[[str, str], str]) -> str:
    return ", ".join(f"{told(name, column)} AS `{name}`" for name, column in _EXACT.items())


_AS_IT_IS, _TEXTS, _CELLS = (
    _select(told) for told in (lambda _, column: column, _as_text, _as_cell)
)


_ENDS = """
SELECT month, line, identity, revision FROM (
    SELECT month, line, identity, revision, row_number() OVER of_line AS nth,
        count() OVER (PARTITION BY month, line) AS all
    FROM rated_rows WHERE {where}
    WINDOW of_line AS (PARTITION BY month, line ORDER BY identity, revision)
) WHERE nth % {{rows:UInt32}} = 0 OR nth = all
ORDER BY month, line, identity, revision
"""
# The first two conditions are what the table's index understands.
_PAGE = """
SELECT {columns} FROM (SELECT * FROM rated_rows WHERE {where}
    AND month = {{of_month:Date}} AND line = {{of_line:String}}
    AND identity >= {{after:String}} AND identity <= {{last:String}}
    AND (identity, revision) > ({{after:String}}, {{after_revision:Int64}})
    AND (identity, revision) <= ({{last:String}}, {{last_revision:Int64}})
    ORDER BY identity, revision)
"""
_Page = tuple[str, dict[str, Any]]


def read_all_charges(
    ledger: Ledger, account_id: str, chosen: Filter, *, as_text: bool, rows: int
) -> Iterator[pa.Table]:
    """The charges that a filter lets through, `rows` at a time; where there are none, no rows once.

    By month, line and identity. Decimals and instants are what they are, or text as the API says
    them. Raises one of StoreErrors.
    """
    for sql, asked in _pages(ledger, account_id, chosen, _TEXTS if as_text else _AS_IT_IS, rows):
        yield ledger.search_columns(sql, asked)


def read_all_cells(
    ledger: Ledger, account_id: str, chosen: Filter, *, rows: int
) -> Iterator[bytes]:
    """The same as comma-separated values, which the store writes itself; no cell is a formula."""
    yield (",".join(f'"{name}"' for name in _EXACT) + "\n").encode()
    for sql, asked in _pages(ledger, account_id, chosen, _CELLS, rows):
        yield ledger.search_file(sql, asked, "CSV")


def _pages(
    ledger: Ledger, account_id: str, chosen: Filter, columns: str, rows: int
) -> Iterator[_Page]:
    """A question for each page: what was written since is on the page of its identity, or none."""
    where, values = where_of(account_id, chosen)
    ends = ledger.search(_ENDS.format(where=where), values | {"rows": rows})
    sql = _PAGE.format(columns=columns, where=where)
    of, after = None, ("", -1)
    for month, line, *end in ends or [(chosen.months[0], "", "", 0)]:
        if of != (month, line):
            of, after = (month, line), ("", -1)
        names = ("after", "after_revision", "last", "last_revision")
        bounds = dict(zip(names, (*after, *end), strict=True))
        yield sql, values | {"of_month": month, "of_line": line, **bounds}
        after = (end[0], end[1])
