"""The command `rater usage`: a statement as a table, as JSON or as CSV."""

import sys
from typing import Annotated, Any

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from rater.statement import FORMS, LineForm, part_title, statement_to_json
from rater.tariff_file import load_book
from streams.cli.console import (
    WRONG_USE,
    Month,
    Stop,
    Store,
    TariffFile,
    err,
    month_or_this,
    out,
    settings_for,
    store_of,
)

DASH = "\N{EN DASH}"
TOTALS = {"Usage": "usage_total", "Products": "products_total", "Total": "total"}


def usage(
    account: Annotated[str, typer.Argument(help="The account's id.")],
    month: Month = "",
    as_json: Annotated[bool, typer.Option("--json", help="The statement as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="The statement as CSV.")] = False,
    store: Store = None,
    tariff: TariffFile = None,
) -> None:
    """Print an account's statement for a month, as the ledger has it now.

    Status 1 where the account or the month never was.
    """
    from streams.formats.statement_csv import statement_to_csv
    from streams.store.statements import read_products, read_statement, why_no_statement

    if as_json and as_csv:
        raise Stop("--json and --csv are two forms: choose one", WRONG_USE)

    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    day = month_or_this(month, book, account)
    with store_of(settings) as ledger:
        statement = read_statement(ledger, book, account, day)
        if reason := why_no_statement(ledger, book, statement):
            raise Stop(reason)
        products = read_products(ledger, account, day)
    data = statement_to_json(statement) | {"products": products}
    if as_json:
        sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif as_csv:
        sys.stdout.write(statement_to_csv(data).decode())
    else:
        _print_statement(data)


def _print_statement(statement: dict[str, Any]) -> None:
    """Lines and their parts, with exact charges; a dash is no use, or no average price."""
    table = Table(
        title=f"{statement['account_id']}, {statement['month']}",
        caption=f"{statement['status']} as of {statement['as_of']}, months by {statement['zone']}"
        + "".join(f"\n{remark}" for remark in statement["remarks"]),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("Line")
    for name in ("Amount", "Free", "Minutes", "Average", "Charge"):
        table.add_column(name, justify="right")
    shown: list[tuple[str, dict[str, Any], LineForm]] = []
    for form, line in zip(FORMS, statement["lines"], strict=True):
        shown.append((form.title, line, form))
        shown += [("  " + part_title(part), part, form) for part in line["parts"]]
    places = {
        name: max(_places(row[name]) for _, row, _ in shown) for name in ("average_price", "charge")
    }
    for title, row, form in shown:
        note = f" (unknown for {row['unknown']:,})" if row.get("unknown") else ""
        used = bool(row["amount"]) or row["charge"] != "0"
        cells = [
            f"{row['amount']:,}",
            f"{row['free']:,}" if row["free"] else "",
            _grouped(row["quantity"]) if form.unit == "minute" else "",
            _grouped(row["average_price"], places["average_price"]),
            _grouped(row["charge"], places["charge"]),
        ]
        table.add_row(title + note, *(cells if used else [DASH] * len(cells)))
    table.add_section()
    for title, name in TOTALS.items():
        total = f"{_grouped(statement[name], 2)} {statement['currency']}"
        table.add_row(title, "", "", "", "", total, style="bold" if name == "total" else "")
    out.print(table)
    if waiting := statement["waiting"]["count"]:
        reasons = ", ".join(
            f"{one['count']:,} {one['reason'].replace('_', ' ')}"
            for one in statement["waiting"]["reasons"]
        )
        since = statement["waiting"]["since"]
        err.print(
            f"not in these totals: {waiting:,} parked since {since} ({reasons})", style="yellow"
        )


def _places(text: str | None) -> int:
    return max(2, len((text or "").partition(".")[2]))


def _grouped(text: str | None, places: int = 0) -> str:
    """An exact decimal with grouped digits and so many decimals: "1234.5" with 2 is "1,234.50"."""
    if text is None:
        return DASH
    whole, _, fraction = text.partition(".")
    fraction = fraction.ljust(places, "0")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{abs(int(whole)):,}{'.' * bool(fraction)}{fraction}"
