"""Errors as lines: of a log, and of what a person reads."""

import os
import re

_URL = re.compile(r"with url: .*?(?= \(Caused by|$)", re.DOTALL)
# Names of classes, where the libraries' messages have them, and what only they can read.
_CLASSES = re.compile(r"\b[\w.:]*(?:Error|Exception|Driver)\b:?|<[^<>]*>| from \[[^\]]*\]")
# A Kafka client's "[Error 30] GroupAuthorizationFailedError: of what": the name is what happened.
_NUMBERED = re.compile(r"\[Error \d+\] (\w+?)(?:Error)?: ?")
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
    named = _NUMBERED.sub(lambda found: f"{_spaced(found[1])}: ", str(error))
    text = " ".join(_CLASSES.sub("", _URL.sub("", named)).split())
    # "TopicAuthorizationFailedError" says in its name what its text may not.
    return text[:_LINE_MAX].lstrip(" :,.") or _spaced(type(error).__name__.removesuffix("Error"))


def _spaced(name: str) -> str:
    """A class's name as words: "GroupAuthorizationFailed" is "group authorization failed"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _causes(error: BaseException) -> list[BaseException]:
    """An error, and what it was raised for."""
    causes = [error]
    while (before := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(before)
    return causes
