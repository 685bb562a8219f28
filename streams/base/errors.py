"""Errors as lines of a log."""

import re

_URL = re.compile(r"with url: .*?(?= \(Caused by|$)", re.DOTALL)


def first_line(error: BaseException) -> str:
    """An error in one short line, fit for a log: a URL could carry what a query asked for."""
    text = " ".join(_URL.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:200]}"
