"""What every command shares: the two consoles, how a command ends, settings, store, progress."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment

from rater.months import month_of, parse_month
from streams.base.settings import Settings, load_settings

if TYPE_CHECKING:  # What a command needs is imported when it runs: `rater --help` starts at once.
    from rater.tariff import Book
    from streams.store.ledger import Ledger

FAILED, WRONG_USE, WITH_REJECTS = 1, 2, 3

# What a terminal obeys instead of showing it: control characters but tab and line feed, and what
# turns the direction of writing.
_OBEYED = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
}
del _OBEYED[ord("\t")], _OBEYED[ord("\n")]


class PlainConsole(Console):
    """A console that shows what it is given: no markup in it, and no escape of a terminal.

    What a command prints comes from events, files and servers that anyone may have written.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(
            stderr=stderr, highlight=not stderr, soft_wrap=True, emoji=False, markup=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(segment.text.translate(_OBEYED), segment.style)


out = PlainConsole()
err = PlainConsole(stderr=True)

Store = Annotated[
    Path | None, typer.Option("--store", help="An embedded ledger's folder, instead of the server.")
]
TariffFile = Annotated[
    Path | None, typer.Option("--tariff", help="The tariff book, instead of RATER_TARIFF.")
]


Month = Annotated[
    str,
    typer.Option("--month", metavar="YYYY-MM", help="The month.", show_default="this month"),
]


def example(command: str) -> str:
    """What a command's help ends with."""
    return f"Example: {command}"


class Stop(Exception):
    """Ends a command with a line on standard error and an exit status."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def settings_for(*, store: Path | None = None, tariff: Path | None = None) -> Settings:
    """Settings from the environment, and what the command's options put in their place."""
    overrides: dict[str, object] = {}
    if store is not None:
        overrides["clickhouse_url"] = f"chdb:{store}"
    if tariff is not None:
        overrides["tariff"] = tariff
    return load_settings(**overrides)


@contextlib.contextmanager
def store_of(settings: Settings, *, make: bool = False) -> "Iterator[Ledger]":
    """The ledger while a command uses it; what the store refuses ends the command.

    An embedded store is brought up to date as it is opened, as a worker does; what is no read says
    to `make` the store where there is none.
    """
    from streams.store.embedded import NoStoreError, StoreHeldError
    from streams.store.ledger import StoreErrors, open_ledger

    migrate = make or settings.clickhouse_url.startswith("chdb:")
    try:
        with contextlib.closing(open_ledger(settings, migrate=migrate, make=make)) as ledger:
            yield ledger
    except NoStoreError as error:
        raise Stop(str(error), WRONG_USE) from error
    except StoreHeldError as error:
        raise Stop(str(error)) from error
    except StoreErrors as error:
        raise no_store(settings, error) from error


def no_store(settings: Settings, error: BaseException) -> Stop:
    from streams.base.errors import in_words
    from streams.store.errors import is_unmade

    advice = "; run `rater migrate` first" if is_unmade(error) else ""
    return Stop(f"the store at {settings.clickhouse_url} can't be used: {in_words(error)}{advice}")


def no_broker(settings: Settings, error: BaseException) -> Stop:
    from streams.kafka.clients import trouble

    return Stop(asyncio.run(trouble(settings, error)))


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not err.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def month_or_this(text: str, book: "Book", account: str) -> date:
    """A month as an option says it; without one, the account's own now. Raises Stop."""
    if not text:
        from rater.instants import to_us

        now_us = to_us(datetime.now(UTC))
        return month_of(now_us, book.account(account, now_us).zone)
    return month_of_option(text)


def month_of_option(text: str) -> date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise Stop(f"--{error}", WRONG_USE) from error
