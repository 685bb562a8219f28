"""The command `rater`. Exit status: 0 done, 1 failed, 2 wrong use or settings, 3 with rejects."""

import asyncio
import contextlib
import os
import re
import sys
import traceback
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from rater import __version__
from rater.months import month_of, parse_month
from rater.statement import FORMS, LineForm, part_title, statement_to_json
from rater.tariff import Book
from rater.tariff_file import TariffError, load_book, read_book
from streams.base.settings import SettingsError, load_settings
from streams.cli import explain, files, operate, tokens
from streams.cli.console import (
    FAILED,
    WRONG_USE,
    Stop,
    Store,
    TariffFile,
    err,
    no_broker,
    open_store,
    out,
    settings_for,
    store_of,
)

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
app.command()(files.rate)
app.command()(files.send)
app.command()(operate.reconcile)
app.command()(explain.explain)

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


@tariff_app.command("check")
def tariff_check(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The tariff book (TOML).")
    ],
    against: Annotated[
        Path | None,
        typer.Option("--against", exists=True, dir_okay=False, help="The book in force until now."),
    ] = None,
) -> None:
    """Say every mistake of a tariff book at once, each with its file and line; then status 1.

    A warning, such as a line that has no price, is no mistake. Against the book in force, also
    which versions have other prices under the name they had.
    """
    book, mistakes = read_book(file)
    for mistake in sorted(mistakes, key=lambda one: not one.fatal):
        style = "red" if mistake.fatal else "yellow"
        warning = "" if mistake.fatal else "warning: "
        err.print(f"{warning}{mistake}", style=style, markup=False, soft_wrap=True)
    fatal = sum(mistake.fatal for mistake in mistakes)
    if fatal:
        raise Stop(f"{fatal} mistakes keep the book from loading")
    warnings = f", {len(mistakes)} warnings" if mistakes else ""
    out.print(f"{file}: no mistakes{warnings}", markup=False, soft_wrap=True)
    if against is not None and book is not None:
        for version in book.edited_since(load_book(against)):
            err.print(
                f"{version} has other prices than in {against.name}: one version would have two "
                "prices; change prices by a new [[tariff]] with its valid_from",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )


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
        made, unpriced, _ = make_months(
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
    from streams.kafka.topics import TopicsError, create_topics

    settings = load_settings()
    try:
        created = asyncio.run(create_topics(settings))
    except TopicsError as error:
        raise Stop(str(error)) from error
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    out.print("\n".join(f"created {name}" for name in created) or "nothing to do", markup=False)


@topics_app.command("grant")
def topics_grant(
    user: Annotated[str, typer.Argument(help="The Kafka user, as it logs in.")],
    job: Annotated[
        Literal["worker", "producer"], typer.Option("--job", help="What the user is for.")
    ],
) -> None:
    """Give a Kafka user what its job needs, on a broker with access lists (ACLs); nothing more.

    Asked as a user who may give rights. Idempotent.
    """
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.rights import grant

    settings = load_settings()
    try:
        rights = asyncio.run(grant(settings, user, job))
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    for right in rights:
        out.print(f"{right.to.name.lower()} {right.of.name.lower()} {right.name}", highlight=False)


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
    kafka_port: Annotated[int, typer.Option(min=0, max=65_535, help="Of its Kafka.")] = 9092,
    store_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of its store, as ClickHouse's HTTP.")
    ] = 8123,
    rate: Annotated[float, typer.Option(min=0.01, help="Simulated events a second.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 goes on.")] = 0,
    history: Annotated[
        str, typer.Option("--history", metavar="DAYS", help="Begin with so many days: 90d.")
    ] = "",
) -> None:
    """All in one: real Kafka as a child process, the engine, traffic and the live page.

    Other commands use its Kafka and its store meanwhile: it says how. A port 0 is any free one.
    """
    from streams.runtime.demo import Ports, run_demo

    days = _days("--history", history)
    ports = Ports(port, kafka_port, store_port)
    _serve(run_demo(path, ports, rate=rate, seconds=seconds, history_days=days))


def _days(option: str, text: str) -> int:
    """Days written as 90d; no text is none."""
    from streams.kafka.history import DAYS_MAX

    if not text:
        return 0
    days = int(text[:-1]) if re.fullmatch(r"[0-9]{1,4}d", text) else 0
    if not 1 <= days <= DAYS_MAX:
        raise Stop(f"{option} {text!r} is no number of days: 90d, at most {DAYS_MAX}d", WRONG_USE)
    return days


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
