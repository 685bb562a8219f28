"""What the call records of switches have in common: cells, durations, stamps and parties."""

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rater import numbers
from rater.reject import Reason, Reject
from streams.formats.importer import Source

Row = dict[str, str]
Times = tuple[datetime, datetime | None, datetime]  # dialed, answered (None: never), ended
DURATIONS = ("duration", "billsec")  # of the switch's own: from dialing, and after answer


def row_of(line: str, layouts: Mapping[int, Sequence[str]]) -> Row | Reject:
    """The cells of a line by the names of the layout that has so many."""
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])]
    except csv.Error as error:
        return Reject(Reason.UNREADABLE, f"not a line of CSV: {error}")
    columns = layouts.get(len(cells))
    if columns is None:
        counts = " or ".join(map(str, layouts))
        said = "; or ".join(", ".join(names) for names in layouts.values())
        return Reject(
            Reason.UNREADABLE, f"{len(cells)} columns instead of {counts}, which are: {said}"
        )
    return dict(zip(columns, cells, strict=True))


def times_of(
    row: Row, start: Callable[[], datetime], is_answered: Callable[[int], bool]
) -> Times | Reject:
    """When a call was dialed, answered and ended, by the switch's own durations.

    `start` may raise ValueError or OverflowError; `is_answered` is asked of the seconds after
    answer.
    """
    seconds: dict[str, int] = {}
    for name in DURATIONS:
        try:
            seconds[name] = int(row[name])
        except ValueError:
            return Reject(Reason.UNREADABLE, f"{name} is no whole number of seconds")
    duration, billsec = seconds["duration"], seconds["billsec"]
    if duration < 0:
        return Reject(Reason.BAD_TIME, "duration is negative: the call ends before it starts")
    if billsec > duration:
        return Reject(
            Reason.BAD_TIME, "billsec is longer than the call: the answer can't be placed"
        )
    try:
        dialed = start()
    except ValueError:
        return Reject(
            Reason.UNREADABLE, "the start is no whole Unix seconds, nor a stamp such as "
            "2026-11-05 10:00:00",
        )  # fmt: skip
    except (OverflowError, OSError):
        return Reject(Reason.BAD_TIME, "the start is no instant of our calendar")
    try:
        ended = dialed + timedelta(seconds=duration)
    except OverflowError:
        return Reject(Reason.BAD_TIME, "the end is no instant of our calendar")
    answered = ended - timedelta(seconds=max(0, billsec)) if is_answered(billsec) else None
    return dialed, answered, ended


def of_stamp(text: str, zone: str) -> datetime:
    """The instant of a stamp such as 2026-11-05 10:00:00 in a zone. Raises ValueError."""
    stamp = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    return stamp.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def parties_of(row: Row, caller: str, called: str, source: Source) -> dict[str, str] | Reject:
    """`from` and `to` of a call, by the names of their columns."""
    parties = {}
    for key, column in (("from", caller), ("to", called)):
        party = _party(row[column], source.region)
        if party is None and key == "from" and not row[column].strip("0"):
            party = "anonymous"  # how a switch writes that it was told no number
        if party is None:
            return Reject(Reason.BAD_NUMBER, _no_party(column, source.region))
        parties[key] = party
    return parties


def _party(text: str, region: str) -> str | None:
    """A dialed number, an address or a withheld caller as our party; None where it is none."""
    if numbers.is_party(text) and not text.isdigit():
        return text
    if numbers.is_party(text) and numbers.form(text) == "anonymous":
        return text
    return numbers.from_national(text, region)


def _no_party(column: str, region: str) -> str:
    if region:
        return f"the {column} is no number of {region}, nor E.164, a short number or sip:"
    return (
        f"the {column} is no E.164 number such as +14155550100; if it is a national one, say the "
        "file's region, such as --region US"
    )
