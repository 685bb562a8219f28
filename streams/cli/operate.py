"""The commands of the person on call: dead letters, parked events, the ledger against the log.

Lists show where and why, never a record's bytes; `dlq show` is asked for one record and shows it.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from rater.instants import in_utc, to_us
from rater.kinds import KINDS
from rater.kinds.kind import Kind
from rater.rate import Wait
from rater.reject import Reason
from rater.tariff import Book
from rater.tariff_file import load_book
from streams.base.settings import Settings
from streams.cli.console import (
    FAILED,
    WITH_REJECTS,
    WRONG_USE,
    Stop,
    Store,
    TariffFile,
    err,
    example,
    no_broker,
    out,
    progress,
    settings_for,
    store_of,
)

if TYPE_CHECKING:
    from streams.operations.letters import Replayed
    from streams.operations.reconcile import Report
    from streams.store.ledger import Ledger
    from streams.store.letters import Chosen, Letter

NAMED_MOST = 20  # letters of a replay that are named one by one

dlq_app = typer.Typer(help="Look after the dead letters.", no_args_is_help=True)
parked_app = typer.Typer(help="Look after events that wait for a price.", no_args_is_help=True)

Topic = Annotated[
    str, typer.Option("--topic", help="Of this input topic, with or without its prefix.")
]
Since = Annotated[
    str,
    typer.Option(
        "--since", metavar="ISO", help="Logged at or after: 2026-11-23 or 2026-11-23T09:00:00Z."
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at the most.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
ReasonOption = Annotated[Reason | None, typer.Option("--reason", help="Rejected for this reason.")]
WaitOption = Annotated[Wait | None, typer.Option("--reason", help="Parked for this reason.")]


# Dead letters


@dlq_app.command("list", epilog=example("rater dlq list --reason bad_json --since 2026-11-23"))
def dlq_list(
    reason: ReasonOption = None,
    topic: Topic = "",
    since: Since = "",
    limit: Limit = 50,
    as_json: AsJson = False,
    store: Store = None,
) -> None:
    """List dead letters, newest first, and count them by reason."""
    from streams.operations.letters import printable
    from streams.store.letters import Selection, count_letters, list_letters

    settings = settings_for(store=store)
    selection = Selection(reason, _topics(settings, topic), _instant("--since", since))
    with store_of(settings) as ledger:
        letters = list_letters(ledger, selection, limit)
        counts = count_letters(ledger, selection)
    if as_json:
        rows = [_json(letter._asdict()) for letter in letters]
        _print_json({"letters": rows, "by_reason": counts, "total": sum(counts.values())})
        return
    if letters:
        table = Table("Topic, partition, offset", "Logged at", "Reason", "Message")
        for name in ("Bytes", "Replays"):
            table.add_column(name, justify="right")
        for letter in letters:
            _add_row(
                table,
                (letter.place(), _at(letter.logged_at), letter.reason, printable(letter.message)),
                (str(letter.raw_bytes), str(letter.replays)),
            )
        out.print(table)
    _print_counts("dead letters", counts, shown=len(letters))


@dlq_app.command("show", epilog=example("rater dlq show usage.call.v1 0 17"))
def dlq_show(
    topic: Annotated[str, typer.Argument(help="Where its record lies, as `dlq list` says.")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    as_json: AsJson = False,
    store: Store = None,
) -> None:
    """Show all of one dead letter: its record's first bytes, with control characters escaped."""
    import base64

    from streams.operations.letters import printable, show_bytes
    from streams.store.letters import read_letter

    with store_of(settings_for(store=store)) as ledger:
        read = read_letter(ledger, (topic, partition, offset))
    if read is None:
        raise _no_letter((topic, partition, offset))
    letter, content = read
    value = content.value or b""
    if as_json:
        data = _json(letter._asdict()) | {
            "key": (content.key or b"").decode("utf-8", "backslashreplace"),
            "headers": [[name, text.decode()] for name, text in content.headers],
            "raw": show_bytes(value),
            "raw_base64": base64.b64encode(value).decode(),
            "raw_kept_bytes": len(value),
        }
        _print_json(data)
        return
    facts = {name: str(fact) for name, fact in _json(letter._asdict()).items()}
    facts["key"] = show_bytes(content.key)
    facts |= {f"header {name}": show_bytes(text) for name, text in content.headers}
    grid = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        _add_row(grid, (printable(name), printable(fact)))
    out.print(grid)
    cut = "" if len(value) == letter.raw_bytes else f", the first {len(value)} of them"
    out.print(f"\n{letter.raw_bytes} bytes{cut}:", highlight=False)
    out.print(Text(show_bytes(value)), soft_wrap=True)


@dlq_app.command("replay", epilog=example("rater dlq replay --reason bad_field --dry-run"))
def dlq_replay(
    place: Annotated[
        tuple[str, int, int] | None,
        typer.Argument(metavar="TOPIC PARTITION OFFSET", help="One letter, by its place."),
    ] = None,
    reason: ReasonOption = None,
    topic: Topic = "",
    since: Since = "",
    everything: Annotated[bool, typer.Option("--all", help="Every letter.")] = False,
    max_attempts: Annotated[
        int, typer.Option("--max-attempts", min=1, help="Of one record, along its whole way.")
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would send.")] = False,
    store: Store = None,
) -> None:
    """Send dead letters to their topic again: one by its place, or all that match.

    The event keeps its id, so a replay is harmless. A letter that was sent and has not come back
    is sent again only by its place. Status 3 when a letter could not be sent.
    """
    from streams.kafka.clients import BrokerErrors
    from streams.operations.letters import replay
    from streams.store.letters import Selection, choose

    settings = settings_for(store=store)
    matching = bool(reason or topic or since or everything)
    if (place is not None) == matching:
        raise Stop(
            "say which letters: TOPIC PARTITION OFFSET, or some of --reason, --topic and --since, "
            "or --all",
            WRONG_USE,
        )
    with store_of(settings) as ledger:
        if place is not None:
            chosen = _choose_one(ledger, place, max_attempts)
        else:
            selection = Selection(reason, _topics(settings, topic), _instant("--since", since))
            chosen = choose(ledger, selection, max_attempts)
        replayed = []
        if not dry_run and chosen.letters:
            with progress("sending again", len(chosen.letters)) as advance:
                try:
                    replayed = asyncio.run(replay(settings, ledger, chosen.letters, advance))
                except BrokerErrors as error:
                    raise no_broker(settings, error) from error
    _say_sent(chosen.letters if dry_run else None, replayed, max_attempts)
    _say_left(chosen, replayed, max_attempts)
    if any(outcome.sent is None for outcome in replayed):
        raise typer.Exit(WITH_REJECTS)


def _choose_one(ledger: "Ledger", place: tuple[str, int, int], max_attempts: int) -> "Chosen":
    """The newest letter of a place. Raises Stop where there is none that may be sent."""
    from streams.store.letters import Chosen, read_letter

    read = read_letter(ledger, place)
    if read is None:
        raise _no_letter(place)
    letter = read[0]
    if letter.replays >= max_attempts:
        raise Stop(
            f"{letter.place()} was sent again {letter.replays} times; mend the cause, then "
            "raise --max-attempts"
        )
    return Chosen([letter], 0, 0, 0, 0)


def _say_sent(
    would_send: "Sequence[Letter] | None", replayed: "Sequence[Replayed]", max_attempts: int
) -> None:
    """What was sent; or in a dry run, what would be."""
    sent = [(letter, now) for letter, now, _ in replayed if now is not None]
    letters = [letter for letter, _ in sent] if would_send is None else would_send
    counts = Counter(letter.reason for letter in letters)
    _print_counts(f"dead letters {'' if would_send is None else 'would be '}sent again", counts)
    if len(letters) <= NAMED_MOST:
        for letter in would_send or ():
            _say(f"{letter.place()}: attempt {letter.replays + 1} of {max_attempts}")
        for letter, now in sent:
            _say(
                f"{letter.place()}: attempt {now.attempt} of {max_attempts}, now at "
                f"offset {now.record[2]}"
            )


def _say_left(chosen: "Chosen", replayed: "Sequence[Replayed]", max_attempts: int) -> None:
    """What was not sent, and why."""
    if chosen.on_their_way:
        _say(f"{chosen.on_their_way} were sent before and have not come back: left alone")
    if chosen.exhausted:
        _say(
            f"{chosen.exhausted} came back from {max_attempts} or more replays: left alone; mend "
            "the cause, then raise --max-attempts"
        )
    if chosen.unfit:
        _say(
            f"{chosen.unfit} are conflicts or lines of files, which no replay can help: left alone"
        )
    if chosen.beyond:
        _say(f"{chosen.beyond} more than one run sends: run it again")
    for letter, sent, why_not in replayed:
        if sent is None:
            err.print(
                f"{letter.place()}: not sent: {why_not}",
                style="red",
                markup=False,
                soft_wrap=True,
            )


def _no_letter(place: tuple[str, int, int]) -> Stop:
    return Stop(f"no dead letter at {' '.join(map(str, place))}; `rater dlq list` lists them")


# Parked events


@parked_app.command("list", epilog=example("rater parked list --reason no_price"))
def parked_list(
    reason: WaitOption = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    store: Store = None,
) -> None:
    """List events that wait for a price, newest first, and count them by reason."""
    from streams.operations.letters import printable
    from streams.store.parked import count_waiting, list_parked

    with store_of(settings_for(store=store)) as ledger:
        waiting = list_parked(ledger, reason, limit)
        counts = count_waiting(ledger, reason)
    if as_json:
        rows = [_json(event._asdict()) for event in waiting]
        _print_json({"parked": rows, "by_reason": counts, "total": counts.total()})
        return
    if waiting:
        table = Table(
            "Topic, partition, offset", "Logged at", "Account", "Event", "Reason", "Message"
        )
        for event in waiting:
            place = f"{event.topic} {event.partition} {event.offset}"
            _add_row(
                table,
                (place, _at(event.logged_at), printable(event.account_id)),
                (printable(event.event_id), event.reason, printable(event.message)),
            )
        out.print(table)
    _print_counts("events wait", counts, shown=len(waiting))


@parked_app.command("retry", epilog=example("rater parked retry --tariff my-prices.toml"))
def parked_retry(store: Store = None, tariff: TariffFile = None) -> None:
    """Rate every parked event that has its price now, and make their accounts' monthly lines."""
    from streams.maintenance.conflicts import resolve_written
    from streams.maintenance.parked import retry_parked
    from streams.maintenance.recurring import make_earlier_months, make_months, open_months
    from streams.rows.changed import Changed
    from streams.store.parked import count_waiting

    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    now = datetime.now(UTC)
    with store_of(settings) as ledger:
        with err.status("rating what was parked"):
            rated, accounts = retry_parked(ledger, book)
            resolve_written(ledger)
        made = unpriced = 0
        parts = list(Changed(set(), accounts).in_parts())
        with progress("monthly lines", len(parts)) as advance:
            for done, some in enumerate(parts, 1):
                months = open_months(now)
                prefix = settings.topic_prefix
                now_open = make_months(
                    ledger, book, months, as_of=now, topic_prefix=prefix, changed=some
                )
                earlier = make_earlier_months(
                    ledger, book, months[0], began=now_open.began, as_of=now, topic_prefix=prefix
                )
                made += now_open.rows + earlier.rows
                unpriced += len(now_open.unpriced | earlier.unpriced)
                advance(done)
        counts = count_waiting(ledger)
    _say(f"{rated} events rated; {made} monthly charges made, {unpriced} things without a price")
    _print_counts("events still wait", counts)


# The ledger against the log


def reconcile(
    from_kafka: Annotated[
        bool, typer.Option("--from-kafka", help="Against the input topics, read again.")
    ] = False,
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="Only these input topics.")
    ] = None,
    from_offset: Annotated[
        int, typer.Option("--from-offset", min=0, help="Of each partition.")
    ] = 0,
    since: Since = "",
    until: Annotated[
        str, typer.Option("--until", metavar="ISO", help="Logged before this instant.")
    ] = "",
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Differences of a kind that are shown.")
    ] = 10,
    as_json: AsJson = False,
    store: Store = None,
    tariff: TariffFile = None,
) -> None:
    """Rate a stretch of the topics again, into nothing, and compare with the ledger.

    Only what the workers have committed. Status 1 when anything differs.
    """
    from streams.kafka.clients import BrokerErrors
    from streams.kafka.log import LogReadError
    from streams.operations.reconcile import Request
    from streams.operations.reconcile import reconcile as compare

    if not from_kafka:
        raise Stop("say against what: --from-kafka is what there is", WRONG_USE)
    settings = settings_for(store=store, tariff=tariff)
    book = load_book(settings.tariff)
    since_ms, until_ms = (
        None if at is None else to_us(at) // 1000
        for at in (_instant("--since", since), _instant("--until", until))
    )
    request = Request(_kinds(settings, topics or []), from_offset, since_ms, until_ms)
    with store_of(settings) as ledger, progress("comparing", 1000) as advance:
        try:
            compared = compare(
                settings,
                ledger,
                book,
                request,
                examples=examples,
                on_progress=lambda done, total: advance(done * 1000 // total),
            )
            report = asyncio.run(compared)
        except LogReadError as error:
            raise Stop(str(error)) from error
        except BrokerErrors as error:
            raise no_broker(settings, error) from error
    if as_json:
        _print_json(_report_as_json(report, book))
    else:
        _say_report(report, len(request.kinds))
    if report.counts:
        raise typer.Exit(FAILED)


def _report_as_json(report: "Report", book: Book) -> dict[str, Any]:
    from streams.operations.reconcile import What

    return {
        "clean": not report.counts,
        "records": report.records,
        "rows": report.rows,
        "not_committed": report.not_committed,
        "tariff": book.label(),
        "differences": {what.value: report.counts[what] for what in What},
        "examples": [example._asdict() for example in report.shown()],
    }


def _say_report(report: "Report", topics: int) -> None:
    from streams.operations.reconcile import What

    _say(
        f"{report.records} records of {topics} topics rated again into {report.rows} rows: "
        + (f"{report.counts.total()} differences" if report.counts else "all as in the ledger")
    )
    if report.not_committed:
        _say(f"{report.not_committed} records are not committed yet and were not compared")
    if report.counts:
        _print_differences(report.counts, report.shown())
    if report.counts[What.CHARGE]:
        _say(
            "charges differ under one version of the tariff: its prices were edited, most likely, "
            "or the engine has changed; new prices take a [[tariff]] of their own with valid_from"
        )


_MEANING = {
    "missing": "missing in the ledger",
    "charge": "charge, units or taxes differ",
    "tariff_version": "rated by another tariff version",
    "outcome": "another outcome",
    "extra": "in the ledger only",
}


def _print_differences(counts: Mapping[Any, int], examples: Sequence[Any]) -> None:
    table = Table("Difference")
    table.add_column("Count", justify="right")
    for what, count in counts.items():
        table.add_row(_MEANING[what], str(count))
    out.print(table)
    for one in examples:
        place = f"{one.topic} {one.partition} {one.offset}"
        _say(f"{place}: {_MEANING[one.what]}: {one.detail}")
    if counts.get("tariff_version"):
        _say(
            "A book edited since then rates by another version: such differences are legitimate; "
            "compare with the book of that time by --tariff."
        )


# Shared


def _topics(settings: Settings, topic: str) -> list[str]:
    return sorted({topic, settings.topic(topic)}) if topic else []


def _kinds(settings: Settings, topics: Sequence[str]) -> list[Kind]:
    if not topics:
        return list(KINDS.values())
    by_topic = {kind.topic: kind for kind in KINDS.values()}
    by_topic |= {settings.topic(name): kind for name, kind in by_topic.items()}
    for topic in topics:
        if topic not in by_topic:
            raise Stop(f"--topic {topic!r} is none of {', '.join(by_topic)}", WRONG_USE)
    return list({by_topic[topic].name: by_topic[topic] for topic in topics}.values())


def _instant(option: str, text: str) -> datetime | None:
    """An instant of the command line; one without a zone is UTC."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise Stop(
            f"{option} {text!r} is no instant; such as 2026-11-23T09:00:00Z", WRONG_USE
        ) from error
    return in_utc(instant)


def _at(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")


def _json(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        if isinstance(value, datetime)
        else value
        for name, value in fields.items()
    }


def _print_json(data: Mapping[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_counts(title: str, counts: Mapping[str, int], shown: int | None = None) -> None:
    """`3 dead letters: bad_json 2, bad_time 1`; how many are shown where that is not all."""
    total = sum(counts.values())
    by_reason = ", ".join(f"{reason} {count}" for reason, count in counts.items())
    newest = f" (the newest {shown} shown)" if shown is not None and shown < total else ""
    _say(f"{total} {title}{newest}{': ' if by_reason else ''}{by_reason}")


def _add_row(table: Table, *cells: Sequence[str]) -> None:
    """A row of plain text: nothing in it is markup."""
    table.add_row(*(Text(cell, overflow="fold") for some in cells for cell in some))
