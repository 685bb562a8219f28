"""What a command prints is shown, never obeyed."""

import io

import pytest
from rich.table import Table

from streams.cli.console import PlainConsole

# what somebody wrote                          | as it is shown
ATTACKS = [
    ("\x1b]0;owned\x07",                          "\ufffd]0;owned"),
    ("\x1b[2J\x1b[31mred",                        "\ufffd[2J\ufffd[31mred"),
    ("\x9b31mred",                                "\ufffd31mred"),
    ("a\rb\x08c\x00\x7f",                        None),
    ("\u202egnp.exe",                             "\ufffdgnp.exe"),
    ("[red]x[/red]",                              "[red]x[/red]"),
    ("[link=http://evil.example]x[/link]",        "[link=http://evil.example]x[/link]"),
    (":warning:",                                 ":warning:"),
]  # fmt: skip
OBEYED = {chr(n) for n in (*range(32), *range(127, 160), 0x202E)} - {"\n", "\t"}


@pytest.mark.parametrize(("text", "shown"), ATTACKS)
def test_no_output_is_obeyed_by_a_terminal(text: str, shown: str | None) -> None:
    console = PlainConsole()
    console.file = io.StringIO()
    table = Table("id", title=text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    written = console.file.getvalue()
    assert OBEYED & set(written) == set()
    if shown is not None:
        assert written.splitlines()[0] == shown
