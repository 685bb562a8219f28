"""Logs: ours by structlog, the libraries' by their words alone.

A library may put anything into its words: a URL with the account in it, a key, a record.
So its values are left out unless they are figures or kinds of errors; ours are chosen where we log.
"""

import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from types import TracebackType

import structlog

from streams.base.settings import Settings

OURS = "streams."
# Of a library's lines of one template in a minute.
LINES_MAX = 10
WINDOW_S = 60.0
TEMPLATES_MAX = 200

log = structlog.get_logger()


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


class Sparing(logging.Filter):
    """Lets LINES_MAX of a library's lines of one template through in WINDOW_S, and then says how
    many it left out: a broker that is gone makes a megabyte of them a second.

    What it knows is bounded: beyond TEMPLATES_MAX all others are as one.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._began_s = now_s()
        self._seen: Counter[tuple[str, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(OURS):
            return True
        now_s = self._now_s()
        left_out = 0
        if now_s - self._began_s >= WINDOW_S:
            left_out = sum(max(0, count - LINES_MAX) for count in self._seen.values())
            self._began_s = now_s
            self._seen.clear()
        name = (record.name, str(record.msg))
        if name not in self._seen and len(self._seen) >= TEMPLATES_MAX:
            name = ("", "")
        self._seen[name] += 1
        if left_out:
            log.warning("lines_left_out", lines=left_out, seconds=round(WINDOW_S))
        return self._seen[name] <= LINES_MAX


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
    handler.addFilter(Sparing())
    handler.setFormatter(WordsOnly("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(force=True, level=max(level, logging.WARNING), handlers=[handler])
