"""The command `rater`. Exit status: 0 done, 1 failed, 2 wrong use or settings, 3 with rejects."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from rater import __version__
from rater.tariff_file import TariffError
from streams.base.settings import SettingsError, unknown_settings
from streams.cli import (
    explain,
    files,
    operate,
    privacy,
    services,
    statement,
    tariff,
    tokens,
    upkeep,
)
from streams.cli.console import WRONG_USE, Stop, err, example, out

app = typer.Typer(
    name="rater",
    help="A streaming rating engine for phone and text usage: Kafka in, exact charges in "
    "ClickHouse. Settings are RATER_* variables; the README lists them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs of a docstring are filled again
)


class Entry(NamedTuple):
    """A command or a group of commands, under the heading where the help shows it."""

    heading: str
    name: str
    does: Callable[..., None] | typer.Typer
    example: str


FILES, RUN, READ, CARE = "Files of events", "Run", "Read the ledger", "Set up and look after"
ENTRIES = (
    Entry(RUN, "demo", services.demo, "rater demo --history 90d"),
    Entry(RUN, "worker", services.worker, "RATER_TARIFF=my-prices.toml rater worker"),
    Entry(RUN, "api", services.api, "RATER_OPS_PORT=6068 rater api"),
    Entry(RUN, "simulate", services.simulate, "rater simulate --rate 50 --seconds 60"),
    Entry(FILES, "rate", files.rate, "rater rate my-calls.jsonl --tariff my-prices.toml"),
    Entry(FILES, "send", files.send, "rater send my-calls.jsonl"),
    Entry(READ, "usage", statement.usage, "rater usage acme --month 2026-11 --csv"),
    Entry(READ, "explain", explain.explain, "rater explain acme call-1"),
    Entry(READ, "audit", upkeep.audit, "rater audit --month 2026-11"),
    Entry(READ, "reconcile", operate.reconcile, "rater reconcile --from-kafka --since 2026-11-23"),
    Entry(READ, "dlq", operate.dlq_app, "rater dlq list --reason bad_json"),
    Entry(READ, "parked", operate.parked_app, "rater parked list"),
    Entry(CARE, "tariff", tariff.app, "rater tariff check my-prices.toml"),
    Entry(CARE, "migrate", upkeep.migrate, "rater migrate"),
    Entry(CARE, "topics", upkeep.topics_app, "rater topics create"),
    Entry(CARE, "token", tokens.app, "rater token create acme-page --account acme"),
    Entry(CARE, "monthly", upkeep.monthly, "rater monthly --month 2026-11"),
    Entry(CARE, "forget", privacy.forget, "rater forget --dry-run"),
    Entry(CARE, "erase", privacy.erase, "rater erase acme"),
)
for _entry in ENTRIES:
    _shown: dict[str, Any] = {"rich_help_panel": _entry.heading, "epilog": example(_entry.example)}
    if isinstance(_entry.does, typer.Typer):
        app.add_typer(_entry.does, name=_entry.name, **_shown)
    else:
        app.command(_entry.name, **_shown)(_entry.does)


def main() -> None:
    """The entry point: broken machinery becomes one clear line and an exit status."""
    # What a command needs is imported when it runs: `rater --help` starts at once.
    import logging

    logging.getLogger().addHandler(logging.NullHandler())
    try:
        status = app(standalone_mode=False, prog_name="rater")
    except Stop as stop:
        err.print(str(stop), style="red", markup=False)
        sys.exit(stop.status)
    except (SettingsError, TariffError) as error:
        err.print(str(error), style="red", markup=False)
        sys.exit(WRONG_USE)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        usage_error = getattr(error, "format_message", None)
        if usage_error is not None:
            if said := usage_error():  # nothing where the help was shown instead
                err.print(f"{said}\nTry `rater --help`.", style="red", markup=False)
            sys.exit(WRONG_USE)
        raise
    sys.exit(status if isinstance(status, int) else 0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    for warning in unknown_settings(os.environ):
        err.print(warning, style="yellow")
    if version:
        out.print(__version__)
        raise typer.Exit
