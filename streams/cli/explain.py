"""The command `rater explain`: why one event costs what it does."""

import sys
from typing import Annotated, Any

import orjson
import typer

from streams.cli.console import Stop, Store, out, settings_for, store_of


def explain(
    account: Annotated[str, typer.Argument(help="The account's id.")],
    event: Annotated[str, typer.Argument(help="The event's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="All facts of it as JSON.")] = False,
    store: Store = None,
) -> None:
    """Say why an event costs what it does, or why it has no price.

    Status 1 where the account has no such event.
    """
    from streams.operations.explain import explain_event, why_unknown

    with store_of(settings_for(store=store)) as ledger:
        explained = explain_event(ledger, account, event)
    if explained is None:
        raise Stop(why_unknown(event))
    if as_json:
        sys.stdout.write(orjson.dumps(explained, option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    for row in explained["rows"]:
        _print(row["line"].replace("_", " "), [row["sentence"], *row["taxes"]], row)
    for one in explained["outcomes"]:
        _print(one["outcome"], [one["sentence"]], one)


def _print(title: str, said: list[str], row: dict[str, Any]) -> None:
    out.print(title, style="bold")
    for line in said:
        out.print(f"  {line}")
    out.print(f"  {row['topic']}, partition {row['partition']}, offset {row['offset']}")
