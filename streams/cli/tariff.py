"""The commands of the tariff book."""

from pathlib import Path
from typing import Annotated

import typer

from rater.tariff_file import load_book, read_book
from streams.cli.console import Stop, err, example, out

app = typer.Typer(help="Look after the tariff book.", no_args_is_help=True)


@app.command(epilog=example("rater tariff check my-prices.toml"))
def check(
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
