"""What stands in the ledger for a part of the log: one reader a question.

A part is some offsets of one partition, and no record that the log took before `since_ms`: where a
topic was made anew, its offsets were those of other records.
"""

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rater.kinds import KINDS
from rater.money import parse_nanos
from streams.rows.batch import RatedRow
from streams.store.ledger import Ledger

LOOKED_UP_AT_ONCE = 500  # keys in one query: they travel in its address

Key = tuple[Any, ...]  # the table's name, then its key
Position = tuple[str, int, int, int]  # topic, partition, offset, milliseconds of the log's clock

# What a rating gives again; of an event's state, its content.
COMPARED = {
    "rated": ("charge", "billed", "tax_federal", "tax_state", "tax_local", "tariff_version"),
    "states": ("content_hash",),
}
_KEYS = {
    "rated": ("account_id", "month", "line", "identity", "revision"),
    "states": ("account_id", "kind", "event_id", "revision"),
}
_AT = """topic = {topic:String} AND partition = {partition:Int32}
    AND offset >= {first:Int64} AND offset < {end:Int64}
    AND logged_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')"""
# First the keys that were written from these positions, without FINAL and from few columns; then
# what stands for them, by the table's order.
_WRITTEN_HERE = f"({{keys}}) IN (SELECT {{keys}} FROM {{table}} WHERE {_AT})"
_NAMED = {
    "rated": "account_id IN {accounts:Array(String)} AND month IN {months:Array(Date)}"
    " AND identity IN {names:Array(String)}",
    "states": "account_id IN {accounts:Array(String)} AND event_id IN {names:Array(String)}",
}
_REJECTED = f"SELECT offset, reason FROM rejected FINAL WHERE {_AT}"
_PARKED = f"SELECT offset FROM parked FINAL WHERE resolved = 0 AND {_AT}"

_CHARGED = """
SELECT account_id, month, line, identity, revision, charge, tax_federal + tax_state + tax_local
FROM rated_rows WHERE {named}
"""


class Part(NamedTuple):
    """Offsets from `first` to before `end` of one partition, taken by the log since an instant."""

    topic: str
    partition: int
    first: int
    end: int
    since_ms: int

    def has(self, position: Position) -> bool:
        topic, partition, offset, logged_ms = position
        return (
            (topic, partition) == self[:2]
            and self.first <= offset < self.end
            and logged_ms >= self.since_ms
        )


class Charged(NamedTuple):
    """What the ledger charges for a key of `rated`, in nanos."""

    charge: int
    tax: int


class Row(NamedTuple):
    """A row of `rated` or `states`: as the log gives it, or as the ledger has it."""

    key: Key  # the table's name, then the row's key
    version: int
    position: Position
    values: tuple[int | str, ...]  # in the order of COMPARED

    def name(self) -> str:
        """`calls of event-1 in 2026-08`, or `state of event-1`."""
        if self.key[0] == "states":
            return f"state of {self.key[3]}"
        return f"{self.key[3]} of {self.key[4]} in {self.key[2]:%Y-%m}"


def key_of(row: RatedRow) -> Key:
    charge = row.charge
    name = (charge.identity, charge.revision)
    return ("rated", charge.account_id, charge.terms.month, charge.terms.line, *name)


def read_written(ledger: Ledger, table: str, part: Part) -> Iterator[Row]:
    """What stands for the keys that a part has rows of. Raises one of StoreErrors."""
    return _read_rows(ledger, table, _WRITTEN_HERE, part._asdict())


def read_by_key(ledger: Ledger, table: str, keys: Sequence[Key]) -> Iterator[Row]:
    """What stands for some keys. Raises one of StoreErrors."""
    for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
        some = set(keys[start : start + LOOKED_UP_AT_ONCE])
        for row in _read_rows(ledger, table, _NAMED[table], _names(table, some)):
            if row.key in some:
                yield row


def read_reasons(ledger: Ledger, part: Part) -> dict[int, str]:
    """The reasons of a part's dead letters, by offset. Raises one of StoreErrors."""
    return dict(ledger.query(_REJECTED, part._asdict()))


def read_parked_offsets(ledger: Ledger, part: Part) -> set[int]:
    """The offsets of a part whose events wait still. Raises one of StoreErrors."""
    return {offset for (offset,) in ledger.query(_PARKED, part._asdict())}


def _names(table: str, keys: Collection[Key]) -> dict[str, Any]:
    """What _NAMED asks of some keys."""
    named: dict[str, Any] = {"accounts": sorted({key[1] for key in keys})}
    if table == "rated":
        named["months"] = sorted({key[2] for key in keys})
    return named | {"names": sorted({key[4 if table == "rated" else 3] for key in keys})}


def _read_rows(ledger: Ledger, table: str, where: str, parameters: dict[str, Any]) -> Iterator[Row]:
    """What stands in a table: FINAL, and no rows that are made by the month."""
    keys, compared = _KEYS[table], COMPARED[table]
    where = where.replace("{keys}", ", ".join(keys)).replace("{table}", table)
    if table == "rated":
        where += " AND kind NOT IN {monthly:Array(String)}"
        monthly = [kind.name for kind in KINDS.values() if kind.monthly]
        parameters = parameters | {"monthly": monthly}
    place = ("topic", "partition", "offset", "toUnixTimestamp64Milli(logged_at)")
    columns = ", ".join((*keys, "version", *place, *compared))
    n = len(keys)
    for row in ledger.query(f"SELECT {columns} FROM {table} FINAL WHERE {where}", parameters):
        values = (parse_nanos(v) if isinstance(v, Decimal) else v for v in row[n + 5 :])
        yield Row((table, *row[:n]), row[n], row[n + 1 : n + 5], tuple(values))


def read_charged(ledger: Ledger, keys: Sequence[Key]) -> dict[Key, Charged]:
    """What is charged for some keys of `rated`; nothing of those that another row of their identity
    stands for. Raises one of StoreErrors."""
    charged = {}
    for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
        some = set(keys[start : start + LOOKED_UP_AT_ONCE])
        sql = _CHARGED.replace("{named}", _NAMED["rated"])
        for *key, charge, tax in ledger.query(sql, _names("rated", some)):
            if ("rated", *key) in some:
                charged["rated", *key] = Charged(parse_nanos(charge), parse_nanos(tax))
    return charged
