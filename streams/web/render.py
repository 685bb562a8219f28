"""Templates rendered once, for the page and for its live stream alike.

What can change in a page stands in leaves, each with an id: `{{ leaf("total", "$12.30") }}`. A
rendered view keeps them apart from the rest, so that a stream sends what differs from what its
reader has: the leaves alone, or the whole view where the rest differs too (a new row).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

MARK = "\0"  # never in HTML: what users told of is cleared of it
_LEAF = re.compile(f"{MARK}([^{MARK}]+){MARK}")


class View(NamedTuple):
    """A rendered part of a page: its HTML with a mark in place of each leaf, and the leaves."""

    skeleton: str
    leaves: Mapping[str, str]

    def html(self) -> Markup:
        return Markup(_LEAF.sub(lambda found: self.leaves[found[1]], self.skeleton))

    def changed_from(self, before: "View") -> dict[str, str] | None:
        """The leaves that differ from what a reader has; None where more than leaves does."""
        if before.skeleton != self.skeleton:
            return None
        had = before.leaves
        return {name: html for name, html in self.leaves.items() if had[name] != html}


def render(template: str, **values: Any) -> View:
    """A template with its values. Every text is escaped, and a name that is missing is an error."""
    leaves: dict[str, str] = {}

    def leaf(name: str, text: object, *, tag: str = "span", tick: bool = False) -> Markup:
        """A number or a sentence that can change. `tick`: it may draw the eye when it does."""
        leaves[name] = str(escape(_finalize(text)))
        ticks = Markup(' class="tick"') if tick else ""
        return Markup('<{0} id="{1}"{2}>{3}{1}{3}</{0}>').format(tag, name, ticks, MARK)

    return View(_TEMPLATES.get_template(template).render(leaf=leaf, **values), leaves)


def _finalize(value: object) -> object:
    return value if isinstance(value, Markup) else str(value).replace(MARK, "")


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_finalize,
)
