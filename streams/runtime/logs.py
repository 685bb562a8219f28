"""Logs: ours by structlog, the libraries' by their words alone.

A library may put anything into its words: a URL with the account in it, a key, a record.
So its values are left out unless they are figures or kinds of errors; ours are chosen where we log.
"""

import logging
import os
import sys
import traceback
from types import TracebackType

import structlog

from streams.base.settings import Settings

OURS = "streams."


class WordsOnly(logging.Formatter):
    """A library's line with its figures, and where an error was raised, without any other value."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        if not record.name.startswith(OURS) and record.args:
            record.message = _words(str(record.msg), record.args)
        return super().formatMessage(record)

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """The way to an error and its kind; its message may repeat what it was raised for."""
        kind, _, way = ei
        name = kind.__name__ if kind else "no error"
        return "".join(traceback.format_tb(way)) + name


def _words(template: str, values: object) -> str:
    given = values if isinstance(values, tuple) else (values,)
    try:
        return template % tuple(_shown(value) for value in given)
    except (TypeError, ValueError):
        return template


def _shown(value: object) -> object:
    if isinstance(value, int | float):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else "..."


def configure_logs(settings: Settings, level: int = logging.INFO) -> None:
    """Our logs as lines for people or as JSON; the libraries' from warnings up."""
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        in_colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=20, colors=in_colors)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    # Its warnings repeat, with whole URLs, what we say in a line of our own.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    # Tells as errors what it waits for, such as a new broker's coordinator.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    handler = logging.StreamHandler()
    handler.setFormatter(WordsOnly("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(force=True, level=max(level, logging.WARNING), handlers=[handler])
