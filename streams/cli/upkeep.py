"""The commands that keep a ledger and its topics in order."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated, Literal

import orjson
import typer

from rater.tariff_file import load_book
from streams.base.settings import load_settings
from streams.cli.console import (
    FAILED,
    Month,
    Stop,
    Store,
    TariffFile,
    err,
    example,
    month_of_option,
    month_or_this,
    no_broker,
    out,
    settings_for,
    store_of,
)

topics_app = typer.Typer(help="Look after the Kafka topics.", no_args_is_help=True)


def monthly(
    month: Month = "",
    store: Store = None,
    tariff: TariffFile = None,
) -> None:
    """Make a month's lines of numbers, recordings and subscriptions. Twice changes nothing."""
    from streams.maintenance.recurring import make_months

    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    day = month_or_this(month, book, "default")
    with store_of(settings) as ledger:
        made, unpriced, _ = make_months(
            ledger, book, [day], as_of=datetime.now(UTC), topic_prefix=settings.topic_prefix
        )
    out.print(f"{day:%Y-%m}: {made} monthly charges made, {len(unpriced)} things without a price")


def audit(
    month: Annotated[
        str,
        typer.Option(
            "--month", metavar="YYYY-MM", help="Only this one.", show_default="every month"
        ),
    ] = "",
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
    months = [month_of_option(month)] if month else []
    with store_of(settings) as ledger:
        committed = None
        if not offline:
            try:
                committed = asyncio.run(read_committed(settings))
            except BrokerErrors as error:
                raise no_broker(settings, error) from error
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


def migrate(store: Store = None) -> None:
    """Bring the ledger's tables up to date; what is done already stays as it is."""
    with store_of(settings_for(store=store), make=True) as ledger:
        applied = ledger.applied
    out.print("\n".join(f"applied {name}" for name in applied) or "nothing to do", markup=False)


@topics_app.command(epilog=example("rater topics create"))
def create() -> None:
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


@topics_app.command(epilog=example("rater topics grant rater-worker --job worker"))
def grant(
    user: Annotated[str, typer.Argument(help="The Kafka user, as it logs in.")],
    job: Annotated[
        Literal["worker", "producer"], typer.Option("--job", help="What the user is for.")
    ],
) -> None:
    """Give a Kafka user what its job needs, on a broker with access lists (ACLs); nothing more.

    Asked as a user who may give rights. Idempotent.
    """
    from streams.kafka import rights
    from streams.kafka.clients import BrokerErrors

    settings = load_settings()
    try:
        given = asyncio.run(rights.grant(settings, user, job))
    except BrokerErrors as error:
        raise no_broker(settings, error) from error
    for right in given:
        out.print(f"{right.to.name.lower()} {right.of.name.lower()} {right.name}", highlight=False)
