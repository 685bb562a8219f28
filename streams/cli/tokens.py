"""The commands for tokens: made, listed, revoked in the file of RATER_API_TOKENS_FILE."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from streams.base.settings import load_settings
from streams.cli.console import WRONG_USE, Stop, err, example, out

app = typer.Typer(help="Who may read which account on the page and the API.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What it is called, to revoke it by.")]


@app.command(epilog=example("rater token create acme-page --account acme"))
def create(
    name: Name,
    account: Annotated[str, typer.Option("--account", help='The account it opens; "*" for all.')],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do: read, manage or operate; read by default."),
    ] = None,
) -> None:
    """Make a token and show it once: the file keeps its hash alone."""
    from streams.web.tokens import READ, TokensError, create_token

    try:
        token = create_token(_file(), name, account, scopes or (READ,))
    except TokensError as error:
        raise Stop(str(error)) from error
    err.print("the token, shown this once:", markup=False)
    out.print(token, markup=False, highlight=False)


@app.command(epilog=example("rater token kiosk wall --account acme --days 30"))
def kiosk(
    name: Name,
    account: Annotated[str, typer.Option("--account", help="The account that it shows.")],
    days: Annotated[
        int, typer.Option("--days", min=1, max=366, help="How many days it opens.")
    ] = 30,
) -> None:
    """Make the address of a display: one account's Overview, live, and nothing else."""
    from streams.web.tokens import KIOSK, TokensError, create_token

    expires = datetime.now(UTC) + timedelta(days=days)
    try:
        token = create_token(_file(), name, account, (KIOSK,), expires=expires)
    except TokensError as error:
        raise Stop(str(error)) from error
    err.print("the display's address, below that of the page; shown this once:", markup=False)
    out.print(f"/kiosk/{token}", markup=False, highlight=False)


@app.command("list", epilog=example("rater token list"))
def list_() -> None:
    """Show the names of the tokens and what each opens."""
    from streams.web.tokens import TokensError, load_tokens

    try:
        for known in load_tokens(_file()):
            out.print(f"{known.name}  {known.account}  {', '.join(known.scopes)}", highlight=False)
    except TokensError as error:
        raise Stop(str(error)) from error


@app.command(epilog=example("rater token revoke acme-page"))
def revoke(name: Name) -> None:
    """Take a token away; it and its sessions open nothing from now on."""
    from streams.web.tokens import TokensError, revoke_token

    try:
        revoke_token(_file(), name)
    except TokensError as error:
        raise Stop(str(error)) from error
    out.print(f"{name} is revoked", markup=False, highlight=False)


def _file() -> Path:
    path = load_settings().api_tokens_file
    if path is None:
        raise Stop("RATER_API_TOKENS_FILE says which file, and is not set", WRONG_USE)
    return path
