"""The command `rater`. Exit status: 0 done, 1 failed, 2 wrong use or settings, 3 with rejects."""

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from rater import __version__
from rater.charge import charge_to_json
from rater.money import format_nanos
from rater.months import month_of, parse_month
from rater.numbers import is_region
from rater.reject import Reject
from rater.statement import FORMS, LineForm, part_title, statement_to_json
from rater.tariff import Book
from rater.tariff_file import TariffError, load_book, read_book
from streams.base.settings import SettingsError, load_settings
from streams.cli import operate, tokens
from streams.cli.console import (
    FAILED,
    WITH_REJECTS,
    WRONG_USE,
    Stop,
    Store,
    TariffFile,
    err,
    no_broker,
    open_store,
    out,
    progress,
    settings_for,
    store_of,
)
from streams.formats.registry import IMPORTERS

app = typer.Typer(
    name="rater",
    help="A streaming rating engine for phone and text usage: Kafka in, exact charges in "
    "ClickHouse. Settings are RATER_* variables; the README lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
tariff_app = typer.Typer(help="Look after the tariff book.", no_args_is_help=True)
topics_app = typer.Typer(help="Look after the Kafka topics.", no_args_is_help=True)
app.add_typer(tariff_app, name="tariff")
app.add_typer(topics_app, name="topics")
app.add_typer(tokens.app, name="token")
app.add_typer(operate.dlq_app, name="dlq")
app.add_typer(operate.parked_app, name="parked")
app.command()(operate.reconcile)

Files = Annotated[
    list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of events, a JSON a line.")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="; ".join(f"{name}: {entry.title}" for name, entry in IMPORTERS.items()) + ".",
    ),
]
Account = Annotated[
    str, typer.Option("--account", help="Whose usage it is, where a foreign record does not say.")
]
Region = Annotated[
    str,
    typer.Option(
        "--region", help="Of a foreign file's national numbers, such as US; else they are refused."
    ),
]
Zone = Annotated[
    str, typer.Option("--zone", help="Of a foreign file's instants without one: an IANA name.")
]
Month = Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="The month.")]


def main() -> None:
    """The entry point: broken machinery becomes one clear line and an exit status."""
    # What a command needs is imported when it runs: `rater --help` starts at once.
    import logging

    logging.getLogger().addHandler(logging.NullHandler())
    try:
        status = app(standalone_mode=False)
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
            err.print(f"{usage_error()}\nTry `rater --help`.", style="red", markup=False)
            sys.exit(WRONG_USE)
        raise
    sys.exit(status if isinstance(status, int) else 0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


# Offline


@app.command()
def rate(
    files: Files,
    format_: Format = "json",
    account: Account = "default",
    region: Region = "",
    zone: Zone = "UTC",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print rated rows as JSON lines; write nothing.")
    ] = False,
    store: Store = None,
    tariff: TariffFile = None,
) -> None:
    """Rate files of events offline. Rejects are printed with their line; then the status is 3."""
    from streams.operations.files import months_touched, rate_file

    _check_format(format_, region, zone)
    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    now = datetime.now(UTC)
    rejects = 0
    ledger = None
    if store is not None:
        ledger = open_store(settings, migrate=True)
    try:
        for path in files:
            with progress(path.name, path.stat().st_size) as advance:
                batch = rate_file(
                    path, format_, account, book, now, lambda done, _: advance(done),
                    region=region, zone=zone,
                )  # fmt: skip
            for row in batch.rejected:
                _say_reject(path, row.place.offset, row.reject)
            rejects += len(batch.rejected)
            for parked in batch.parked:
                err.print(
                    f"{path.name}:{parked.place.offset}: parked ({parked.parked.reason}): "
                    f"{parked.parked.message}",
                    style="yellow",
                    markup=False,
                )
            if as_json:
                for rated in batch.rated:
                    sys.stdout.buffer.write(
                        orjson.dumps(charge_to_json(rated.charge), option=orjson.OPT_APPEND_NEWLINE)
                    )
                sys.stdout.buffer.flush()
            if ledger is not None:
                from streams.maintenance.conflicts import resolve_written
                from streams.maintenance.recurring import make_months

                ledger.write(batch)
                resolve_written(ledger)
                make_months(ledger, book, list(months_touched(batch, book, now)), as_of=now)
            charged = sum(row.charge.cost.charge for row in batch.rated)
            tax = sum(
                row.charge.cost.tax_federal + row.charge.cost.tax_state + row.charge.cost.tax_local
                for row in batch.rated
            )
            (err if as_json else out).print(
                f"{path.name}: {sum(batch.events.values())} events in {len(batch.rated)} charges, "
                f"{format_nanos(charged)} {book.currency} and {format_nanos(tax)} tax; "
                f"{len(batch.states)} monthly states, {len(batch.parked)} parked, "
                f"{len(batch.rejected)} rejected",
                markup=False,
            )
    finally:
        if ledger is not None:
            ledger.close()
    if rejects:
        raise typer.Exit(WITH_REJECTS)


@tariff_app.command("check")
def tariff_check(
    file: Annotated[Path, typer.Argument(help="The tariff book (TOML).")],
) -> None:
    """Say every mistake of a tariff book at once, each with its file and line."""
    _, mistakes = read_book(file)
    for mistake in mistakes:
        style = "red" if mistake.fatal else "yellow"
        err.print(str(mistake), style=style, markup=False, soft_wrap=True)
    if mistakes:
        fatal = sum(mistake.fatal for mistake in mistakes)
        raise Stop(f"{len(mistakes)} mistakes, {fatal} of them keep the book from loading")
    out.print(f"{file}: no mistakes", markup=False)


# The ledger


@app.command()
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
    day = _month(month, book, account)
    with contextlib.closing(open_store(settings, migrate=False)) as ledger:
        statement = read_statement(ledger, book, account, day)
        if reason := why_no_statement(ledger, book, statement):
            raise Stop(reason)
        products = read_products(ledger, account, day)
    data = statement_to_json(statement) | {"products": products}
    if as_json:
        sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif as_csv:
        sys.stdout.write(statement_to_csv(data))
    else:
        _print_statement(data)


@app.command()
def monthly(
    month: Month = "",
    store: Store = None,
    tariff: TariffFile = None,
) -> None:
    """Make a month's lines of numbers, recordings and subscriptions. Twice changes nothing."""
    from streams.maintenance.recurring import make_months

    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    day = _month(month, book, "default")
    with contextlib.closing(open_store(settings, migrate=False)) as ledger:
        made, unpriced = make_months(
            ledger, book, [day], as_of=datetime.now(UTC), topic_prefix=settings.topic_prefix
        )
    out.print(f"{day:%Y-%m}: {made} monthly charges made, {len(unpriced)} things without a price")


@app.command()
def audit(
    month: Month = "",
    as_json: Annotated[bool, typer.Option("--json", help="Findings and figures as JSON.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out what the group has committed in Kafka.")
    ] = False,
    store: Store = None,
) -> None:
    """Check that every record has its outcome and the ledger agrees with itself; status 1 if not.

    Gaps in offsets, receipts against rows, conflicts, copies not yet merged, and committed offsets
    against receipts. Closing a month will require it clean.
    """
    from streams.kafka.clients import BrokerErrors, read_committed
    from streams.maintenance.audit import audit_ledger

    settings = settings_for(store=store)
    committed = None
    if not offline:
        try:
            committed = asyncio.run(read_committed(settings))
        except BrokerErrors as error:
            raise no_broker(settings, error) from error
    months = [parse_month_option(month)] if month else []
    with store_of(settings) as ledger:
        result = audit_ledger(
            ledger, months, topic_prefix=settings.topic_prefix, committed=committed
        )
    if as_json:
        data = {
            "findings": [finding._asdict() for finding in result.findings],
            "figures": result.figures,
        }
        sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        for name, figure in result.figures.items():
            out.print(f"{name.replace('_', ' ')}: {figure}", markup=False)
        for finding in result.findings:
            err.print(
                f"{finding.check}: {finding.where}: {finding.message}",
                style="red",
                markup=False,
                soft_wrap=True,
            )
        if not result.findings:
            out.print("clean: every record has its outcome")
    if result.findings:
        raise typer.Exit(FAILED)


@app.command()
def migrate(store: Store = None) -> None:
    """Bring the ledger's tables up to date; what is done already stays as it is."""
    with contextlib.closing(open_store(settings_for(store=store), migrate=True)) as ledger:
        applied = ledger.applied
    out.print("\n".join(f"applied {name}" for name in applied) or "nothing to do", markup=False)


# Kafka


@topics_app.command("create")
def topics_create() -> None:
    """Create the topics that do not exist yet, all with the same partition count."""
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.topics import PartitionCountError, create_topics

    settings = load_settings()
    try:
        created = asyncio.run(create_topics(settings))
    except PartitionCountError as error:
        raise Stop(str(error)) from error
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    out.print("\n".join(f"created {name}" for name in created) or "nothing to do", markup=False)


@app.command()
def send(
    files: Files,
    format_: Format = "json",
    account: Account = "default",
    region: Region = "",
    zone: Zone = "UTC",
) -> None:
    """Send files of events onto their topics. Rejects are named and not sent; status 3 if any."""
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.produce import send_all
    from streams.kafka.simulate import Simulated
    from streams.operations.files import read_lines

    _check_format(format_, region, zone)
    settings = load_settings()
    rejects = sent = 0
    for path in files:
        with progress(path.name, path.stat().st_size) as advance:

            def good(path: Path = path, advance: Any = advance) -> Iterator[Simulated]:
                nonlocal rejects
                done = 0
                for number, raw, value, event in read_lines(
                    path, format_, account, datetime.now(UTC), region=region, zone=zone
                ):
                    done += len(raw) + 1
                    advance(done)
                    if isinstance(event, Reject):
                        rejects += 1
                        _say_reject(path, number, event)
                    else:
                        yield Simulated(event.kind, event.account_id, value)

            try:
                sent += asyncio.run(send_all(settings, good()))
            except BrokerErrors as error:
                raise no_broker(settings, error) from error
    out.print(f"{sent} events sent, {rejects} rejected")
    if rejects:
        raise typer.Exit(WITH_REJECTS)


@app.command()
def simulate(
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second at the day's peak.")] = 20,
    steady: Annotated[bool, typer.Option("--steady", help="The same rate at every hour.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed makes the same traffic.")] = 1,
    accounts: Annotated[int, typer.Option(min=1, help="How many accounts.")] = 3,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 goes on.")] = 0,
) -> None:
    """Send realistic traffic to the broker until stopped: calls, texts, dials, AMD, recordings."""
    from streams.base.shutdown import stop_on_signals
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.produce import send_traffic
    from streams.kafka.simulate import Simulator

    settings = load_settings()

    async def run() -> int:
        stop = asyncio.Event()
        stop_on_signals(stop)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        with err.status("") as status:
            return await send_traffic(
                settings,
                Simulator(seed=seed, accounts=accounts),
                rate=rate,
                steady=steady,
                stop=stop,
                on_tick=lambda sent, now: status.update(f"{sent} events sent, {now:.1f} a second"),
            )

    try:
        sent = asyncio.run(run())
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    out.print(f"{sent} events sent")


# Services


@app.command()
def worker() -> None:
    """Rate events from Kafka into ClickHouse until stopped; SIGTERM drains."""
    from streams.runtime.services import run_worker

    _serve(run_worker(load_settings()))


@app.command()
def api() -> None:
    """Serve the usage page and the HTTP API on an existing ledger."""
    from streams.runtime.services import run_api

    _serve(run_api(load_settings()))


@app.command()
def demo(
    path: Annotated[Path, typer.Option("--path", help="Where its data lives.")] = Path(".rater"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the page.")] = 6066,
    rate: Annotated[float, typer.Option(min=0.01, help="Simulated events a second.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 goes on.")] = 0,
) -> None:
    """All in one: real Kafka as a child process, the engine, traffic and the live page."""
    from streams.runtime.demo import run_demo

    _serve(run_demo(path, port=port, rate=rate, seconds=seconds))


def _serve(service: Any) -> None:
    asyncio.run(_serve_and_leave(service))


async def _serve_and_leave(service: Any) -> None:
    from streams.runtime.services import ServiceError
    from streams.web.tokens import TokensError

    status = 0
    try:
        await service
    except (ServiceError, SettingsError, TokensError) as error:
        err.print(str(error), style="red", markup=False)
        status = FAILED
    except Exception:
        traceback.print_exc()
        status = FAILED
    # Leave at once: a thread that still waits for a store that does not answer would hold up the
    # exit, and nothing that was acknowledged depends on it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


# Shared


def _check_format(format_: str, region: str, zone: str) -> None:
    """Raises Stop where the format of a file, or what is told of it, is none that we know."""
    if format_ not in IMPORTERS:
        raise Stop(f"--format {format_!r} is none of {', '.join(IMPORTERS)}", WRONG_USE)
    if region and not is_region(region):
        raise Stop(f"--region {region!r} is no country's code of two letters: US", WRONG_USE)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Stop(f"--zone {zone!r} is no IANA time zone: America/New_York", WRONG_USE) from error


def _month(text: str, book: Book, account: str) -> date:
    if not text:
        from rater.instants import to_us

        now_us = to_us(datetime.now(UTC))
        return month_of(now_us, book.account(account, now_us).zone)
    return parse_month_option(text)


def parse_month_option(text: str) -> date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise Stop(f"--{error}", WRONG_USE) from error


def _say_reject(path: Path, number: int, reject: Reject) -> None:
    err.print(
        f"{path.name}:{number}: rejected ({reject.reason}): {reject.message}",
        style="red",
        markup=False,
        soft_wrap=True,
    )


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


DASH = "\N{EN DASH}"
TOTALS = {"Usage": "usage_total", "Products": "products_total", "Total": "total"}


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
