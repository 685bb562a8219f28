"""Files of events: offline rating of each line, its result counted, nothing written by default."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

from rater.decode import decode_line
from rater.instants import to_us
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.months import MONTHS_MADE_MAX, month_of, months_until, next_month
from rater.reject import Reject
from rater.tariff import Book
from rater.unknown_fields import unknown_of
from streams.formats.importer import Source
from streams.formats.registry import IMPORTERS
from streams.rows.batch import Batch, RejectedRow, add_event
from streams.rows.log_position import Place


def read_lines(
    path: Path,
    format_: str,
    account_id: str,
    now: datetime,
    *,
    region: str = "",
    zone: str = "UTC",
) -> Iterator[tuple[int, bytes, bytes, Event | Reject]]:
    """(line, raw record, event as JSON, event or reject) of each record of a file.

    `format_` is one of IMPORTERS; what the records do not say themselves is as in its Source.
    """
    importer, source = IMPORTERS[format_], Source(account_id, region, zone)
    now_us = to_us(now)
    with path.open("rb") as file:
        for line, raw, value in importer.read(file, source):
            if isinstance(value, Reject):
                yield line, raw, b"", value
            else:
                yield line, raw, value, decode_line(value, now_us)


def rate_file(
    path: Path,
    format_: str,
    account_id: str,
    book: Book,
    now: datetime,
    on_line: Callable[[int, Batch], None],
    *,
    region: str = "",
    zone: str = "UTC",
) -> Batch:
    """The batch of a whole file. A line's place is the file's name and the line number.

    `on_line` is told after each line how many bytes were read and what there is so far.
    """
    batch = Batch()
    logged_ms = to_us(now) // 1000
    done = 0
    for number, raw, value, event in read_lines(
        path, format_, account_id, now, region=region, zone=zone
    ):
        place = Place(f"file:{path.resolve()}", 0, number, logged_ms)
        if isinstance(event, Reject):
            batch.rejected.append(RejectedRow(place, "", event, None, raw, ()))
        else:
            batch.add_unknown(event.kind, unknown_of(KINDS[event.kind], value))
            add_event(batch, event, place, book)
        done += len(raw) + 1
        on_line(done, batch)
    return batch


def months_touched(batch: Batch, book: Book, now: datetime) -> list[date]:
    """The months whose monthly lines the batch's states can change, up to now."""
    months = {row.charge.terms.month for row in batch.rated}
    for row in batch.states:
        account_id, state = row.telling.account_id, row.telling.state
        month, last = (
            month_of(at_us, book.account(account_id, at_us).zone)
            for at_us in (state.from_us, min(state.until_us or to_us(now), to_us(now)))
        )
        months.update(months_until(month, next_month(last)))
    return sorted(months)[-MONTHS_MADE_MAX:]
