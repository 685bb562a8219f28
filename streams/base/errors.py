"""Errors as lines: of a log, and of what a person reads."""

import os
import re

_URL = re.compile(r"with url: .*?(?= \(Caused by|$)", re.DOTALL)
# Names of classes, where the libraries' messages have them, and what only they can read.
_CLASSES = re.compile(r"\b[\w.:]*(?:Error|Exception|Driver)\b:?|<[^<>]*>| from \[[^\]]*\]")
_LINE_MAX = 200


def first_line(error: BaseException) -> str:
    """An error in one short line, fit for a log: a URL could carry what a query asked for."""
    text = " ".join(_URL.sub("", str(error)).split())
    return f"{type(error).__name__}: {text[:_LINE_MAX]}"


def in_words(error: BaseException) -> str:
    """An error in one short line for a person, without names of classes.

    "connection refused" of whatever a client wraps that in; "no such file or directory: FILE".
    """
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno:
            file = f": {cause.filename}" if cause.filename else ""
            return os.strerror(cause.errno).lower() + file
    text = " ".join(_CLASSES.sub("", _URL.sub("", str(error))).split())
    # "TopicAuthorizationFailedError" says in its name what its text may not.
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    return text[:_LINE_MAX].lstrip(" :,.") or name


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and what it was raised for."""
    causes = [error]
    while (before := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(before)
    return causes
