"""What has to hold before a worker takes its first record. What does not is one line that says
what, which value, and what to do; the worker does not start.

Partition counts are checked with the topics (`streams.kafka.topics.check_topics`).
"""

import re
from typing import NamedTuple

import faust
import faust.streams

from streams.kafka.codecs import missing_codecs
from streams.store.ledger import Ledger, StoreErrors
from streams.store.shapes import read_shapes


class StartupError(RuntimeError):
    """Something that must hold does not; the message says what to do, one line for each."""


class Table(NamedTuple):
    """What the migrations made of a table: nothing of it may be another way."""

    engine: str
    partition_key: str
    sorting_key: str


MONTHLY = "toYYYYMM(month)"
TABLES = {
    "rated": Table(
        "ReplacingMergeTree(version)", MONTHLY, "account_id, month, line, identity, revision"
    ),
    "states": Table("ReplacingMergeTree(version)", "", "account_id, kind, event_id, revision"),
    "parked": Table("ReplacingMergeTree(resolved)", "", "topic, partition, offset, record_hash"),
    "rejected": Table(
        "ReplacingMergeTree(rejected_at)", "", "topic, partition, offset, record_hash"
    ),
    "receipts": Table(
        "ReplacingMergeTree(written_at)",
        "",
        "topic, partition, first_offset, last_offset, first_logged_at",
    ),
    "accepted": Table(
        "ReplacingMergeTree",
        MONTHLY,
        "account_id, kind, event_id, revision, topic, content_hash, version",
    ),
    "losers": Table(
        "ReplacingMergeTree(found_at)",
        "",
        "account_id, month, line, identity, revision, version",
    ),
    "replays": Table("ReplacingMergeTree(replayed_at)", "", "origin, attempt"),
    "counterfoils": Table("ReplacingMergeTree(version)", MONTHLY, "account_id, row"),
    "seen": Table("ReplacingMergeTree", "", "event, facts"),
    "seen_of_accepted": Table("MaterializedView", "", ""),
    "seen_of_rated": Table("MaterializedView", "", ""),
    "walks": Table("ReplacingMergeTree(moved_at)", "", "name"),
    "counterfoils_of_rated": Table("MaterializedView", "", ""),
    "counterfoils_of_states": Table("MaterializedView", "", ""),
    "accepted_of_rated": Table("MaterializedView", "", ""),
    "accepted_of_states": Table("MaterializedView", "", ""),
    "progress": Table("ReplacingMergeTree(told_at)", "", "consumer_group, partition"),
    "budgets": Table("ReplacingMergeTree(set_at)", "", "account_id, name"),
    "alerts": Table("ReplacingMergeTree(told_at)", "", "account_id, month, alert_id"),
    "deliveries": Table(
        "ReplacingMergeTree(tried_at)", "", "account_id, alert_id, channel, attempt"
    ),
    "dismissed": Table(
        "ReplacingMergeTree(dismissed_at)", "", "topic, partition, offset, record_hash"
    ),
    "refused": Table("View", "", ""),
    "rated_rows": Table("View", "", ""),
    "statement_lines": Table("View", "", ""),
    "statement_totals": Table("View", "", ""),
}
# A dead letter, and what was told, may be forgotten after a while; a charge and what proves it may
# not.
MAY_FORGET = frozenset({"rejected", "replays", "dismissed", "alerts", "deliveries"})


def check_tables(ledger: Ledger) -> None:
    """Refuses a ledger whose tables are not those of the migrations.

    A replicated or shared engine of the same kind is as good. Raises StartupError.
    """
    try:
        found = read_shapes(ledger)
    except StoreErrors as error:
        raise StartupError(f"the store did not say what its tables are: {error}") from error
    wrong = []
    for name, expected in TABLES.items():
        if name not in found:
            wrong.append(f"{name} does not exist: run `rater migrate`")
            continue
        engine, whole, partition_key, sorting_key = found[name]
        is_now = Table(_plain_engine(engine, whole), partition_key, sorting_key)
        for what, now, must in zip(Table._fields, is_now, expected, strict=True):
            if now != must:
                wrong.append(
                    f"{name} has {what} {now or 'none'!r}, and must have {must or 'none'!r}: "
                    "make it anew as schemas/clickhouse does, and copy its rows"
                )
        wrong += _wrong_settings(name, whole)
    _raise("table ", wrong)


def _plain_engine(engine: str, whole: str) -> str:
    """`ReplacingMergeTree(version)`, however it is replicated and wherever its path is."""
    plain = re.sub(r"^(Replicated|Shared)", "", engine)
    arguments = re.match(rf"{engine}\((.*?)\)", whole)
    kept = [
        argument.strip()
        for argument in (arguments[1].split(",") if arguments else [])
        if argument.strip() and not argument.strip().startswith("'")
    ]
    return f"{plain}({', '.join(kept)})" if kept else plain


def _wrong_settings(name: str, whole: str) -> list[str]:
    wrong = [
        f"{name} has {setting} = {value}: identical inserts would vanish, and with them rows that "
        f"were acknowledged; run ALTER TABLE {name} RESET SETTING {setting}"
        for setting, value in re.findall(r"(\w*deduplication_window\w*) = (\d+)", whole)
        if value != "0"
    ]
    if " TTL " in whole and name not in MAY_FORGET:
        wrong.append(
            f"{name} has a TTL: charges, or what proves them, would be forgotten; run ALTER TABLE "
            f"{name} REMOVE TTL"
        )
    return wrong


async def check_app(app: faust.App) -> None:
    """Refuses a Faust that would lose records, or show them to everyone, and a Kafka client that
    could not read some. Raises StartupError.
    """
    wrong = []
    if faust.streams._CStreamIterator is None:
        wrong.append(
            "Faust runs without its compiled extension, and would acknowledge events of an old "
            "generation unprocessed: unset NO_CYTHON, or install a faust-streaming wheel"
        )
    if app.conf.web_enabled:
        wrong.append(
            f"Faust's own web is on, at {app.conf.web_bind}:{app.conf.web_port} with /table and "
            "/router for everyone: make the app with web_enabled=False"
        )
    isolation = await isolation_level(app)
    if isolation != "read_committed":
        wrong.append(
            f"the consumer's isolation level is {isolation!r}: records of transactions that were "
            "aborted would be charged; make the app with streams.ingest.transport.use_batches"
        )
    if missing := missing_codecs():
        wrong.append(
            f"record batches in {', '.join(missing)} can't be read, and any producer may send one: "
            "install cramjam"
        )
    _raise("", wrong)


async def isolation_level(app: faust.App) -> str:
    """Of the consumer that the app's transport makes; the one that is asked is never started."""
    consumer = app.consumer._thread._create_worker_consumer(app.transport)
    await consumer.stop()
    return str(consumer._isolation_level)


def _raise(prefix: str, wrong: list[str]) -> None:
    if wrong:
        raise StartupError("\n".join(prefix + line for line in wrong))
