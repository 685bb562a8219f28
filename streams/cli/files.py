"""The commands that take files of events: rated without Kafka, or sent to their topics."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import typer
from rich.console import Console

from rater.charge import charge_to_json
from rater.money import format_nanos
from rater.numbers import is_region
from rater.reject import Reject
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import load_settings
from streams.base.words import unknown_field
from streams.cli.console import (
    WITH_REJECTS,
    WRONG_USE,
    Stop,
    Store,
    TariffFile,
    err,
    no_broker,
    out,
    progress,
    settings_for,
    store_of,
)
from streams.formats.registry import IMPORTERS

if TYPE_CHECKING:
    from streams.rows.batch import Batch, RatedRow
    from streams.store.ledger import Ledger

SAID_MOST = 20  # of one reason

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
    """Rate files of events offline. Rejects are printed with their line; then the status is 3.

    An event that is sent twice, or with another content, is charged once, as in the ledger.
    """
    from streams.operations.files import rate_file
    from streams.rows.identity import charged_rows

    _check_format(format_, region, zone)
    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    now = datetime.now(UTC)
    rejects = 0
    rated: list[RatedRow] = []
    with store_of(settings, make=True) if store is not None else nullcontext() as ledger:
        for nth, path in enumerate(files):
            with progress(path.name, path.stat().st_size) as advance:
                read_at = now + timedelta(milliseconds=nth)  # what is in two files is of the first
                batch = rate_file(
                    path, format_, account, book, read_at, lambda done, _: advance(done),
                    region=region, zone=zone,
                )  # fmt: skip
            _say_outcomes(path, batch)
            rejects += len(batch.rejected)
            rows = charged_rows(batch.rated)
            rated += rows
            if ledger is not None:
                _write_file(ledger, batch, book, now)
            say = f"{path.name}: {sum(batch.events.values())} events in "
            _say_sums(say, rows, book, ledger, to=err if as_json else out, and_more=(
                f"; {len(batch.states)} monthly states, {len(batch.parked)} parked, "
                f"{len(batch.rejected)} rejected"
            ))  # fmt: skip
        together = charged_rows(rated)
        if as_json:
            _print_rows(together)
        if len(files) > 1:
            say = f"{len(files)} files together: "
            _say_sums(say, together, book, ledger, to=err if as_json else out)
    if rejects:
        raise typer.Exit(WITH_REJECTS)


def _say_outcomes(path: Path, batch: "Batch") -> None:
    """What is no event and what waits, by line; of one reason SAID_MOST, and how many more."""
    rejected = Counter[str]()
    for row in batch.rejected:
        rejected[row.reject.reason] += 1
        if rejected[row.reject.reason] <= SAID_MOST:
            _say_reject(path, row.place.offset, row.reject)
    parked = Counter[str]()
    for waiting in batch.parked:
        reason = waiting.parked.reason
        parked[reason] += 1
        if parked[reason] <= SAID_MOST:
            err.print(
                f"{path.name}:{waiting.place.offset}: parked ({reason}): {waiting.parked.message}",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    for kind, unknown in batch.unknown.items():
        for name in sorted(unknown.names)[:SAID_MOST]:
            err.print(f"{path.name}: {unknown_field(kind, name)}", style="yellow")
    for outcome, counts, style in (("rejected", rejected, "red"), ("parked", parked, "yellow")):
        for why, count in counts.items():
            if count > SAID_MOST:
                err.print(f"{path.name}: {count - SAID_MOST} more {outcome} ({why})", style=style)


def _print_rows(rows: "Sequence[RatedRow]") -> None:
    for row in rows:
        sys.stdout.buffer.write(
            orjson.dumps(charge_to_json(row.charge), option=orjson.OPT_APPEND_NEWLINE)
        )
    sys.stdout.buffer.flush()


def _write_file(ledger: "Ledger", batch: "Batch", book: Book, now: datetime) -> None:
    from streams.maintenance.conflicts import resolve_written
    from streams.maintenance.recurring import make_months
    from streams.operations.files import months_touched

    ledger.write(batch)
    resolve_written(ledger)
    make_months(ledger, book, list(months_touched(batch, book, now)), as_of=now)


def _say_sums(
    say: str,
    rows: "Sequence[RatedRow]",
    book: Book,
    ledger: "Ledger | None",
    *,
    to: Console,
    and_more: str = "",
) -> None:
    """What rows come to: as the ledger has them where there is one, for what it had stands."""
    from streams.store.standing import Charged, key_of, read_charged

    now = {key_of(row): Charged(row.charge.cost.charge, row.charge.cost.tax()) for row in rows}
    charged = now if ledger is None else read_charged(ledger, list(now))
    to.print(
        f"{say}{len(charged)} charges, {format_nanos(sum(one.charge for one in charged.values()))} "
        f"{book.currency} and {format_nanos(sum(one.tax for one in charged.values()))} tax"
        f"{'' if ledger is None else ', as the ledger has them'}{and_more}",
        markup=False,
        soft_wrap=True,
    )
    if others := sum(charged.get(key) != cost for key, cost in now.items()):
        err.print(
            f"{others} of {len(now)} charges were in the ledger already, at another price or from "
            "another record: what was there first stands",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


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


def _say_reject(path: Path, number: int, reject: Reject) -> None:
    err.print(
        f"{path.name}:{number}: rejected ({reject.reason}): {reject.message}",
        style="red",
        markup=False,
        soft_wrap=True,
    )
