"""Accounts from TOML and CSV: what holds since when, and every mistake with its line."""

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from rater.mistake import Mistake
from rater.tariff import Book
from rater.tariff_file import load_book, read_book
from tests.rater.make import make_book, price, us

COLUMNS = "account_id,valid_from,tariff,zone,country,state,locality\n"
HEAD = 'currency = "USD"\naccounts_table = "accounts.csv"\n'  # lines 1 and 2
DEFAULT = '[accounts.default]\ntariff = "t"\nzone = "UTC"\n'  # from line 3 on
TARIFFS = "".join(
    f'[[tariff]]\nname = "{name}"\nvalid_from = 2025-01-01T00:00:00Z\n' for name in "tu"
)

Read = Callable[..., tuple[Book | None, list[Mistake]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_files(toml: str = "", rows: str = "", columns: str = COLUMNS, default: str = DEFAULT,
    ) -> tuple[Book | None, list[Mistake]]:  # fmt: skip
        (tmp_path / "book.toml").write_text(HEAD + default + toml + TARIFFS, encoding="utf-8")
        (tmp_path / "accounts.csv").write_text(columns + rows, encoding="utf-8")
        return read_book(tmp_path / "book.toml")

    return read_files


NEW_YORK = "America/New_York"
CHANGES = """
[[accounts.acme]]
zone = "America/New_York"
service_address = { country = "US", state = "NY" }

[[accounts.acme]]
valid_from = 2026-10-01
tariff = "u"

[[accounts.acme]]
valid_from = 2026-11-15T12:00:00Z
zone = "UTC"
"""
ROWS = (
    f"acme,,,{NEW_YORK},US,NY,\n"
    "other,2026-01-01,u,,,,\n"
    "acme,2026-11-15T12:00:00Z,,UTC,,,\n"  # in any order
    "acme,2026-10-01,u,,,,\n"
)

HELD = [
    # instant                    | tariff zone      state
    ("2025-01-01T00:00:00Z",       "t",   NEW_YORK, "NY"),
    ("2026-10-01T03:59:59.999999Z", "t",  NEW_YORK, "NY"),  # the last of September in New York
    ("2026-10-01T04:00:00Z",       "u",   NEW_YORK, "NY"),
    ("2026-11-15T11:59:59.999999Z", "u",  NEW_YORK, "NY"),
    ("2026-11-15T12:00:00Z",       "u",   "UTC",    "NY"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "rows"), [(CHANGES, ""), ("", ROWS)])
@pytest.mark.parametrize(("instant", "tariff", "zone", "state"), HELD)
def test_an_account_is_what_was_said_last_by_the_events_time(
    read: Read, toml: str, rows: str, instant: str, tariff: str, zone: str, state: str
) -> None:
    book, mistakes = read(toml, rows)
    assert [mistake for mistake in mistakes if mistake.fatal] == []
    assert book is not None
    account = book.account("acme", us(instant))
    assert (account.tariff, account.zone.key, account.address.state) == (tariff, zone, state)


DAYS = [
    # the entry's zone   the default's zone | the first instant of 2026-10-01
    ("Asia/Tokyo",       NEW_YORK,            "2026-09-30T15:00:00Z"),
    ("",                 NEW_YORK,            "2026-10-01T04:00:00Z"),
    ("",                 "UTC",               "2026-10-01T00:00:00Z"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "default", "begins"), DAYS)
def test_a_day_begins_in_the_zone_that_its_entry_says_or_else_in_the_one_before(
    read: Read, own: str, default: str, begins: str
) -> None:
    book, _ = read(rows=f"acme,2026-10-01,u,{own},,,\n", default=DEFAULT.replace("UTC", default))
    assert book is not None
    held = [book.account("acme", us(begins) + around).tariff for around in (-1, 0)]
    assert held == ["t", "u"]


BROKEN = [
    # TOML                                          | line  the message names
    ('[accounts.acme]\nvalid_from = 2026\n',          6,    "write 2026-01-16T00:00:00Z"),
    ('[accounts.acme]\nvalid_from = 2026-10-01T00:00:00\n', 6, "no instant and no day"),
    ('[accounts.acme]\nvalid_until = 2026-10-01\n',   6,    "'valid_until' is none of"),
    ('[[accounts.acme]]\n[[accounts.acme]]\nzone = "Mars"\n'
     "valid_from = 2026-10-01\n",                     7,    "'Mars'"),
    ('[[accounts.acme]]\n[[accounts.acme]]\n',        7,    "same time"),
    ('[[accounts.acme]]\nvalid_from = 2026-10-01\n'
     '[[accounts.acme]]\nvalid_from = 2026-10-01T00:00:00Z\n', 8, "same time"),
    ('[accounts."a.b"]\ntariff = "gold"\n',           6,    "'gold' is none of ['t', 'u']"),
]  # fmt: skip


@pytest.mark.parametrize(("toml", "line", "names"), BROKEN)
def test_a_mistake_in_a_table_is_said_with_its_line(
    read: Read, toml: str, line: int, names: str
) -> None:
    book, mistakes = read(toml)
    (fatal,) = [mistake for mistake in mistakes if mistake.fatal]
    assert (book, fatal.file, fatal.line) == (None, "book.toml", line)
    assert names in fatal.message


def test_a_default_has_to_say_what_holds_at_first(read: Read) -> None:
    for default in (DEFAULT + "valid_from = 2026-01-01\n", DEFAULT.replace('tariff = "t"', "")):
        book, mistakes = read(default=default)
        (fatal,) = [mistake for mistake in mistakes if mistake.fatal]
        assert (book, fatal.line) == (None, 3)
        assert "'default': an entry without valid_from has to say its tariff" in fatal.message


BROKEN_ROWS = [
    # row                            | the message names
    (",,t,,,,",                        "account_id is empty"),
    ("acme,soon,t,,,,",                "'soon' is no instant and no day"),
    ("acme,2026-10-01T00:00:00,t,,,,", "no instant and no day"),
    ("acme,2026-02-30,t,,,,",          "'2026-02-30' is no instant and no day"),
    ("acme,1815-06-18,t,,,,",          "not of our time"),
    ("acme,,gold,,,,",                 "tariff 'gold' is none of ['t', 'u']"),
    ("acme,,,Mars,,,",                 "zone 'Mars' is no IANA time zone"),
    ("good,,u,,,,",                    "same time"),
    ("default,,u,,,,",                 "stands in book.toml too"),
    ("acme,t",                         "more or fewer cells"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "names"), BROKEN_ROWS)
def test_a_mistake_in_a_row_is_said_with_its_line(read: Read, row: str, names: str) -> None:
    book, mistakes = read(rows=f"good,,t,,,,\n{row}\n")
    (fatal,) = [mistake for mistake in mistakes if mistake.fatal]
    assert (book, fatal.file, fatal.line) == (None, "accounts.csv", 3)
    assert names in fatal.message


def test_a_column_that_is_misspelt_is_said(read: Read) -> None:
    book, mistakes = read(columns="account_id,tarif\n", rows="acme,u\n")
    (fatal,) = [mistake for mistake in mistakes if mistake.fatal]
    assert (book, fatal.file, fatal.line) == (None, "accounts.csv", 1)
    assert "'tarif' is none of account_id, country" in fatal.message


def test_every_mistake_of_the_accounts_is_said_at_once(read: Read) -> None:
    toml = '[accounts.acme]\nzone = "Mars"\ntariff = "gold"\n'
    _, mistakes = read(toml, "one,,gold,,,,\ntwo,,,Mars,,,\n")
    assert [(one.file, one.line) for one in mistakes if one.fatal] == [
        ("accounts.csv", 2), ("accounts.csv", 3), ("book.toml", 6), ("book.toml", 6),
    ]  # fmt: skip


def test_a_hundred_thousand_accounts_load_in_two_seconds(read: Read, tmp_path: Path) -> None:
    """Measured in this thread's own time: other work on the machine does not count."""
    rows = "".join(
        f"account-{n},2026-{n % 12 + 1:02d}-{n % 28 + 1:02d},t,{NEW_YORK},US,NY,\n"
        for n in range(100_000)
    )
    read(rows=rows)
    begun = time.thread_time()
    book = load_book(tmp_path / "book.toml")
    assert time.thread_time() - begun < 2
    assert len(book.accounts) == 100_001
    # What is remembered of a price goes by the account: those that are alike are one.
    held = {id(one) for history in book.accounts.values() for one in history.accounts}
    assert len(held) == 2


EARLY = "2026-11-01T02:00:00Z"  # still October in New York, and November by UTC
EAST = make_book(
    price("calls", "1"),
    accounts=f'[[accounts.acme]]\n[[accounts.acme]]\nvalid_from = {EARLY}\nzone = "{NEW_YORK}"\n',
)


def test_months_lie_end_to_end_where_the_zone_changes() -> None:
    """November begins once, by UTC, though New York's clocks go back into October at 02:00."""
    october, november = (EAST.month_bounds_us("acme", date(2026, month, 1)) for month in (10, 11))
    assert october == (us("2026-10-01T00:00:00Z"), us("2026-11-01T00:00:00Z"))
    assert november == (us("2026-11-01T00:00:00Z"), us("2026-12-01T05:00:00Z"))
