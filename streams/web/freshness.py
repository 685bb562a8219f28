"""How fresh a page is: live, behind, without a worker since when, or of a month that is over."""

from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup

from rater.charge import format_us
from rater.instants import to_us
from rater.months import month_bounds_us
from streams.store.progress import Progress

BEHIND_AFTER_S = 5.0
STOPPED_AFTER_S = 15.0


class Told(NamedTuple):
    """The state as a page says it. `state` is live, behind, stopped, none or over."""

    state: str
    title: str
    as_of: str
    pace: str

    def leaves(self) -> dict[str, str]:
        badge = Markup('<span data-state="{}">{}</span>').format(self.state, self.title)
        return {"state": badge, "as-of": self.as_of, "pace": self.pace}


def state_of(progress: Progress | None, month: date, zone: str, now: datetime) -> dict[str, object]:
    """What the API says beside a statement; `behind_s` and `since` where they say something."""
    _, end_us = month_bounds_us(month, ZoneInfo(zone))
    if to_us(now) >= end_us:
        return {"state": "over"}
    if progress is None:
        return {"state": "none"}
    if (now - progress.told_at).total_seconds() > STOPPED_AFTER_S:
        return {"state": "stopped", "since": format_us(to_us(progress.told_at))}
    behind_s = (now - progress.as_of).total_seconds()
    if behind_s > BEHIND_AFTER_S:
        return {"state": "behind", "behind_s": int(behind_s)}
    return {"state": "live"}


def told_of(statement: dict[str, object], pace: str) -> Told:
    """The state of a statement in words, with the day and zone of its as-of."""
    zone = str(statement["zone"])
    live = statement["freshness"]
    assert isinstance(live, dict)
    state = str(live["state"])
    as_of = datetime.fromisoformat(str(statement["as_of"]))
    words = f"As of {instant_text(as_of, zone)}"
    if state == "over":
        return Told(state, "Month is over", "Late usage still counts until it is closed", pace)
    if state == "none":
        return Told(state, "No worker has run here", words, pace)
    if state == "stopped":
        since = datetime.fromisoformat(str(live["since"]))
        return Told(state, f"No worker since {instant_text(since, zone)}", words, pace)
    if state == "behind":
        return Told(state, f"{span_text(int(live['behind_s']))} behind", words, pace)
    return Told(state, "Live", words, pace)


def instant_text(at: datetime, zone: str) -> str:
    """ "28 November 2026, 14:03:07 EST"; the zone by its name where it has no short one."""
    local = at.astimezone(UTC).astimezone(ZoneInfo(zone))
    short = local.tzname() or zone
    return f"{local.day} {local:%B %Y, %H:%M:%S} {short if short.isalpha() else zone}"


def span_text(seconds: int) -> str:
    """ "12 s", "4 min", "3 h"."""
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
