"""Templates rendered once, for the page and for its live stream alike.

What can change in a page stands in leaves, each with an id: `{{ leaf("total", "$12.30") }}`. A
rendered view keeps them apart from the rest, so that a stream sends what differs from what its
reader has: the leaves alone, or the whole view where the rest differs too (a new row).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

MARK = "\0"  # never in HTML: what users told of is cleared of it
_LEAF = re.compile(f"{MARK}([^{MARK}]+){MARK}")

T = TypeVar("T")


class View(NamedTuple):
    """A rendered part of a page: its HTML with a mark in place of each leaf, and the leaves.

    `parts` is what it was made of, so that the next one is made of what changed.
    """

    skeleton: str
    leaves: Mapping[str, str]
    parts: "Parts | None" = None

    def html(self) -> Markup:
        return Markup(_LEAF.sub(lambda found: self.leaves[found[1]], self.skeleton))

    def changed_from(self, before: "View") -> dict[str, str] | None:
        """The leaves that differ from what a reader has; None where more than leaves does."""
        if before.skeleton != self.skeleton:
            return None
        had = before.leaves
        return {name: html for name, html in self.leaves.items() if had.get(name) != html}


class Parts:
    """Parts of a view by name, each made anew only where what it is made of has changed."""

    def __init__(self, before: View | None) -> None:
        self._made: dict[str, tuple[tuple[object, ...], Any]] = {}
        if before is not None and before.parts is not None:
            self._made |= before.parts._made

    def make(self, name: str, make: Callable[..., T], *of: Any) -> T:
        """What `make` gives for `of`, or gave for the same the time before."""
        had = self._made.get(name)
        if had is not None and had[0] == of:
            made: T = had[1]
        else:
            made = make(*of)
            self._made[name] = of, made
        return made

    def view(self, template: str, leaves: Mapping[str, object], **shape: Any) -> View:
        """A template of the leaves' names, and of a shape without what changes by the second."""

        def skeleton(shape: Mapping[str, Any]) -> View:
            return render(template, **shape, leaves=defaultdict(str))

        made = self.make("skeleton", skeleton, shape)
        return View(made.skeleton, {name: leaf_text(leaves[name]) for name in made.leaves}, self)


def render(template: str, *, leaves: Mapping[str, object] | None = None, **values: Any) -> View:
    """A template with its values. Every text is escaped, and a name that is missing is an error.

    A leaf's text stands where the template names it, or in `leaves`.
    """
    told: dict[str, str] = {}
    given = {} if leaves is None else leaves

    def leaf(name: str, text: object = None, *, tag: str = "span", tick: bool = False) -> Markup:
        """A number or a sentence that can change. `tick`: it may draw the eye when it does."""
        told[name] = leaf_text(given[name] if text is None else text)
        quoted, ticks = escape(name), ' class="tick"' if tick else ""
        return Markup(f'<{tag} id="{quoted}"{ticks}>{MARK}{quoted}{MARK}</{tag}>')

    return View(_TEMPLATES.get_template(template).render(leaf=leaf, **values), told)


def leaf_text(text: object) -> Markup:
    """What stands in a leaf, as HTML."""
    return text if type(text) is Markup else escape(_finalize(text))


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
