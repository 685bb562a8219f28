"""Whole pages: a view in its frame, signing in, one message for what went wrong."""

from pathlib import Path

from markupsafe import Markup

from streams.web.frame import Frame
from streams.web.render import View, render

STATIC = Path(__file__).parent / "static"


def page(title: str, view: View, frame: Frame, live: str = "", *, alone: bool = False) -> str:
    """A view as a page. `live` is the address of its stream, where it has one; `alone` is without
    a bar of links.
    """
    return str(
        render(
            "base.html",
            title=f"{frame.account}: {title}",
            content=view.html(),
            frame=frame,
            live=live,
            alone=alone,
        ).html()
    )


def login_page(target: str, problem: str = "") -> str:
    """The form that takes a token and begins a session. `target` is where it leads."""
    return _bare("Sign in", render("login.html", target=target, problem=problem))


def message_page(text: str) -> str:
    """One message, for what went wrong."""
    return _bare("Not shown", render("message.html", text=f"{text[:1].upper()}{text[1:]}."))


def bare(title: str, view: View) -> str:
    """A view of no account."""
    return str(render("ops_base.html", title=title, content=view.html(), home="/accounts").html())


def _bare(title: str, view: View) -> str:
    content: Markup = view.html()
    return str(
        render("base.html", title=title, content=content, frame=None, live="", alone=True).html()
    )
