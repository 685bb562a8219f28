"""The page of operators: tiles, partitions, dead letters by reason, what waits by missing price."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from rater.words import DASH, counted
from streams.operations.letters import show_bytes
from streams.store.letters import Content, Letter
from streams.store.operators import (
    LetterGroup,
    LetterPlace,
    Pace,
    Partition,
    WaitingGroup,
)
from streams.web.freshness import STOPPED_AFTER_S, span_text
from streams.web.numbers import shown_rate
from streams.web.render import render

UTC_TEXT = "%Y-%m-%d %H:%M:%S"


class Overall(NamedTuple):
    """What the tiles are made of."""

    pace: Pace
    partitions: Sequence[Partition]
    letters: Sequence[LetterGroup]
    waiting: Sequence[WaitingGroup]
    waiting_count: int
    audited_at: datetime | None


class Tile(NamedTuple):
    title: str
    figure: str
    note: str
    is_ill: bool = False


def ops_page(found: Overall, now: datetime) -> str:
    return _page(
        "Operators",
        "ops.html",
        tiles=_tiles(found, now),
        partitions=[
            (str(one.partition), ago(one.as_of, now), ago(one.told_at, now))
            for one in found.partitions
        ],
        letters=[
            (one.reason, f"{one.letters:,}", f"{one.of_today:,}", at(one.since), one.message)
            for one in found.letters
        ],
        waiting=[
            (one.message or one.reason, f"{one.events:,}", at(one.since)) for one in found.waiting
        ],
        now=at(now),
    )


def letters_page(reason: str, places: Sequence[LetterPlace]) -> str:
    rows = [
        (
            "/ops/letter?" + urlencode(one._asdict() | {"message": "", "logged_at": ""}),
            f"{one.topic} {one.partition} {one.offset}",
            at(one.logged_at),
            one.message,
        )
        for one in places
    ]
    return _page("Dead letters", "ops_letters.html", reason=reason, rows=rows)


def letter_page(letter: Letter, content: Content, *, text: str = "", problem: str = "") -> str:
    """One letter with what is kept of its record; `text` is what an operator made of it."""
    value = content.value or b""
    is_whole = len(value) == letter.raw_bytes
    return _page(
        "Dead letter",
        "ops_letter.html",
        letter=letter,
        place=letter.place(),
        key=show_bytes(content.key),
        logged_at=at(letter.logged_at),
        text=text or value.decode("utf-8", "backslashreplace"),
        cut="" if is_whole else f"Only {len(value):,} of its {letter.raw_bytes:,} bytes are kept.",
        problem=problem,
        replays=counted(letter.replays, "time"),
    )


def _page(title: str, template: str, **values: Any) -> str:
    content: Markup = render(template, **values).html()
    return str(render("ops_base.html", title=title, content=content, home="/ops").html())


def _tiles(found: Overall, now: datetime) -> list[Tile]:
    as_of = min((one.as_of for one in found.partitions), default=None)
    told_at = min((one.told_at for one in found.partitions), default=None)
    silent = told_at is None or (now - told_at).total_seconds() > STOPPED_AFTER_S
    rejected = sum(one.of_today for one in found.letters)
    age = span_text(found.pace.age_ms // 1000) if found.pace.age_ms >= 2000 else (
        f"{found.pace.age_ms} ms" if found.pace.age_ms else DASH
    )  # fmt: skip
    return [
        Tile("Throughput", f"{shown_rate(round(found.pace.events_per_s, 1))}/s", "of a minute"),
        Tile("Lag", DASH if as_of is None else _span(as_of, now), "of the slowest partition"),
        Tile("Age", age, "99 of 100 events, as written"),
        Tile(
            "Workers",
            "silent" if silent else "working",
            f"{counted(len(found.partitions), 'partition')}, told {ago(told_at, now)}",
            silent,
        ),
        Tile("Waiting", f"{found.waiting_count:,}", "events without a price",
             bool(found.waiting_count)),
        Tile("Refused today", f"{rejected:,}", "dead letters not laid aside", bool(rejected)),
        Tile("Audit", ago(found.audited_at, now), "last looked; its findings are alerts"),
    ]  # fmt: skip


def _span(since: datetime, now: datetime) -> str:
    return span_text(max(0, int((now - since).total_seconds())))


def ago(then: datetime | None, now: datetime) -> str:
    return "never" if then is None else f"{_span(then, now)} ago"


def at(instant: datetime) -> str:
    return f"{instant:{UTC_TEXT}} UTC"
