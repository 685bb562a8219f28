"""A new kind by the recipe of docs/how-to/kind.md, followed to the letter: it charges right."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater import lines
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.lines import Line
from rater.money import format_nanos
from rater.rate import rate
from rater.reject import Reason, Reject
from rater.tariff import Book, Memo
from streams.rows.batch import Batch, add_columns, add_records
from tests.conftest import LOGGED_MS, Logged
from tests.rater.drawn import declared
from tests.rater.make import decoded, decoded_or_not, make_book, modest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def block_of(page: str, language: str) -> str:
    """The first block of code of a page, as a reader would copy it."""
    found = re.search(rf"( *)```{language}\n(.*?)\1```", (HOW_TO / page).read_text(), re.DOTALL)
    assert found is not None
    indent, code = found.groups()
    return "\n".join(line.removeprefix(indent) for line in code.splitlines())


@pytest.fixture(scope="module")
def fax() -> Iterator[Kind]:
    """The registry and the lines with a fax, until the tests here are done."""
    made: dict[str, Any] = {"__name__": "fax"}
    exec(block_of("kind.md", "python"), made)
    line: Line = eval(block_of("line.md", "python"), {"Line": Line})
    patch = pytest.MonkeyPatch()
    patch.setitem(KINDS, "fax", made["FAX"])
    patch.setitem(lines.PRICED, line.name, line)
    yield made["FAX"]
    patch.undo()


@pytest.fixture(scope="module")
def book(fax: Kind) -> Book:
    return make_book("[[tariff.price]]\n" + block_of("line.md", "toml").partition("]]\n")[2])


def a_fax(**more: Any) -> dict[str, Any]:
    return {
        "kind": "fax", "id": "f1", "account_id": "acme", "direction": "outbound",
        "from": "+14155550100", "to": "+12125550100", "sent_at": "2026-02-10T12:00:00Z",
        "status": "delivered",
    } | more  # fmt: skip


PAGES = [
    # pages  status      | billed  charge
    (1,      "delivered",  1,      "0.05"),
    (7,      "delivered",  7,      "0.35"),
    (3,      "delivered",  3,      "0.15"),
    (3,      "failed",     0,      "0"),
]  # fmt: skip


def test_a_fax_costs_its_pages_row_by_row_and_by_column(fax: Kind, book: Book) -> None:
    events = [a_fax(id=f"f{n}", pages=p, status=s) for n, (p, s, _, _) in enumerate(PAGES)]
    charges = [rate(decoded(event), book) for event in events]
    assert [
        (row.cost.billed, format_nanos(row.cost.charge))
        for rows in charges
        if isinstance(rows, list)
        for row in rows
    ] == [row[2:] for row in PAGES]
    batch = Batch()
    records = [Logged(n, LOGGED_MS, None, json.dumps(e).encode()) for n, e in enumerate(events)]
    add_columns(batch, fax, fax.topic, [(0, records)], book)
    (block,) = batch.blocks
    (line,) = block.lines
    costs = [line.costs[code] for code in line.costs_of.tolist()]
    assert [(cost.billed, format_nanos(cost.charge)) for cost in costs] == [
        row[2:] for row in PAGES
    ]


def test_what_is_no_number_is_refused_both_ways(fax: Kind, book: Book) -> None:
    event = a_fax(to="not a number")
    refused = decoded_or_not(event)
    assert isinstance(refused, Reject)
    assert refused.reason is Reason.BAD_NUMBER
    batch = Batch()
    records = [Logged(0, LOGGED_MS, None, json.dumps(event).encode())]
    add_columns(batch, fax, fax.topic, [(0, records)], book)
    assert [row.reject.reason for row in batch.rejected] == [Reason.BAD_NUMBER]


@settings(modest, max_examples=60)
@given(data=st.data())
def test_drawn_faxes_are_rated_by_column_as_row_by_row(
    fax: Kind, book: Book, data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(declared(fax), min_size=1, max_size=8))
    records = [Logged(n, LOGGED_MS, None, json.dumps(e).encode()) for n, e in enumerate(drawn)]
    by_row, by_column = Batch(), Batch()
    add_records(by_row, fax, fax.topic, 0, records, book)
    add_columns(by_column, fax, fax.topic, [(0, records)], book, Memo())
    assert by_column.receipts == by_row.receipts
    assert by_column.charged == by_row.charged
    assert by_column.parked == by_row.parked


def test_a_declaration_that_names_no_field_is_refused_at_once(fax: Kind) -> None:
    assert fax.usage is not None
    with pytest.raises(ValueError, match="no field sent_on"):
        Kind("fax", fax.struct, usage=fax.usage._replace(start="sent_on"))
