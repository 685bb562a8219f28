"""Reading which plan, zone and service address accounts have, since when, and every mistake in it.

Accounts are tables of the book's TOML file, or rows of a CSV file beside it, which may be long. An
account has one entry or several; an entry says some of it, from its `valid_from` on. What an
account's own entries have not said by then is what `accounts.default` says.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rater.mistake import Mistake
from rater.months import FOREVER_US, edge_us, read_edge
from rater.tariff import Account, History
from rater.tax import Address

COLUMNS = ("account_id",)
OPTIONAL_COLUMNS = ("valid_from", "tariff", "zone", "country", "state", "locality")
_KEYS = ("tariff", "zone", "service_address", "valid_from")
_UTC = ZoneInfo("UTC")


class Said(NamedTuple):
    """What an entry says of an account; None for what it leaves as it was."""

    tariff: str | None
    zone: ZoneInfo | None
    address: Address | None


class Entry(NamedTuple):
    """An account's entry and where it stands; `at_us` of a day is its midnight in UTC."""

    file: str
    line: int
    at_us: int
    is_day: bool
    said: Said


class Step(NamedTuple):
    """What holds of an entry, from an instant on."""

    from_us: int
    said: Said


class AccountsReader:
    """One reading of a book's accounts: collects mistakes instead of stopping at the first."""

    def __init__(self, file: str, tariffs: set[str], line_of: Callable[[str, int], int]) -> None:
        self.mistakes: list[Mistake] = []
        self._file = file
        self._tariffs = tariffs
        self._line_of = line_of  # of a TOML header, and its how-manieth
        # A long file has its few words again and again: what was found good is found once.
        self._zones: dict[str, ZoneInfo | None] = {}
        self._rows: dict[tuple[str, ...], tuple[int, bool, Said]] = {}
        self._histories: dict[tuple[int, bool, int], History] = {}

    def read(
        self, tables: object, file: str, rows: Iterable[tuple[int, tuple[str, ...]]]
    ) -> dict[str, History]:
        """The accounts of TOML tables and of a CSV file's rows, each with its line and cells."""
        entries: dict[str, list[Entry]] = {}
        for account_id, entry in self._of_tables(tables):
            entries.setdefault(account_id, []).append(entry)
        named = set(entries)
        for line, row in rows:
            account_id = row[0]
            if not account_id:
                self._say(file, line, "account_id is empty")
            elif account_id in named:
                self._say(file, line, f"account {account_id!r} stands in {self._file} too")
            else:
                entry = self._of_row(account_id, file, line, row[1:])
                entries.setdefault(account_id, []).append(entry)
        if "default" not in entries:
            self._say(
                self._file, 1,
                "accounts.default is missing; say its tariff, zone and service_address",
            )  # fmt: skip
            return {}
        default = self._steps("default", entries["default"], ())
        first = entries["default"][0]
        if default[0].from_us != -FOREVER_US or default[0].said.tariff is None:
            self._say(
                first.file, first.line,
                "account 'default': an entry without valid_from has to say its tariff, "
                f"which is one of {sorted(self._tariffs)}",
            )  # fmt: skip
        return {
            account_id: self._history(account_id, own, default)
            for account_id, own in entries.items()
        }

    # Entries

    def _of_tables(self, tables: object) -> Iterator[tuple[str, Entry]]:
        for account_id, value in tables.items() if isinstance(tables, dict) else ():
            for index, table in enumerate(value if isinstance(value, list) and value else [value]):
                if not isinstance(table, dict):
                    line = self._line_of("accounts", 0)
                    self._say(self._file, line, f"account {account_id!r} is {table!r}; say a table")
                    continue
                plain, quoted = f"accounts.{account_id}", f'accounts."{account_id}"'
                line = max(self._line_of(plain, index), self._line_of(quoted, index))
                yield account_id, self._of_table(account_id, line, table)

    def _of_table(self, account_id: str, line: int, table: dict[str, Any]) -> Entry:
        where = f"account {account_id!r}"
        self._unknown_keys(table, _KEYS, line, where)
        said = Said(
            self._tariff(table.get("tariff"), self._file, line, where),
            self._zone(table.get("zone"), self._file, line, where),
            self._address(table.get("service_address"), line, where),
        )
        return Entry(self._file, line, *self._edge(table, self._file, line, where), said)

    def _of_row(self, account_id: str, file: str, line: int, cells: tuple[str, ...]) -> Entry:
        found = self._rows.get(cells)
        if found is not None:
            return Entry(file, line, *found)
        where, before = f"account {account_id!r}", len(self.mistakes)
        valid_from, tariff, zone, *address = cells
        said = Said(
            self._tariff(tariff or None, file, line, where),
            self._zone(zone or None, file, line, where),
            Address(*address) if any(address) else None,
        )
        since = {"valid_from": valid_from} if valid_from else {}
        found = (*self._edge(since, file, line, where), said)
        if len(self.mistakes) == before:
            self._rows[cells] = found
        return Entry(file, line, *found)

    # What they say

    def _tariff(self, tariff: object, file: str, line: int, where: str) -> str | None:
        if tariff is None:
            return None
        if not isinstance(tariff, str) or tariff not in self._tariffs:
            self._say(file, line, f"{where}: tariff {tariff!r} is none of {sorted(self._tariffs)}")
        return str(tariff)

    def _zone(self, name: object, file: str, line: int, where: str) -> ZoneInfo | None:
        if name is None:
            return None
        text = str(name)
        if text not in self._zones:
            try:
                self._zones[text] = ZoneInfo(text)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                self._zones[text] = None
        zone = self._zones[text]
        if zone is None:
            self._say(file, line, f"{where}: zone {name!r} is no IANA time zone")
        return zone

    def _address(self, table: object, line: int, where: str) -> Address | None:
        if table is None:
            return None
        if not isinstance(table, dict):
            self._say(self._file, line, f"{where}: service_address is {table!r}; say a table")
            return None
        self._unknown_keys(table, Address._fields, line, f"{where}: service_address")
        for key in Address._fields:
            if not isinstance(table.get(key, ""), str):
                self._say(
                    self._file, line, f"{where}: service_address {key} {table[key]!r} is no text"
                )
        return Address(*(str(table.get(key, "")) for key in Address._fields))

    def _edge(self, table: dict[str, Any], file: str, line: int, where: str) -> tuple[int, bool]:
        value = table.get("valid_from")
        if value is None:
            return -FOREVER_US, False
        try:
            return read_edge(value)
        except ValueError as error:
            self._say(file, line, f"{where}: valid_from {error}")
            return -FOREVER_US, False

    # What follows from them

    def _steps(
        self, account_id: str, entries: Sequence[Entry], default: Sequence[Step]
    ) -> tuple[Step, ...]:
        """The entries in order of time.

        A day begins at midnight in the zone that its entry says, or else in the one that is in
        force at that day's midnight in UTC.
        """
        steps: list[Step] = []
        for entry in sorted(entries, key=lambda entry: entry.at_us):
            zone = entry.said.zone or _account_at(entry.at_us, steps, default).zone
            from_us = edge_us(entry.at_us, zone, is_day=entry.is_day)
            if steps and from_us <= steps[-1].from_us:
                self._say(
                    entry.file,
                    entry.line,
                    f"account {account_id!r}: another entry holds from the same time on; "
                    "each has a valid_from of its own, and one may have none",
                )
            else:
                steps.append(Step(from_us, entry.said))
        return tuple(steps)

    def _history(
        self, account_id: str, entries: Sequence[Entry], default: tuple[Step, ...]
    ) -> History:
        """All that an account maps to; accounts of one entry each that say the same share it."""
        first = entries[0]
        key = (first.at_us, first.is_day, id(first.said))
        if len(entries) == 1 and key in self._histories:
            return self._histories[key]
        steps = self._steps(account_id, entries, default)
        edges = sorted({-FOREVER_US, *(step.from_us for step in (*steps, *default))})
        accounts = [_account_at(at_us, steps, default) for at_us in edges]
        changes = [at for at in range(1, len(accounts)) if accounts[at] != accounts[at - 1]]
        history = History(
            tuple(edges[at] for at in changes), tuple(accounts[at] for at in (0, *changes))
        )
        if len(entries) == 1:
            self._histories[key] = history
        return history

    # Mistakes

    def _unknown_keys(
        self, table: dict[str, Any], known: Iterable[str], line: int, where: str
    ) -> None:
        for key in sorted(set(table) - set(known)):
            self._say(self._file, line, f"{where}: {key!r} is none of {', '.join(sorted(known))}")

    def _say(self, file: str, line: int, message: str) -> None:
        self.mistakes.append(Mistake(file, line, message))


def _account_at(at_us: int, steps: Sequence[Step], default: Sequence[Step]) -> Account:
    """The last that was said of each by an instant, by the account's own entries if they do."""
    tariff, zone, address = "", _UTC, Address()
    for from_us, said in (*default, *steps):
        if from_us <= at_us:
            tariff = tariff if said.tariff is None else said.tariff
            zone = zone if said.zone is None else said.zone
            address = address if said.address is None else said.address
    return Account(tariff, zone, address)
