"""Reads a stretch of the input topics again, rates it into nothing, and compares with the ledger.

What was rated once must be rated the same again: the same records and the same book give the same
rows, rejects and parked events. A repeat of an identity is compared by the ledger's own rule: the
row with the higher version stands. Only what the group has committed is compared, since below
that every record must have its outcome.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from rater.kinds.kind import Kind
from rater.money import format_nanos
from rater.reject import Reason
from rater.tariff import Book
from streams.base.settings import Settings
from streams.kafka.clients import read_committed
from streams.kafka.log import Chunk, LogReadError, Reader, Span, partition_counts
from streams.kafka.record_batches import Unread
from streams.rows.batch import Batch, add_records, add_rejected
from streams.rows.log_position import clamp_ms
from streams.store.ledger import Ledger
from streams.store.standing import (
    COMPARED,
    Key,
    Part,
    Row,
    key_of,
    read_by_key,
    read_parked_offsets,
    read_reasons,
    read_written,
)


class What(StrEnum):
    """How the ledger differs. The values are in the JSON: never rename one."""

    MISSING = "missing"  # the log gives it, the ledger has it not
    CHARGE = "charge"  # the amounts or the units differ
    TARIFF_VERSION = "tariff_version"  # rated by another version of the tariff
    OUTCOME = "outcome"  # a record was rejected or parked, and is rated now; or the reverse
    EXTRA = "extra"  # the ledger has it, the log gives it not


class Difference(NamedTuple):
    what: What
    topic: str
    partition: int
    offset: int
    detail: str  # names, amounts and ids; no party and no body


@dataclass
class Found:
    """What the ledger has for a chunk."""

    rows: dict[Key, Row] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)  # reasons
    parked: set[int] = field(default_factory=set)  # still waiting


def expected_rows(batch: Batch) -> list[Row]:
    """The rows of a batch that was rated again."""
    rows = []
    for rated in batch.rated:
        columns = rated.charge.columns()
        values = tuple(columns[name] for name in COMPARED["rated"])
        rows.append(Row(key_of(rated), rated.version, rated.place, values))
    for state in batch.states:
        t = state.telling
        key: Key = ("states", t.account_id, t.kind, t.event_id, state.revision)
        rows.append(Row(key, state.version, state.place, (state.content_hash,)))
    return rows


def find(ledger: Ledger, span: Span, part: Part, expected: Sequence[Row]) -> Found:
    """What stands in the ledger for a part, and for the rows that are expected of it."""
    table = "states" if span.kind.monthly else "rated"
    found = Found({row.key: row for row in read_written(ledger, table, part)})
    missing = [row.key for row in expected if row.key not in found.rows]
    found.rows |= {row.key: row for row in read_by_key(ledger, table, missing)}
    # A conflict's letter says who won between two records, both of them rated: the audit's matter.
    reasons = read_reasons(ledger, part)
    found.rejected = {at: reason for at, reason in reasons.items() if reason != Reason.CONFLICT}
    found.parked = read_parked_offsets(ledger, part)
    return found


def differences(part: Part, chunk: Chunk, batch: Batch, found: Found) -> Iterator[Difference]:
    """Where the ledger differs from what the log gives, in the order of the log. Pure."""
    by_offset: dict[int, list[Row]] = {}
    for row in expected_rows(batch):
        by_offset.setdefault(row.position[2], []).append(row)
    reasons = {row.place.offset: row.reject.reason.value for row in batch.rejected}
    parked = {row.place.offset for row in batch.parked}
    standing: dict[int, list[Row]] = {}
    for row in found.rows.values():
        if part.has(row.position):
            standing.setdefault(row.position[2], []).append(row)

    def difference(what: What, offset: int, detail: str) -> Difference:
        return Difference(what, part.topic, part.partition, offset, detail)

    offsets = {record.offset for record in chunk.records}
    for offset in sorted(offsets | standing.keys() | found.rejected.keys() | found.parked):
        there = {
            name
            for name, places in (
                ("rated", standing),
                ("rejected", found.rejected),
                ("parked", found.parked),
            )
            if offset in places
        }
        if offset not in offsets:
            detail = f"{' and '.join(sorted(there))} in the ledger; the log has no such record"
            yield difference(What.EXTRA, offset, detail)
            continue
        now = "rejected" if offset in reasons else "parked" if offset in parked else "rated"
        others = sorted(there - {now})
        if others and now not in there:
            yield difference(
                What.OUTCOME, offset, f"{' and '.join(others)} in the ledger, {now} now"
            )
            continue
        for other in others:
            yield difference(What.EXTRA, offset, f"{other} in the ledger, beside being {now}")
        if now == "rated":
            yield from _row_differences(
                by_offset.get(offset, []), standing.get(offset, []), found, difference
            )
        elif now not in there:
            yield difference(What.MISSING, offset, f"{now} now; the ledger has nothing of it")
        elif now == "rejected" and found.rejected[offset] != reasons[offset]:
            detail = f"rejected as {found.rejected[offset]} in the ledger, {reasons[offset]} now"
            yield difference(What.OUTCOME, offset, detail)


def _row_differences(
    expected: Sequence[Row],
    standing: Sequence[Row],
    found: Found,
    difference: Callable[[What, int, str], Difference],
) -> Iterator[Difference]:
    """The rows of one record that is rated, against those that stand."""
    for row in expected:
        stored = found.rows.get(row.key)
        offset = row.position[2]
        if stored is None:
            yield difference(What.MISSING, offset, row.name())
        elif stored.position != row.position:
            if stored.version < row.version:
                place = " ".join(map(str, stored.position[:3]))
                detail = f"{row.name()}: a record stands that came later, {place}"
                yield difference(What.MISSING, offset, detail)
        elif stored.values != row.values:
            names = COMPARED[row.key[0]]
            pairs = zip(names, stored.values, row.values, strict=True)
            unequal = {name: (old, new) for name, old, new in pairs if old != new}
            what = What.TARIFF_VERSION if "tariff_version" in unequal else What.CHARGE
            told = ", ".join(
                f"{name} {_shown(name, old)} in the ledger, {_shown(name, new)} now"
                for name, (old, new) in unequal.items()
            )
            yield difference(what, offset, f"{row.name()}: {told}")
    keys = {row.key for row in expected}
    for stored in standing:
        if stored.key not in keys:
            yield difference(What.EXTRA, stored.position[2], stored.name())


def _shown(name: str, value: int | str) -> str:
    is_money = name == "charge" or name.startswith("tax_")
    return format_nanos(value) if is_money and isinstance(value, int) else str(value)


# The whole of it


class Request(NamedTuple):
    """Which stretch: the topics' kinds, and from where to where. Instants are the broker's."""

    kinds: Sequence[Kind]
    from_offset: int = 0
    since_ms: int | None = None
    until_ms: int | None = None  # without this instant itself


@dataclass
class Report:
    """What was compared and how it differs."""

    examples_most: int
    records: int = 0
    rows: int = 0
    not_committed: int = 0  # records of the stretch that have no outcome yet, and need none
    counts: Counter[What] = field(default_factory=Counter)
    examples: dict[What, list[Difference]] = field(default_factory=dict)

    def add(self, difference: Difference) -> None:
        self.counts[difference.what] += 1
        examples = self.examples.setdefault(difference.what, [])
        if len(examples) < self.examples_most:
            examples.append(difference)

    def shown(self) -> list[Difference]:
        """The examples, those of one kind together."""
        return [example for what in What for example in self.examples.get(what, [])]


async def find_spans(
    settings: Settings, reader: Reader, request: Request
) -> tuple[list[Span], int]:
    """The committed part of the stretch, and how many offsets of it are not committed yet.

    Raises LogReadError when a topic does not exist, or nothing of it was ever committed.
    """
    kinds = {settings.topic(kind.topic): kind for kind in request.kinds}
    counts = await partition_counts(settings, kinds)
    absent = sorted(kinds.keys() - counts.keys())
    if absent:
        raise LogReadError(
            f"topics {', '.join(absent)} do not exist; run `rater topics create`, or set "
            "RATER_TOPIC_PREFIX"
        )
    committed = await read_committed(settings)
    spans, not_committed = [], 0
    for topic, partitions in counts.items():
        bounds = await reader.bounds([(topic, partition) for partition in range(partitions)])
        firsts = {place: begin for place, (begin, _) in bounds.items()}
        lasts = ends = {place: end for place, (_, end) in bounds.items()}
        if request.since_ms is not None:
            firsts = await reader.offsets_at(request.since_ms, ends)
        if request.until_ms is not None:
            lasts = await reader.offsets_at(request.until_ms, ends)
        for place, (begin, _) in bounds.items():
            first = max(firsts[place], begin, request.from_offset)
            end = min(lasts[place], max(first, committed.get(place, 0)))
            not_committed += max(0, lasts[place] - max(first, end))
            if first < end:
                spans.append(Span(kinds[topic], *place, first, end))
    if not_committed and not any(topic in kinds for topic, _ in committed):
        raise LogReadError(
            f"group {settings.group!r} has committed nothing of these topics, so no record must "
            "have its outcome yet; RATER_GROUP names the workers' group"
        )
    return spans, not_committed


async def reconcile(
    settings: Settings,
    ledger: Ledger,
    book: Book,
    request: Request,
    *,
    examples: int = 10,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compares a stretch of the log with the ledger; `on_progress` is told offsets done, of all.

    Raises LogReadError, or one of BrokerErrors or StoreErrors. Writes nothing.
    """
    report = Report(examples)
    async with Reader(settings) as reader:
        spans, report.not_committed = await find_spans(settings, reader, request)
        total = sum(span.end - span.first for span in spans)
        done = 0
        for span in spans:
            async for chunk in reader.read(*span[1:]):
                await asyncio.to_thread(_compare, report, ledger, book, span, chunk)
                done += chunk.end - chunk.first
                on_progress(done, total)
    return report


def _compare(report: Report, ledger: Ledger, book: Book, span: Span, chunk: Chunk) -> None:
    batch = Batch()
    read = [record for record in chunk.records if not isinstance(record, Unread)]
    if read:
        add_records(batch, span.kind, span.topic, span.partition, read, book)
    for record in chunk.records:
        if isinstance(record, Unread):
            add_rejected(batch, span.kind, span.topic, (span.partition, [record]), record.reject)
    expected = expected_rows(batch)
    # A topic that was made anew had these offsets before: of those nothing is asked.
    since_ms = min((clamp_ms(record.timestamp) for record in chunk.records), default=0)
    part = Part(span.topic, span.partition, chunk.first, chunk.end, since_ms)
    found = find(ledger, span, part, expected)
    report.records += len(chunk.records)
    report.rows += len(expected)
    for difference in differences(part, chunk, batch, found):
        report.add(difference)
