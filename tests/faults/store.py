"""A store in memory under the real ledger: the tables' rules are read from the migrations.

ReplacingMergeTree as the engine has it: a row written again is a copy until a merge, and FINAL is
the copy of the highest version, of equal ones the last written. An insert can fail before it,
in the middle (one month's part is there, the next one's and the views' are not) and after it.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
from xxhash import xxh3_64_intdigest

import schemas
from rater.instants import to_us
from streams.rows.log_position import POSITIONS, Place, place_of_version
from streams.store import conflicts, counterfoils, ledger, outcomes, parked, parts
from streams.store import recurring as monthly
from tests import conftest

Row = dict[str, Any]
Key = tuple[Any, ...]
Months = dict[Key, dict[int, set[str]]]  # by account, line, identity, revision; then by version

MONTHLY_LINES = ("phone_numbers", "recording_storage", "subscriptions")
NOT_ACCEPTED_AGAIN = ("carrier_fees", *MONTHLY_LINES)

_TABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+)\n\(((?:(?!\n\)\n).)*)\n\)\n"
    r"ENGINE = ReplacingMergeTree\((\w+)\)\n(PARTITION BY toYYYYMM\(month\)\n)?"
    r"ORDER BY \((.*?)\)[;\n]",
    re.DOTALL,
)


# A key that was made longer, by columns of its own.
_LONGER = re.compile(
    r"ALTER TABLE (\w+)\n((?:    ADD COLUMN .*,\n)+)    MODIFY ORDER BY \((.*?)\);"
)


class Crashed(BaseException):
    """The process that was writing is gone. No code of it may catch this."""


class Shape(NamedTuple):
    """A table by its DDL."""

    columns: list[str]
    version: str
    key: list[str]
    by_month: bool


def shapes() -> dict[str, Shape]:
    """The ReplacingMergeTree tables of the migrations."""
    found = {}
    for path in sorted(schemas.MIGRATIONS.glob("*.sql")):
        for name, body, version, by_month, key in _TABLE.findall(path.read_text("utf-8")):
            columns = [line.split()[0] for line in body.splitlines() if line.strip()]
            found[name] = Shape(columns, version, key.split(", "), bool(by_month))
        for name, added, key in _LONGER.findall(path.read_text("utf-8")):
            columns = [*found[name].columns, *re.findall(r"IF NOT EXISTS (\w+)", added)]
            found[name] = found[name]._replace(columns=columns, key=key.split(", "))
    return found


SHAPES = shapes()

# What can happen to an insert.
FAULTS = ("refused", "torn", "no reply", "crash before", "crash torn", "crash after", "meanwhile")


class Fault(NamedTuple):
    """What happens to the insert that comes `after` so many others."""

    how: str
    after: int


class Breakable:
    """A store that fails where the schedule says."""

    def __init__(self) -> None:
        self.down = False
        self.fault: Fault | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def put(self, all_of_it: Callable[[], None], part: Callable[[], None]) -> None:
        """An insert: all of it, part of it, or nothing."""
        how = self._due()
        if self.down or how == "refused":
            raise OSError("connection refused")
        if how == "meanwhile":
            self.meanwhile()
        if how == "crash before":
            raise Crashed
        if how in ("torn", "crash torn"):
            part()
            raise Crashed if how == "crash torn" else OSError("connection reset")
        all_of_it()
        if how == "no reply":
            raise OSError("read timed out")
        if how == "crash after":
            raise Crashed

    def _due(self) -> str | None:
        """What befalls this insert. A fault happens once."""
        if self.fault is None:
            return None
        if self.fault.after:
            self.fault = self.fault._replace(after=self.fault.after - 1)
            return None
        how, self.fault = self.fault.how, None
        return how


class Store(Breakable):
    """What several ledgers write to and read from."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[str, dict[Key, list[Row]]] = {name: {} for name in SHAPES}
        self.accepted: dict[Key, set[tuple[int, int, str]]] = {}  # content, version, line
        self.outcomes: dict[tuple[str, int, int], set[str]] = {}
        self.inserts: list[tuple[str, list[Row]]] = []  # what was written, in order
        self._clock_us = conftest.LOGGED_MS * 1000
        self._answers = _answers()

    def client(self) -> "Client":
        return Client(self)

    # ------------------------------------------------------------------ writes

    def insert(self, table: str, rows: list[Row]) -> None:
        def all_of_it() -> None:
            self._write(table, rows)
            self._write_views(table, rows)

        self.put(all_of_it, lambda: self._write(table, _first_part(table, rows)))

    def _write(self, table: str, rows: Iterable[Row]) -> None:
        shape, copies = SHAPES[table], self.copies[table]
        rows = list(rows)
        self.inserts.append((table, rows))
        for row in rows:
            copies.setdefault(tuple(row[name] for name in shape.key), []).append(row)
            if table in ("parked", "rejected"):
                name = "conflict" if row.get("reason") == "conflict" else table
                self._note(name, row["topic"], row["partition"], row["offset"])

    def _write_views(self, table: str, rows: Iterable[Row]) -> None:
        """The materialized views: counterfoils, and what is accepted."""
        for row in rows:
            if table in ("rated", "states"):
                one = _counterfoil(table, row)
                key = (one["account_id"], one["row"])
                self.copies["counterfoils"].setdefault(key, []).append(one)
            if table == "rated" and row["line"] not in NOT_ACCEPTED_AGAIN:
                month = row["month"]
            elif table == "states":
                month = row["from_at"].date().replace(day=1)
            else:
                continue
            key = (*_event(row), month, row["topic"])
            line = row["line"] if table == "rated" else ""
            self.accepted.setdefault(key, set()).add((row["content_hash"], row["version"], line))
            self._note(table, row["topic"], row["partition"], row["offset"])

    def _note(self, outcome: str, *place: Any) -> None:
        self.outcomes.setdefault(place, set()).add(outcome)

    def merge(self, table: str) -> None:
        """What the engine does when it likes: copies become one."""
        shape = SHAPES[table]
        for key, copies in self.copies[table].items():
            self.copies[table][key] = [_standing(copies, shape.version)]

    def void(self, parameters: Mapping[str, Any]) -> None:
        """The ledger's one INSERT SELECT."""
        names = ("account_id", "month", "line", "identity")
        wanted = tuple(parameters[name] for name in ("account", "month", "line", "identity"))
        voided = {
            **dict.fromkeys(("billed", "billed_seconds"), 0),
            **dict.fromkeys(("charge", "tax_federal", "tax_state", "tax_local"), Decimal(0)),
            "status": "voided",
            "rule": "no telling of it stands: $0",
            "version": parameters["version"],
        }
        rows = [row for row in self.final("rated") if tuple(row[name] for name in names) == wanted]
        self.insert("rated", [row | voided for row in rows])

    # ------------------------------------------------------------------ reads

    def query(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        if self.down:
            raise OSError("connection refused")
        if sql not in self._answers:
            raise AssertionError(f"the store in memory does not know the query; teach it: {sql}")
        self._clock_us += 1
        answer = self._answers[sql]
        return answer(self, parameters)

    def queries(self) -> list[str]:
        """What it can be asked."""
        return list(self._answers)

    def final(self, table: str) -> list[Row]:
        version = SHAPES[table].version
        return [_standing(copies, version) for copies in self.copies[table].values()]

    def all_copies(self, table: str) -> list[Row]:
        return [row for copies in self.copies[table].values() for row in copies]

    def months_of_rows(self) -> Months:
        """The months of all rows of events that were ever written, by their name."""
        months: Months = {}
        for row in self.all_copies("rated"):
            if row["line"] not in MONTHLY_LINES:
                name = tuple(row[key] for key in ("account_id", "line", "identity", "revision"))
                versions = months.setdefault(name, {})
                versions.setdefault(row["version"], set()).add(f"{row['month']:%Y-%m}")
        return months

    def read_clock_us(self) -> int:
        return self._clock_us


def _standing(copies: Sequence[Row], version: str) -> Row:
    """The highest version; of equal ones the last written."""
    best = copies[0]
    for row in copies[1:]:
        if row[version] >= best[version]:
            best = row
    return best


def _first_part(table: str, rows: list[Row]) -> list[Row]:
    """What an insert that broke in the middle leaves: the part of one month, or all of the rows
    of a table that is in one piece. Its views have nothing of it."""
    if not SHAPES[table].by_month:
        return rows
    first = min(row["month"] for row in rows)
    return [row for row in rows if row["month"] == first]


def _event(row: Row) -> Key:
    return tuple(row[name] for name in ("account_id", "kind", "event_id", "revision"))


def _counterfoil(table: str, row: Row) -> Row:
    """What a view makes of a row; the rest of its key stands for its hash."""
    if table == "rated":
        amounts = [row[name] for name in ("charge", "tax_federal", "tax_state", "tax_local")]
        name = tuple(row[name] for name in ("month", "line", "identity", "revision"))
        rest = {"month": row["month"], "line": row["line"], "amount": sum(amounts)}
    else:
        name = _event(row)[1:]
        month = row["from_at"].date().replace(day=1)
        rest = {"month": month, "line": "", "amount": Decimal(0)}
    return {"account_id": row["account_id"], "row": name, "version": row["version"]} | rest


# ------------------------------------------------------------------ the product's queries

Answer = Callable[[Store, Mapping[str, Any]], list[tuple[Any, ...]]]


def _answers() -> dict[str, Answer]:
    known: dict[str, Answer] = {
        conflicts._SUPERSEDED: _known_losers,
        conflicts._COUNT_RECENT: _count_recent,
        conflicts._LETTERS: _letters,
        parked._WAITING: _waiting,
        parked._COUNT: _count_parked,
        outcomes._RECEIPTS: _receipts,
        outcomes._ENDS: _ends,
        outcomes._UNMERGED: _unmerged,
        outcomes._OUTCOMES: _outcomes,
        outcomes._REJECTED: _count_rejected,
        counterfoils._TOLD_OF_ACCOUNTS: _told,
        counterfoils._NOT_CHECKED: _not_checked,
        counterfoils._STORED: _stored,
        parts._LAST: lambda store, parameters: [],  # all accounts are one part
        conftest._ROWS: _rated_rows,
    }
    for sql, answer, suspects in (
        (conflicts._ACCEPTED, _accepted, (conflicts._EVENTS, conflicts._EVENTS_RECENT)),
        (conflicts._ROWS_OF_EVENTS, _rows_of_events, (conflicts._EVENTS, conflicts._EVENTS_RECENT)),
        (
            conflicts._ROWS_OF_RECORDS,
            _rows_of_records,
            (conflicts._RECORDS, conflicts._RECORDS_RECENT),
        ),
        (conflicts._ROWS_OF_CALLS, _rows_of_calls, (conflicts._CALLS, conflicts._CALLS_RECENT)),
    ):
        for one, of in zip(suspects, (parts.IS_OF, conflicts._OF_RECENT), strict=True):
            known[sql.replace("{suspects}", one).replace("{of}", of)] = answer
            if answer is not _rows_of_events:  # their events are asked for before
                known[conflicts._IS_ONE.replace("{suspects}", one)] = _exists(answer)
    for told, tellings, charged in (
        (monthly.BEGUN, _tellings_begun, ""),
        (monthly.TOLD, _tellings, monthly.CHARGED),
    ):
        known[monthly._TELLINGS.replace("{only}", told)] = tellings
        known[monthly._CHARGED.replace("{only}", charged)] = _charged
    return known


def _is_looked_at(parameters: Mapping[str, Any], month: date, *versions: int) -> bool:
    """Whether a record of the month and of one of the versions makes its event a suspect."""
    if "low" in parameters:  # milliseconds, counted down
        down = [(version & POSITIONS) >> 80 for version in versions]
        return any(parameters["low"] <= ms <= parameters["high"] for ms in down)
    if "first_ms" in parameters:
        logged = [place_of_version("", version).logged_ms for version in versions]
        return any(parameters["first_ms"] <= ms <= parameters["last_ms"] for ms in logged)
    return not parameters["months"] or month in parameters["months"]


def _count_recent(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    versions = [version for records in store.accepted.values() for _, version, _ in records]
    return [(sum(_is_looked_at(parameters, date.min, version) for version in versions),)]


def _exists(answer: Answer) -> Answer:
    return lambda store, parameters: [(1,)] if answer(store, parameters) else []


def _same_event(event: Sequence[Any]) -> Key:
    """An event, whichever of two kinds it is told as."""
    account, kind, event_id, revision = event
    return account, "call" if kind == "dial" else kind, event_id, revision


def _accepted(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The records of each event with two contents, months or lines, of which one is looked at."""
    events: dict[Key, list[tuple[Any, ...]]] = {}
    # What was written recently is looked for by account and id alone.
    id_of = operator.itemgetter(0, 2) if "low" in parameters else _same_event
    touched = {
        id_of(event)
        for (*event, month, _), records in store.accepted.items()
        if _is_looked_at(parameters, month, *(version for _, version, _ in records))
    }
    for (*event, month, topic), records in store.accepted.items():
        if id_of(event) in touched:
            events.setdefault(_same_event(event), []).extend(
                (*event, topic, content, version, month, line) for content, version, line in records
            )
    return [
        record
        for records in events.values()
        if any(len({record[n] for record in records}) > 1 for n in (5, 7, 8))
        for record in records
    ]


def _charged_once(store: Store) -> list[Row]:
    return [row for row in store.all_copies("rated") if row["line"] not in MONTHLY_LINES]


def _identity_rows(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    return [
        (*_event(row), row["month"], row["line"], row["identity"], row["topic"], row["version"])
        for row in rows
    ]


def _rows_of_events(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    found = {_same_event(record[:4]) for record in _accepted(store, parameters)}
    return _identity_rows(row for row in _charged_once(store) if _same_event(_event(row)) in found)


def _rows_of_records(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    records: dict[tuple[str, int], list[Row]] = {}
    for row in _charged_once(store):
        records.setdefault((row["topic"], row["version"]), []).append(row)
    found = {
        _same_event(_event(row))
        for rows in records.values()
        if any(_is_looked_at(parameters, row["month"], row["version"]) for row in rows)
        and (
            len({row["month"] for row in rows}) > 1
            or len({row["line"] for row in rows} - {"carrier_fees"}) > 1
        )
        for row in rows
    }
    return _identity_rows(row for row in _charged_once(store) if _same_event(_event(row)) in found)


def _rows_of_calls(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    months: dict[Key, set[date]] = {}
    rows = [row for row in store.all_copies("rated") if row["line"] == "ai_voice_detection"]
    id_of = operator.itemgetter(0, 1) if "first_ms" in parameters else tuple
    touched = {
        id_of(_call(row)) for row in rows if _is_looked_at(parameters, row["month"], row["version"])
    }
    for row in rows:
        if id_of(_call(row)) in touched:
            months.setdefault(_call(row), set()).add(row["month"])
    return _identity_rows(row for row in rows if len(months.get(_call(row), ())) > 1)


def _call(row: Row) -> Key:
    return row["account_id"], row["identity"], row["revision"]


def _known_losers(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    key = SHAPES["losers"].key
    return [tuple(row[name] for name in key) for row in store.final("losers") if row["loses"]]


def _stands(store: Store) -> dict[Key, Row]:
    """The rows that stand, each as its counterfoil should be."""
    rows = [_counterfoil(name, row) for name in ("rated", "states") for row in store.final(name)]
    return {(row["account_id"], row["row"]): row for row in rows}


def _told(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The counterfoils of rows that do not stand as they were written."""
    rows = _stands(store)
    names = counterfoils.Counterfoil._fields
    found = []
    for one in store.final("counterfoils"):
        row = rows.get((one["account_id"], one["row"]))
        if (
            row is None
            or row["version"] < one["version"]
            or (row["version"] == one["version"] and row["amount"] != one["amount"])
        ):
            found.append(tuple(one[name] for name in names))
    return found


def _stored(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (*key, row["version"], row["amount"])
        for key, row in _stands(store).items()
        if key[1] in parameters["rows"]
    ]


def _not_checked(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(len(_stands(store).keys() - store.copies["counterfoils"].keys()),)]


def _waiting(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    names = ("topic", "partition", "offset", "record_hash")
    after = tuple(parameters[name] for name in names)
    rows = [
        tuple(row[name] for name in parked.ParkedEvent._fields)
        for row in store.final("parked")
        if not row["resolved"]
        and row["reason"] != "correction"
        and tuple(row[name] for name in names) > after
    ]
    return sorted(rows)[: parameters["most"]]


def _place(row: Row) -> tuple[str, int, int]:
    return row["topic"], row["partition"], row["offset"]


def _count_parked(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(sum(not row["resolved"] for row in store.final("parked")),)]


def _count_rejected(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(len(store.copies["rejected"]),)]


def _letters(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = store.all_copies("rejected")
    return [
        (*_place(row), row["record_hash"]) for row in rows if row["reason"] == parameters["reason"]
    ]


def _reached(
    rows: Sequence[Row], parameters: Mapping[str, Any]
) -> dict[tuple[str, int], tuple[datetime, datetime]]:
    """Where an audit of what was written begins and ends, by partition."""
    since, until = parameters["since"], parameters["until"]
    reached = {}
    for place in {_partition(row) for row in rows if since <= row["written_at"] < until}:
        here = [row for row in rows if _partition(row) == place]
        began = [row["first_logged_at"] for row in here if since <= row["written_at"] < until]
        before = [row["first_logged_at"] for row in here if row["first_logged_at"] < min(began)]
        reached[place] = (max(before, default=min(began)), max(began))
    return reached


def _partition(row: Row) -> tuple[str, int]:
    return row["topic"], row["partition"]


def _receipts(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    low, high = parameters["reach_from"], parameters["reach_to"]
    rows = [row for row in store.all_copies("receipts") if low <= row["written_at"] < high]
    reached = _reached(rows, parameters)
    never = (datetime.max.replace(tzinfo=UTC),) * 2
    found = sorted(
        {
            (
                *_partition(row), row["first_offset"], row["last_offset"],
                to_us(row["first_logged_at"]) // 1000, to_us(row["last_logged_at"]) // 1000,
                tuple(row["skipped"]),
            )
            for row in rows
            for begin, end in [reached.get(_partition(row), never)]
            if row["last_logged_at"] >= begin and row["first_logged_at"] <= end
        }
    )  # fmt: skip
    return [(*row, list(skipped)) for *row, skipped in found]


def _ends(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    ends: dict[tuple[str, int], int] = {}
    for row in store.all_copies("receipts"):
        ends[_partition(row)] = max(ends.get(_partition(row), 0), row["last_offset"] + 1)
    return [(*place, end) for place, end in ends.items()]


def _unmerged(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(len(store.all_copies("rated")) - len(store.copies["rated"]),)]


def _outcomes(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    places: set[Place] = set()
    for (*_event, month, topic), records in store.accepted.items():
        if not parameters["months"] or month in parameters["months"]:
            places |= {
                place_of_version(topic, version)
                for _, version, _ in records
                if _is_looked_at(parameters, month, version)
            }
    places |= {
        Place(*_place(row), round(row["logged_at"].timestamp() * 1000))
        for name in ("parked", "rejected")
        for row in store.all_copies(name)
    }
    found: dict[Key, list[Place]] = {}
    lives = sorted(parameters["lives"], key=lambda life: life[2])
    for place in places:
        begun = [life for life in lives if life[:2] == place[:2] and place.logged_ms >= life[2]]
        for *life, low, high in begun[-1:]:
            if low <= place.offset < high:
                found.setdefault(tuple(life), []).append(place)
    return [
        (
            *life,
            len({place.offset for place in some}),
            min(place.logged_ms for place in some),
            max(place.logged_ms for place in some),
        )
        for life, some in found.items()
    ]


def _rated_rows(store: Store, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The view `rated_rows`, as the tests read it."""
    names = (
        "direction", "billed", "unit", "billed_seconds", "segments", "charge", "tax_federal",
        "tax_state", "tax_local",
    )  # fmt: skip
    lost = set(_known_losers(store, {}))
    return [
        (
            row["account_id"], row["month"].strftime("%Y-%m"), row["line"], row["identity"],
            row["revision"], *(row[name] for name in names),
        )
        for row in store.final("rated")
        if row["status"] != "voided"
        and tuple(row[name] for name in SHAPES["losers"].key) not in lost
    ]  # fmt: skip


def _tellings(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    names = (
        "seconds", "number", "number_type", "product", "call_id", "user_id",
        "team", "partition", "offset",
    )  # fmt: skip
    rows = [
        (
            row["account_id"], row["kind"], row["event_id"], row["line"], row["thing"],
            row["billed_as"], to_us(row["from_at"]), row["until_at"] and to_us(row["until_at"]),
            *(row[name] for name in names),
            to_us(row["logged_at"]) // 1000, store.read_clock_us(),
        )
        for row in store.final("states")
        if row["revision"] == 0
        and row["line"]
        and _is_changed(row["account_id"], row["billed_as"], parameters)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row[0])


def _tellings_begun(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    begun = {
        (row["account_id"], row["kind"], row["thing"])
        for row in store.all_copies("states")
        if row["from_at"] < parameters["before"]
    }
    return [
        row
        for row in _tellings(store, parameters)
        if (row[0], row[1], row[4]) in begun  # its account, kind and thing
    ]


def _charged(store: Store, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    names = ("month", "account_id", "line", "identity")
    return [
        (*(row[name] for name in names), store.read_clock_us())
        for row in store.final("rated")
        if row["month"] in parameters["months"]
        and row["status"] != "voided"
        and row["line"] in MONTHLY_LINES
        and _is_changed(row["account_id"], row["identity"], parameters)
    ]


def _is_changed(account: str, name: str, parameters: Mapping[str, Any]) -> bool:
    return (
        "things" not in parameters
        or (
            account in parameters["owners"]
            and xxh3_64_intdigest(name.encode()) in orjson.loads(parameters["things"])
        )
        or account in parameters["accounts"]
    )


# ------------------------------------------------------------------ the client


class Answered(NamedTuple):
    result_rows: list[tuple[Any, ...]]


class Client:
    """As much of clickhouse-connect's client as the ledger uses."""

    server_settings = ledger.INSERT_SETTINGS

    def __init__(self, store: Store) -> None:
        self._store = store

    def insert_arrow(self, table: str, data: pa.Table, settings: Mapping[str, Any]) -> None:
        assert settings == ledger.INSERT_SETTINGS
        self._store.insert(table, [_python(row) for row in data.to_pylist()])

    def insert(
        self,
        table: str,
        rows: Sequence[Sequence[Any]],
        column_names: Sequence[str] | None = None,
        *,
        settings: Mapping[str, Any],
    ) -> None:
        assert settings == ledger.INSERT_SETTINGS
        names = column_names or SHAPES[table].columns
        self._store.insert(table, [dict(zip(names, row, strict=True)) for row in rows])

    def command(self, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        assert (sql, settings) == (ledger._VOID, ledger.INSERT_SETTINGS)
        self._store.void(parameters)

    def query(self, sql: str, parameters: Mapping[str, Any]) -> Answered:
        return Answered(self._store.query(sql, parameters))

    def close(self) -> None:
        pass


def _python(row: Row) -> Row:
    """A row as the store's client gives it back."""
    for name, value in row.items():
        if isinstance(value, bytes):
            row[name] = (
                int.from_bytes(value, "little")
                if name == "version"
                else value.decode("utf-8", "replace")
            )
    return row
