"""What a part of the benchmarks found: a table for the terminal and for docs/benchmarks.md."""

from collections.abc import Sequence
from typing import NamedTuple

import rich.table


class Table(NamedTuple):
    """Rows of text under headings. The first column is words, the others are figures."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def to_rich(self) -> rich.table.Table:
        table = rich.table.Table(title=self.title, caption=self.note or None)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        note = f"\n{self.note}\n" if self.note else ""
        return f"## {self.title}\n\n{table}\n{note}"
