"""Reading a tariff book from its files, and saying every mistake at once, with file and line.

The book is one TOML file; long prefix lists and the tax table are CSV files beside it. Decimals
are read as decimals, never as floats.
"""

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import combinations, product
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from rater.accounts_file import COLUMNS, OPTIONAL_COLUMNS, AccountsReader
from rater.charge import format_us
from rater.instants import to_us
from rater.kinds.text import normal_carrier
from rater.mistake import Mistake
from rater.money import NANOS, ROUNDINGS, MoneyError, format_nanos, parse_nanos
from rater.months import FOREVER_US, read_edge
from rater.price import LINES, STATUSES, WORDS, Match, Price
from rater.tariff import Book, History, Tariff, Version
from rater.tax import LEVELS, TaxRow, TaxTable


class TariffError(ValueError):
    """The book cannot be loaded; `mistakes` says every reason."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


_PRICE_KEYS = {
    "line", "match", "prefix", "prefixes", "unit", "rate", "per", "connection_fee", "first",
    "following", "minimum", "start", "fraction", "free", "rounding", "prorate",
    "valid_from", "valid_until",
}  # fmt: skip
# A day's call at this rate still fits the ledger's Decimal(18, 9).
RATE_MAX = 100_000 * NANOS

_UTC = ZoneInfo("UTC")
# Of E.164 numbers; or, without the plus, of short numbers such as 911, which begin so.
_PREFIX = re.compile(r"^(?:\+[0-9]{1,15}|[0-9]{3,8})\Z")
_NO_PREFIX = "is neither + and digits nor the 3 to 8 digits of a short number"
_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.\"' -]+?)\s*\]?\]")


def load_book(path: Path) -> Book:
    """The book of a tariff file. Raises TariffError, which lists every fatal mistake at once."""
    book, mistakes = read_book(path)
    fatal = [mistake for mistake in mistakes if mistake.fatal]
    if fatal or book is None:
        raise TariffError(fatal)
    return book


def read_book(path: Path) -> tuple[Book | None, list[Mistake]]:
    """The book, or None, and every mistake of its files. Raises nothing on bad data."""
    reader = _Reader(path)
    book = reader.read()
    return book, sorted(reader.mistakes)


class _Reader:
    """One reading of one book: collects mistakes instead of stopping at the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Mistake] = []
        self.headers: dict[str, list[int]] = {}
        self.zones: list[ZoneInfo] = []  # of all accounts: what is a day has an edge in each
        # A deck has its few rates again and again: what was found good is not looked at twice.
        self.amounts: dict[str, int] = {}

    def read(self) -> Book | None:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
            data = tomllib.loads(text, parse_float=Decimal)
        except (OSError, UnicodeDecodeError) as error:
            self._say(1, f"cannot be read: {error}")
            return None
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"at line (\d+)", str(error))
            self._say(int(found[1]) if found else 1, f"is not TOML: {error}")
            return None
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                self.headers.setdefault(header[1], []).append(number)
        known = {"currency", "tax_table", "accounts", "accounts_table", "tariff"}
        self._unknown_keys(data, known, 1, "the file")
        currency = data.get("currency")
        if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
            self._say(1, f"currency is {currency!r}; say a code of three letters, such as USD")
            currency = "USD"
        tables = self._tables(data.get("tariff", []), self._line_of("tariff"), "tariff")
        names = {str(table.get("name")) for table in tables}
        accounts = self._accounts(data.get("accounts", {}), data.get("accounts_table"), names)
        self.zones = sorted(
            {account.zone for history in set(accounts.values()) for account in history.accounts},
            key=str,
        )
        tariffs = self._tariffs(tables)
        taxes = self._taxes(data.get("tax_table"))
        if any(mistake.fatal for mistake in self.mistakes):
            return None
        return Book(currency, tariffs, accounts, taxes)

    # Accounts

    def _accounts(self, tables: Any, file: object, tariffs: set[str]) -> dict[str, History]:
        reader = AccountsReader(self.path.name, tariffs, self._line_of)
        path = self.path.parent / str(file)
        rows = (
            self._csv(path, COLUMNS, 1, OPTIONAL_COLUMNS, closed=True) if file is not None else ()
        )
        accounts = reader.read(tables, path.name, rows)
        self.mistakes += reader.mistakes
        return accounts

    # Tariffs, versions and prices

    def _tables(self, value: Any, line: int, where: str) -> list[dict[str, Any]]:
        """The tables of a [[list]]; what is something else is a mistake and left out."""
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            if not isinstance(value, list) or not isinstance(entry, dict):
                self._say(line, f"{where} is {entry!r}; write it as [[tables]]")
        return [entry for entry in entries if isinstance(entry, dict)]

    def _tariffs(self, tables: list[dict[str, Any]]) -> dict[str, Tariff]:
        if not tables:
            self._say(1, "there is no [[tariff]]; add one with a name, valid_from and prices")
        versions: dict[str, list[tuple[int, Version]]] = {}
        lines = iter(self.headers.get("tariff.price", []))
        for index, table in enumerate(tables):
            line = self._line_of("tariff", index)
            name = table.get("name")
            if not isinstance(name, str) or not name:
                self._say(line, f"tariff name is {name!r}; say a name")
                name = f"#{index}"
            where = f"tariff {name!r}"
            self._unknown_keys(table, {"name", "valid_from", "valid_until", "price"}, line, where)
            from_us, from_is_day = self._edge(table, "valid_from", line, where, -FOREVER_US)
            if from_us == -FOREVER_US:
                self._say(line, f"{where}: valid_from is missing; say the instant or day it starts")
                from_us = 0
            until_us, until_is_day = self._edge(table, "valid_until", line, where, FOREVER_US)
            prices: list[Price] = []
            for price in self._tables(table.get("price", []), line, f"{where}: price"):
                prices += self._price(price, next(lines, line), where)
            version = Version(
                format_us(from_us).removesuffix("T00:00:00Z" if from_is_day else ""),
                from_us,
                until_us,
                prices,
                from_is_day,
                until_is_day,
            )
            if any(until <= since for since, until in self._edges(version)):
                self._say(line, f"{where}: valid_until is not after valid_from")
            self._check_prices(version, line, where)
            versions.setdefault(name, []).append((line, version))
        return {name: self._tariff(name, versions[name]) for name in versions}

    def _tariff(self, name: str, versions: list[tuple[int, Version]]) -> Tariff:
        """Versions in order of time; one without an end ends where the next one starts."""
        versions = sorted(versions, key=lambda pair: pair[1].from_us)
        ended = []
        for index, (_, version) in enumerate(versions):
            if index + 1 < len(versions):
                line, following = versions[index + 1]
                where = f"tariff {name!r} from {following.label}"
                if version.until_us == FOREVER_US:
                    version = version._replace(
                        until_us=following.from_us, until_is_day=following.from_is_day
                    )
                edges = list(zip(self._edges(version), self._edges(following), strict=True))
                if any(since == begun or since < until for (begun, until), (since, _) in edges):
                    self._say(line, f"{where} overlaps the version from {version.label}")
                elif any(since > until for (_, until), (since, _) in edges):
                    self._say(
                        line,
                        f"{where} leaves a gap after the version from {version.label}: what "
                        "happens in it is parked",
                        fatal=False,
                    )
            ended.append(version)
        return Tariff(name, ended)

    def _price(self, table: dict[str, Any], line: int, where: str) -> list[Price]:
        """The prices of one [[tariff.price]]: one, or one for each row of its CSV file."""
        before = len(self.mistakes)
        self._unknown_keys(table, _PRICE_KEYS, line, f"{where}: price")
        name = table.get("line")
        if not isinstance(name, str) or name not in LINES:
            self._say(line, f"{where}: line {name!r} is none of {', '.join(LINES)}")
            return []
        where = f"{where}: price of {name}"
        rule = LINES[name]
        unit = str(table.get("unit"))
        if unit not in rule.units:
            self._say(line, f"{where}: unit {unit!r} is none of {', '.join(rule.units)}")
        number = {
            key: self._whole(table, key, line, where, default, least)
            for key, default, least in (
                ("per", 1, 1), ("first", 60, 1), ("following", 60, 1), ("minimum", 0, 0),
            )
        }  # fmt: skip
        if unit == "minute" and any(number[key] % 60 for key in ("first", "following", "minimum")):
            self._say(
                line,
                f"{where}: first {number['first']}, following {number['following']}, minimum "
                f'{number["minimum"]} are not whole minutes; use unit = "second" and per = 60',
            )
        free = self._words(table, line, where)
        match = self._match(table.get("match", {}), rule.dims, line, where)
        from_us, from_is_day = self._edge(table, "valid_from", line, where, -FOREVER_US)
        until_us, until_is_day = self._edge(table, "valid_until", line, where, FOREVER_US)
        rates = self._rates(table, line, where)
        if len(self.mistakes) > before:
            for _ in rates:  # for the mistakes among them
                pass
            return []
        same = Price(
            line=name, match=match, prefix="", unit=unit, rate=0, connection_fee=0,
            start=table.get("start", "dial"), fraction=table.get("fraction", "drop"),
            free=frozenset(free), rounding=table.get("rounding", "half-even"),
            prorate=table.get("prorate", False),
            valid_from_us=from_us, valid_until_us=until_us,
            from_is_day=from_is_day, until_is_day=until_is_day,
            place="", per=number["per"], first=number["first"],
            following=number["following"], minimum=number["minimum"],
        )  # fmt: skip
        if any(until <= since for since, until in self._edges(same)):
            self._say(line, f"{where}: valid_until is not after valid_from")
        of_short = _match_of_short_numbers(match, rule.dims)
        prices = [
            replace(
                same,
                match=of_short if prefix[:1].isdigit() else match,
                prefix=prefix,
                rate=rate,
                connection_fee=fee,
                place=place,
            )
            for prefix, rate, fee, place in rates
        ]
        return [] if len(self.mistakes) > before else prices

    def _words(self, table: dict[str, Any], line: int, where: str) -> list[str]:
        """Says which of a price's words are none; gives its free statuses."""
        for key, words in (
            ("start", ("dial", "answer")), ("fraction", ("drop", "up")), ("rounding", ROUNDINGS),
        ):  # fmt: skip
            if key in table and table[key] not in tuple(words):
                self._say(line, f"{where}: {key} {table[key]!r} is none of {', '.join(words)}")
        if not isinstance(table.get("prorate", False), bool):
            self._say(line, f"{where}: prorate is {table['prorate']!r}; say true or false")
        free = table.get("free", [])
        if not isinstance(free, list):
            self._say(line, f"{where}: free is {free!r}; say a list of statuses")
            free = []
        for status in free:
            if status not in STATUSES:
                self._say(line, f"{where}: status {status!r} is none of {', '.join(STATUSES)}")
        return free

    def _rates(
        self, table: dict[str, Any], line: int, where: str
    ) -> Iterator[tuple[str, int, int, str]]:
        """(prefix, rate, connection fee, place) of a price: its own, or its CSV file's rows."""
        fee_value = table.get("connection_fee", 0)
        fee = self._money(fee_value, "connection_fee", self.path.name, line, where)
        if "prefixes" not in table:
            if "rate" not in table:
                self._say(line, f"{where}: rate is missing; say it, or prefixes = a CSV file")
            prefix = table.get("prefix", "")
            if not isinstance(prefix, str) or (prefix and not _PREFIX.match(prefix)):
                self._say(line, f"{where}: prefix {prefix!r} {_NO_PREFIX}")
            rate = self._money(table.get("rate", 0), "rate", self.path.name, line, where)
            yield str(prefix), rate, fee, f"{self.path.name}:{line}"
            return
        if "rate" in table or "prefix" in table:
            self._say(line, f"{where}: prefixes brings its own prefix and rate; leave those out")
        path = self.path.parent / str(table["prefixes"])
        file = path.name
        seen: dict[str, int] = {}
        columns, optional = ("prefix", "rate"), ("connection_fee",)
        for number, (prefix, row_rate, row_fee) in self._csv(path, columns, line, optional):
            if not _PREFIX.match(prefix):
                self._say(number, f"prefix {prefix!r} {_NO_PREFIX}", file)
            if prefix in seen:
                self._say(number, f"prefix {prefix} stands on line {seen[prefix]} too", file)
            seen[prefix] = number
            yield (
                prefix,
                self._money(row_rate, "rate", file, number, "row"),
                self._money(row_fee, "connection_fee", file, number, "row") if row_fee else fee,
                f"{file}:{number}",
            )

    def _match(self, table: Any, dims: tuple[str, ...], line: int, where: str) -> Match:
        if not isinstance(table, dict):
            self._say(line, f'{where}: match is {table!r}; say a table such as {{ media = "sms" }}')
            return ()
        self._unknown_keys(table, set(dims), line, f"{where}: match")
        pairs = []
        for key, value in sorted(table.items()):
            if isinstance(value, bool):
                value = str(value).lower()
            words = WORDS.get(key)
            if not isinstance(value, str) or (words is not None and value not in words):
                named = ", ".join(words or ("any text",))
                self._say(line, f"{where}: {key} {value!r} is none of {named}")
            if key == "carrier":
                value = normal_carrier(str(value))
            pairs.append((key, str(value)))
        return tuple(pairs)

    def _check_prices(self, version: Version, line: int, where: str) -> None:
        """Overlaps and missing fallback rows of one version."""
        by_line: dict[str, list[Price]] = {name: [] for name in LINES}
        for price in version.prices:
            by_line[price.line].append(price)
        for name, prices in by_line.items():
            if not prices:
                self._say(
                    line, f"{where}: no price for {name}; what uses it is parked", fatal=False
                )
                continue
            self._check_overlaps(prices, where)
            self._check_fallback(name, prices, version, line, where)
            if LINES[name].dims == LINES["calls"].dims:
                self._check_short_numbers(name, prices, where)

    def _check_overlaps(self, prices: list[Price], where: str) -> None:
        patterns: dict[Match, dict[str, Price]] = {}
        more: dict[tuple[Match, str], list[Price]] = {}  # where one prefix has several prices
        for price in prices:
            first = patterns.setdefault(price.match, {}).setdefault(price.prefix, price)
            if first is not price:
                more.setdefault((price.match, price.prefix), [first]).append(price)
        for same in more.values():
            for one, other in combinations(same, 2):
                self._overlap(one, other, where)
        for (match, ones), (other_match, others) in combinations(patterns.items(), 2):
            if not _both_match(match, other_match):
                continue
            both = patterns.get(tuple(sorted({*match, *other_match})), {})
            for prefix in ones.keys() & others.keys():
                if prefix in both or ones[prefix].rank() != others[prefix].rank():
                    continue
                same_ones = more.get((match, prefix), [ones[prefix]])
                same_others = more.get((other_match, prefix), [others[prefix]])
                for one, other in product(same_ones, same_others):
                    self._overlap(one, other, where)

    def _overlap(self, one: Price, other: Price, where: str) -> None:
        both = zip(self._edges(one), self._edges(other), strict=True)
        if any(since < ended and began < until for (since, until), (began, ended) in both):
            file, _, number = other.place.rpartition(":")
            self._say(
                int(number),
                f"{where}: price of {other.line} {other.prefix} overlaps the one at {one.place}; "
                "match on more, or end one where the other starts",
                file,
            )

    def _check_fallback(
        self, name: str, prices: list[Price], version: Version, line: int, where: str
    ) -> None:
        """Each direction (and medium) needs a row that anything falls back to."""
        keys = LINES[name].fallback_by
        media = ("sms", "mms")
        values = {
            "direction": WORDS["direction"],
            "media": media,
            "number_type": ("local", "tollfree"),
        }
        wanted: list[dict[str, Any]] = [{}]
        for key in keys:
            wanted = [one | {key: value} for one in wanted for value in values[key]]
        bare = [price for price in prices if not price.prefix]
        for facts in wanted:
            falling = [
                price
                for price in bare
                if all(key in facts and facts[key] == value for key, value in price.match)
            ]
            if any(
                _reach(start_us, sorted(price.edges(zone) for price in falling)) < end_us
                for zone in (self.zones if version.has_days() else [_UTC])
                for start_us, end_us in [version.edges(zone)]
            ):
                named = " ".join(str(value) for value in facts.values())
                self._say(
                    line,
                    f"{where}: no fallback row for {name} {named}; what no other price matches "
                    "is parked",
                    fatal=False,
                )

    def _check_short_numbers(self, name: str, prices: list[Price], where: str) -> None:
        """Where destinations have prices of their own, so should short numbers.

        Extensions and emergency calls would fall to the fallback, often the dearest price.
        Source: docs/rules.md, Prices.
        """
        outbound = [price for price in prices if ("direction", "inbound") not in price.match]
        if not any(price.prefix or "to" in dict(price.match) for price in outbound):
            return  # all destinations cost the same
        bare = [price for price in outbound if not price.prefix]
        if any(_takes_all_of(price.match, to="shortcode") for price in bare):
            return
        for price in bare:
            if _takes_all_of(price.match):
                file, _, number = price.place.rpartition(":")
                self._say(
                    int(number),
                    f"{where}: extensions and emergency calls fall to this fallback of {name}; add "
                    'a price with match = { to = "shortcode" }, and a prefix such as "911" for '
                    "each short number with a price of its own",
                    file,
                    fatal=False,
                )

    # Taxes

    def _taxes(self, name: Any) -> TaxTable | None:
        if name is None:
            return None
        path = self.path.parent / str(name)
        columns = (
            "level", "country", "state", "locality", "authority", "lines", "rate", "taxed_share",
            "valid_from", "valid_until",
        )  # fmt: skip
        rows = []
        for number, cells in self._csv(path, columns, 1):
            row = dict(zip(columns, cells, strict=True))
            if row["level"] not in LEVELS:
                self._say(
                    number, f"level {row['level']!r} is none of {', '.join(LEVELS)}", path.name
                )
            lines = frozenset(row["lines"].split("|"))
            for unknown in sorted(lines - LINES.keys()):
                self._say(number, f"line {unknown!r} is none of {', '.join(LINES)}", path.name)
            from_us = self._day(row["valid_from"], path.name, number)
            until_us = self._day(row["valid_until"], path.name, number)
            rows.append(
                TaxRow(
                    row["level"], row["country"], row["state"], row["locality"],
                    row["authority"], lines,
                    self._money(row["rate"], "rate", path.name, number, "row"),
                    self._money(row["taxed_share"], "taxed_share", path.name, number, "row"),
                    -FOREVER_US if from_us is None else from_us,
                    FOREVER_US if until_us is None else until_us,
                )
            )  # fmt: skip
        return TaxTable(rows)

    # Values

    def _csv(
        self,
        path: Path,
        columns: tuple[str, ...],
        line: int,
        optional: tuple[str, ...] = (),
        *,
        closed: bool = False,
    ) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each row's line and its cells of the columns, "" for an optional one that is not there.

        Where the file is `closed` a column that is neither is a mistake.
        By place, not by name: a deck has 200,000 rows, and a dictionary for each takes longest. The
        file is read at once: a thread that lets go of the interpreter at each small read takes it
        again before another one is awake (measured: the worker's loop stood still for 0.5 s).
        """
        try:
            rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
            names = next(rows, [])
            missing = set(columns) - set(names)
            if missing:
                self._say(1, f"columns {', '.join(sorted(missing))} are missing", path.name)
                return
            if closed:
                self._unknown_keys(
                    dict.fromkeys(names), {*columns, *optional}, 1, "column", path.name
                )
            places = {name: place for place, name in enumerate(names)}
            pick = itemgetter(*(places.get(name, len(names)) for name in columns + optional))
            for cells in rows:
                if len(cells) == len(names):
                    cells.append("")  # where an optional column would be
                    yield rows.line_num, pick(cells)
                elif cells:  # an empty line is none
                    self._say(rows.line_num, "has more or fewer cells than columns", path.name)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self._say(line, f"{path.name} cannot be read: {error}")

    def _money(self, value: object, key: str, file: str, line: int, where: str) -> int:
        if isinstance(value, str) and value in self.amounts:
            return self.amounts[value]
        if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
            self._say(line, f"{where}: {key} {value!r} is not a decimal number", file)
            return 0
        try:
            nanos = parse_nanos(value)
        except MoneyError as error:
            self._say(line, f"{where}: {key} {error}", file)
            return 0
        if nanos < 0:
            self._say(line, f"{where}: {key} {value} is negative", file)
        elif nanos > RATE_MAX:
            most = format_nanos(RATE_MAX)
            self._say(line, f"{where}: {key} {value} is more than {most} a unit", file)
        elif isinstance(value, str):
            self.amounts[value] = nanos
        return nanos

    def _whole(
        self, table: dict[str, Any], key: str, line: int, where: str, default: int, least: int
    ) -> int:
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self._say(line, f"{where}: {key} {value!r} is not a whole number from {least} up")
            return default
        return value

    def _edge(
        self, table: dict[str, Any], key: str, line: int, where: str, absent: int
    ) -> tuple[int, bool]:
        """An instant, and whether it is a day, kept as its midnight in UTC."""
        if key in table:
            try:
                return read_edge(table[key])
            except ValueError as error:
                self._say(line, f"{where}: {key} {error}")
        return absent, False

    def _edges(self, dated: Price | Version) -> list[tuple[int, int]]:
        """The instants [from, until) in each zone that an account has."""
        return [dated.edges(zone) for zone in self.zones or [_UTC]]

    def _day(self, text: str, file: str, line: int) -> int | None:
        """A day of a CSV file as its first instant in UTC; empty is open."""
        if not text:
            return None
        try:
            return to_us(datetime.combine(date.fromisoformat(text), time(), UTC))
        except ValueError:
            self._say(line, f"{text!r} is no day; write 2026-01-16", file)
            return None

    def _unknown_keys(
        self, table: Any, known: set[str], line: int, where: str, file: str | None = None
    ) -> None:
        for key in sorted(set(table) - known) if isinstance(table, dict) else []:
            self._say(line, f"{where}: {key!r} is none of {', '.join(sorted(known))}", file)

    def _line_of(self, header: str, index: int = 0) -> int:
        lines = self.headers.get(header, [])
        return lines[index] if index < len(lines) else 1

    def _say(self, line: int, message: str, file: str | None = None, *, fatal: bool = True) -> None:
        self.mistakes.append(Mistake(file or self.path.name, line, message, fatal))


def _reach(from_us: int, spans: Iterable[tuple[int, int]]) -> int:
    """How far spans, ordered by their start, reach from an instant on without a gap."""
    for since_us, until_us in spans:
        if since_us <= from_us:
            from_us = max(from_us, until_us)
    return from_us


def _match_of_short_numbers(match: Match, dims: tuple[str, ...]) -> Match:
    """What a price with a prefix such as "911" matches: short numbers alone.

    So it goes before `to = "shortcode"`, as the longer prefix of two that name the form.
    """
    if "to" not in dims or "to" in dict(match):
        return match
    return tuple(sorted({*match, ("to", "shortcode")}))


def _takes_all_of(match: Match, **form: str) -> bool:
    """Whether it takes every outbound call, or every one to a form of numbers."""
    asked = {key: value for key, value in match if key not in ("direction", "media")}
    return asked == form


def _both_match(one: Match, other: Match) -> bool:
    """Whether some event matches both: no dimension is asked to be two things."""
    facts = dict(one)
    return all(facts.get(key, value) == value for key, value in other)
