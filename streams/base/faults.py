"""Fault points: places where a test ends or freezes this very process, and nothing otherwise.

`RATER_FAULT=in_insert:3` kills the process without a word (SIGKILL) the third time it comes there;
`in_insert:3:stop` freezes it (SIGSTOP) until someone wakes it. Unset, a point is a comparison of a
name that is never equal, a few times a batch.
"""

import os
import signal

POINTS = ("before_insert", "in_insert", "after_insert", "after_ack", "in_commit", "after_commit")
PATTERN = rf"^(({'|'.join(POINTS)}):[1-9][0-9]{{0,5}}(:stop)?)?$"

_armed = ""
_left = 0
_signal = signal.SIGKILL


def arm(fault: str) -> None:
    """Arms one point, as the setting names it; an empty text disarms."""
    global _armed, _left, _signal
    _armed, _, rest = fault.partition(":")
    times, _, stop = rest.partition(":")
    _left = int(times or 0)
    _signal = signal.SIGSTOP if stop else signal.SIGKILL


def reach(point: str) -> None:
    """Marks a point; the process ends or freezes here when it is armed and its turn has come."""
    global _left
    if point == _armed:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), _signal)
