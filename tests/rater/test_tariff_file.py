"""Reading a tariff: the sample has no mistakes, and a broken file says all of its own at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rater.mistake import Mistake
from rater.money import format_nanos
from rater.tariff import Book
from rater.tariff_file import TariffError, load_book, read_book
from schemas import SAMPLE_TARIFF
from tests.rater.make import TAX_HEAD, us

GOOD = """\
currency = "USD"
tax_table = "tax.csv"

[accounts.default]
tariff = "t"
zone = "UTC"

[accounts.acme]
zone = "America/New_York"

[[tariff]]
name = "t"
valid_from = 2025-01-01T00:00:00Z

[[tariff.price]]
line = "calls"
unit = "minute"
rate = 0.01

[[tariff.price]]
line = "calls"
match = { direction = "outbound" }
unit = "minute"
prefixes = "calls.csv"
"""
# The lines of its headers, by hand.
FILE, DEFAULT, ACME, TARIFF, PRICE, LISTED = 1, 4, 8, 11, 15, 20

GOOD_CALLS = "prefix,rate\n+1,0.013\n+1416,0.014\n+44,0.015\n"
GOOD_TAXES = TAX_HEAD + "federal,US,,,USF,calls,0.36,0.649,2026-01-01,\n"

Read = Callable[..., tuple[Book | None, list[Mistake]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the good files, or others in their place."""

    def read_files(
        toml: str = GOOD, calls: str = GOOD_CALLS, taxes: str = GOOD_TAXES
    ) -> tuple[Book | None, list[Mistake]]:
        for name, content in (("book.toml", toml), ("calls.csv", calls), ("tax.csv", taxes)):
            (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
        return read_book(tmp_path / "book.toml")

    return read_files


def fatal(mistakes: list[Mistake]) -> list[tuple[str, int, str]]:
    return [(m.file, m.line, m.message) for m in mistakes if m.fatal]


def lenient(mistakes: list[Mistake]) -> list[tuple[str, int, str]]:
    return [(m.file, m.line, m.message) for m in mistakes if not m.fatal]


def test_the_sample_has_no_mistakes() -> None:
    book, mistakes = read_book(SAMPLE_TARIFF)
    assert mistakes == []
    assert book is not None
    assert (book.currency, sorted(book.accounts)) == ("USD", ["acme", "default"])


def test_a_good_file_is_read_to_the_letter(read: Read) -> None:
    book, mistakes = read()
    assert fatal(mistakes) == []
    assert book is not None
    (version,) = book.tariffs["t"].versions
    assert (version.label, version.from_us) == ("2025-01-01T00:00:00Z", us(version.label))
    rows = [(p.match, p.prefix, format_nanos(p.rate), p.place) for p in version.prices]
    outbound = (("direction", "outbound"),)
    assert rows == [
        ((), "", "0.01", "book.toml:15"),
        (outbound, "+1", "0.013", "calls.csv:2"),
        (outbound, "+1416", "0.014", "calls.csv:3"),
        (outbound, "+44", "0.015", "calls.csv:4"),
    ]


# ------------------------------------------------------------------ one mistake each

BROKEN = [
    # written              instead                                  | line     the message names
    # the file
    ('currency = "USD"',   "",                                        FILE,    "currency is None"),
    ('currency = "USD"',   'currency = "dollars"',                    FILE,    "'dollars'"),
    ('currency = "USD"',   "currency = 840",                          FILE,    "840"),
    ('currency = "USD"',   'currency = "USD"\ncolour = "red"',        FILE,    "'colour'"),
    ('"tax.csv"',          '"nowhere.csv"',                           FILE,    "nowhere.csv"),
    ("rate = 0.01",        "rate = = 0.01",                           18,      "not TOML"),
    ("rate = 0.01",        "rate = 0.01\nrate = 0.02",                19,      "not TOML"),
    # accounts
    ("[accounts.default]", "[accounts.other]",                        FILE,    "accounts.default"),
    ('zone = "UTC"',       'zone = "Mars/Olympus"',                   DEFAULT, "'Mars/Olympus'"),
    ('"America/New_York"', '"Eastern"',                               ACME,    "'Eastern'"),
    ('"America/New_York"', '"../../etc/passwd"',                      ACME,    "no IANA"),
    ('zone = "America/New_York"', 'tariff = "gold"',                  ACME,    "'gold'"),
    ('zone = "America/New_York"', 'timezone = "UTC"',                 ACME,    "'timezone'"),
    ('zone = "America/New_York"', 'service_address = { zip = "10001" }', ACME, "'zip'"),
    ('zone = "America/New_York"', 'service_address = { state = ["NY"] }', ACME, "state"),
    ('zone = "America/New_York"', 'service_address = { country = 1 }', ACME,   "country"),
    # versions
    ("valid_from = 2025-01-01T00:00:00Z", "",                         TARIFF,  "valid_from is"),
    ("2025-01-01T00:00:00Z",
     "2025-01-01T00:00:00Z\nvalid_until = 2025-01-01T00:00:00Z",      TARIFF,  "valid_until"),
    ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z\ncolour = 1",      TARIFF,  "'colour'"),
    # prices: unknown words
    ('line = "calls"\nunit', 'line = "telegrams"\nunit',              PRICE,   "'telegrams'"),
    ('unit = "minute"\nrate', 'unit = "hour"\nrate',                  PRICE,   "'hour'"),
    ('unit = "minute"\nrate', 'unit = "text"\nrate',                  PRICE,   "'text'"),
    ('unit = "minute"\nrate', "rate",                                 PRICE,   "unit 'None'"),
    ("rate = 0.01",        "rate = 0.01\nstart = 'ringing'",          PRICE,   "'ringing'"),
    ("rate = 0.01",        "rate = 0.01\nfraction = 'keep'",          PRICE,   "'keep'"),
    ("rate = 0.01",        "rate = 0.01\nrounding = 'down'",          PRICE,   "'down'"),
    ("rate = 0.01",        "rate = 0.01\nprorate = 'yes'",            PRICE,   "'yes'"),
    ("rate = 0.01",        "rate = 0.01\nfree = ['lost']",            PRICE,   "'lost'"),
    ("rate = 0.01",        "rate = 0.01\nfree = 'busy'",              PRICE,   "free"),
    ("rate = 0.01",        "rate = 0.01\nfirst_increment = 60",       PRICE,   "'first_increment'"),
    ('{ direction = "outbound" }', '{ direction = "up" }',            LISTED,  "'up'"),
    ('{ direction = "outbound" }', '{ carrier = "AT&T" }',            LISTED,  "'carrier'"),
    ('{ direction = "outbound" }', '{ to = "abroad" }',               LISTED,  "'abroad'"),
    ('{ direction = "outbound" }', '"outbound"',                      LISTED,  "'outbound'"),
    # prices: figures
    ("rate = 0.01",        "",                                        PRICE,   "rate is missing"),
    ("rate = 0.01",        "rate = -0.01",                            PRICE,   "negative"),
    ("rate = 0.01",        "rate = 0.0000000001",                     PRICE,   "9 decimal places"),
    ("rate = 0.01",        "rate = nan",                              PRICE,   "finite"),
    ("rate = 0.01",        "rate = inf",                              PRICE,   "finite"),
    ("rate = 0.01",        "rate = true",                             PRICE,   "True"),
    ("rate = 0.01",        "rate = 'cheap'",                          PRICE,   "'cheap'"),
    ("rate = 0.01",        "rate = 100000.01",                        PRICE,   "more than"),
    ("rate = 0.01",        "rate = 1e999999",                         PRICE,   "rate"),
    ("rate = 0.01",        "rate = 0.01\nconnection_fee = -1",        PRICE,   "connection_fee -1"),
    ("rate = 0.01",        "rate = 0.01\nfirst = 0",                  PRICE,   "first 0"),
    ("rate = 0.01",        "rate = 0.01\nfirst = 90",                 PRICE,   "first 90"),
    ("rate = 0.01",        "rate = 0.01\nfirst = 30\nfollowing = 6",  PRICE,   "30, following 6"),
    ("rate = 0.01",        "rate = 0.01\nminimum = 30",               PRICE,   "whole minutes"),
    ("rate = 0.01",        "rate = 0.01\nfollowing = -6",             PRICE,   "following -6"),
    ("rate = 0.01",        "rate = 0.01\nminimum = 1.5",              PRICE,   "minimum"),
    ("rate = 0.01",        "rate = 0.01\nper = 0",                    PRICE,   "per 0"),
    # prices: prefixes and dates
    ("rate = 0.01",        "rate = 0.01\nprefix = '14'",              PRICE,   "'14'"),
    ("rate = 0.01",        "rate = 0.01\nprefix = '+1 416'",          PRICE,   "'+1 416'"),
    ("rate = 0.01",        'rate = 0.01\nprefix = "+1416\\n"',        PRICE,   "prefix"),
    ('"calls.csv"',        '"calls.csv"\nrate = 0.02',                LISTED,  "prefixes"),
    ('"calls.csv"',        '"missing.csv"',                           LISTED,  "missing.csv"),
    ("rate = 0.01",        "rate = 0.01\nvalid_from = 20260116",      PRICE,   "2026-01-16T00:"),
    ("rate = 0.01",        "rate = 0.01\nvalid_until = 2026-01-16T00:00:00", PRICE, "no instant"),
    ("rate = 0.01",
     "rate = 0.01\nvalid_from = 2026-01-16T00:00:00Z\nvalid_until = 2026-01-16T00:00:00Z",
                                                                      PRICE,   "valid_until"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "instead", "line", "names"), BROKEN)
def test_a_mistake_is_said_with_its_line(
    read: Read, written: str, instead: str, line: int, names: str
) -> None:
    assert written in GOOD
    book, mistakes = read(GOOD.replace(written, instead, 1))
    ((file, number, message),) = fatal(mistakes)
    assert (book, file, number) == (None, "book.toml", line)
    assert names in message


BROKEN_CALLS = [
    # file                                              | line  the message names
    ("",                                                  1,    "prefix, rate"),
    ("prefix,price\n+1,0.01\n",                           1,    "columns rate are missing"),
    ("prefix,rate\n+1,0.01\n14,0.01\n",                   3,    "'14'"),
    ("prefix,rate\n,0.01\n",                              2,    "prefix ''"),
    ("prefix,rate\n+1x,0.01\n",                           2,    "'+1x'"),
    ("prefix,rate\n+1234567890123456,0.01\n",             2,    "+1234567890123456"),
    ('prefix,rate\n"+1\n",0.01\n',                        3,    "prefix"),
    ("prefix,rate\n+1,0.01\n+44,0.01\n+1,0.02\n",         4,    "line 2"),
    ("prefix,rate\n+1,-0.01\n",                           2,    "negative"),
    ("prefix,rate\n+1,0.0000000001\n",                    2,    "9 decimal places"),
    ("prefix,rate\n+1,\n",                                2,    "''"),
    ("prefix,rate\n+1,cheap\n",                           2,    "cheap"),
    ("prefix,rate\n+1,1e999999\n",                        2,    "rate"),
    ("prefix,rate\n+1\n",                                 2,    "fewer cells"),
    ("prefix,rate\n+1,0.01,x\n",                          2,    "more or fewer"),
    ("prefix,rate,connection_fee\n+1,0.01,-1\n",          2,    "connection_fee -1"),
    ("prefix,rate\n+1,0.01\n\udcff,0.01\n",               LISTED, "calls.csv"),  # no UTF-8
]  # fmt: skip


@pytest.mark.parametrize(("calls", "line", "names"), BROKEN_CALLS)
def test_a_mistake_in_a_prefix_list_is_said_with_its_line(
    read: Read, calls: str, line: int, names: str
) -> None:
    book, mistakes = read(calls=calls)
    ((file, number, message),) = fatal(mistakes)
    assert (book, file) == (None, "book.toml" if line == LISTED else "calls.csv")
    assert (number, names in message) == (line, True), message


def test_what_is_wrong_twice_is_said_twice(read: Read) -> None:
    # Amounts that were found good are remembered; those that were not must not be.
    _, mistakes = read(calls="prefix,rate\n+1,-1\n\n+44,0.01\n+45,0.01\n+46,-1\n")
    assert [line for _, line, _ in fatal(mistakes)] == [2, 6]


def test_the_columns_of_a_prefix_list_stand_in_any_order(read: Read) -> None:
    book, mistakes = read(calls="connection_fee,note,rate,prefix\n0.5,,0.01,+1\n,,0.02,+44\n")
    assert (book is not None, fatal(mistakes)) == (True, [])
    assert book is not None
    prices = [price for price in book.tariffs["t"].versions[0].prices if price.prefix]
    assert [
        (price.prefix, format_nanos(price.rate), format_nanos(price.connection_fee), price.place)
        for price in prices
    ] == [("+1", "0.01", "0.5", "calls.csv:2"), ("+44", "0.02", "0", "calls.csv:3")]


BROKEN_TAXES = [
    # row                                                         | the message names
    ("galactic,US,,,USF,calls,0.36,0.649,2026-01-01,",              "'galactic'"),
    ("federal,US,,,USF,calls|telegrams,0.36,0.649,2026-01-01,",     "'telegrams'"),
    ("federal,US,,,USF,calls,-0.36,0.649,2026-01-01,",              "rate -0.36"),
    ("federal,US,,,USF,calls,a third,0.649,2026-01-01,",            "a third"),
    ("federal,US,,,USF,calls,0.36,-1,2026-01-01,",                  "taxed_share -1"),
    ("federal,US,,,USF,calls,0.36,0.649,1st of May,",               "'1st of May'"),
    ("federal,US,,,USF,calls,0.36,0.649,2026-02-30,",               "'2026-02-30'"),
    ("federal,US,,,USF,calls,0.36,0.649,2026-01-01",                "fewer cells"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "names"), BROKEN_TAXES)
def test_a_mistake_in_a_tax_table_is_said_with_its_line(read: Read, row: str, names: str) -> None:
    book, mistakes = read(taxes=f"{GOOD_TAXES}{row}\n")
    ((file, line, message),) = fatal(mistakes)
    assert (book, file, line) == (None, "tax.csv", 3)
    assert names in message


# ------------------------------------------------------------------ overlaps, gaps, fallbacks


def a_price(
    match: str, valid_from: str = "", valid_until: str = "", line: str = "texts", more: str = ""
) -> str:
    """A [[tariff.price]] of eight lines: the header, then what it says."""
    unit = {"texts": "text", "calls": "minute"}[line]
    since = f"valid_from = {valid_from}T00:00:00Z" if valid_from else ""
    until = f"valid_until = {valid_until}T00:00:00Z" if valid_until else ""
    head = f'[[tariff.price]]\nline = "{line}"\nmatch = {{ {match} }}\nunit = "{unit}"\nrate = 1\n'
    return f"{head}{since}\n{until}\n{more}\n"


HEAD = """\
currency = "USD"
[accounts.default]
tariff = "t"
[[tariff]]
name = "t"
valid_from = 2025-01-01T00:00:00Z
"""
ONE, TWO, THREE = 7, 15, 23  # the lines of the prices after it

SMS, MMS, IN = 'media = "sms"', 'media = "mms"', 'direction = "inbound"'
FROM_MID, MID = "2026-01-16", "2026-01-16"

OVERLAPS = [
    # prices                                                             | the second of each pair
    ([a_price(SMS), a_price(MMS)],                                         []),
    ([a_price(SMS), a_price(SMS)],                                         [TWO]),
    ([a_price(SMS), a_price(SMS), a_price(SMS)],                           [TWO, THREE, THREE]),
    ([a_price(SMS, "", MID), a_price(SMS, FROM_MID, "")],                  []),
    ([a_price(SMS, "", "2026-01-17"), a_price(SMS, FROM_MID, "")],         [TWO]),
    ([a_price(SMS), a_price(SMS, FROM_MID, "2026-01-17")],                 [TWO]),
    # both match an inbound SMS and say as much: which goes first?
    ([a_price(SMS), a_price(IN)],                                          [TWO]),
    ([a_price(SMS), a_price(IN), a_price(f"{SMS}, {IN}")],                 []),
    ([a_price(SMS), a_price('carrier = "att"')],                           [TWO]),
    ([a_price('carrier = "AT&T"'), a_price('carrier = "att"')],            [TWO]),  # one carrier
    ([a_price(SMS), a_price(f'{IN}, registered = true')],                  []),     # says more
    ([a_price(SMS), a_price('to = "shortcode"')],                          []),     # a form first
    ([a_price('from = "shortcode"'), a_price('to = "shortcode"')],         [TWO]),
    ([a_price(SMS), a_price(IN, more="prefix = '+1'")],                    []),     # a prefix first
    ([a_price(SMS, more="prefix = '+1'"), a_price(IN, more="prefix = '+1'")], [TWO]),
    # the overlap lies with the second window of the first, which no row's first hides
    ([a_price(SMS, "", MID), a_price(SMS, FROM_MID, ""), a_price(IN, FROM_MID, "")], [THREE]),
]  # fmt: skip


@pytest.mark.parametrize(("prices", "lines"), OVERLAPS)
def test_prices_that_overlap_are_said(read: Read, prices: list[str], lines: list[int]) -> None:
    _, mistakes = read(HEAD + "".join(prices))
    said = fatal(mistakes)
    assert [line for _, line, _ in said] == lines
    assert all("overlaps the one at book.toml:" in message for _, _, message in said)


def test_a_prefix_that_two_lists_name_overlaps_where_it_stands(read: Read, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("prefix,rate\n+33,0.02\n+1416,0.02\n")
    again = '[[tariff.price]]\nline = "calls"\nmatch = { direction = "outbound" }\n'
    book, mistakes = read(GOOD + again + 'unit = "minute"\nprefixes = "more.csv"\n')
    ((file, line, message),) = fatal(mistakes)
    assert (book, file, line) == (None, "more.csv", 3)
    assert "+1416" in message
    assert "calls.csv:3" in message


def version(valid_from: str, valid_until: str = "") -> str:
    until = f"valid_until = {valid_until}T00:00:00Z" if valid_until else ""
    return f'[[tariff]]\nname = "t"\nvalid_from = {valid_from}T00:00:00Z\n{until}\n' + a_price("")


ACCOUNTS = 'currency = "USD"\n[accounts.default]\ntariff = "t"\n'
FIRST, SECOND = 4, 16  # the lines of the versions after it

VERSIONS = [
    # versions                                                      | line    says        fatal
    ([version("2025-01-01"), version("2026-01-01")],                  None,   "",          False),
    ([version("2026-01-01"), version("2025-01-01")],                  None,   "",          False),
    ([version("2025-01-01", "2026-01-01"), version("2026-01-01")],    None,   "",          False),
    ([version("2025-01-01"), version("2025-01-01")],                  SECOND, "overlaps",  True),
    ([version("2025-01-01", "2026-01-02"), version("2026-01-01")],    SECOND, "overlaps",  True),
    ([version("2026-01-01"), version("2025-01-01", "2026-01-02")],    FIRST,  "overlaps",  True),
    ([version("2025-01-01", "2025-12-31"), version("2026-01-01")],    SECOND, "gap",       False),
]  # fmt: skip


@pytest.mark.parametrize(("versions", "line", "says", "is_fatal"), VERSIONS)
def test_versions_that_overlap_or_leave_a_gap_are_said(
    read: Read, versions: list[str], line: int | None, says: str, is_fatal: bool
) -> None:
    book, mistakes = read(ACCOUNTS + "".join(versions))
    said = [(m.line, says in m.message, m.fatal) for m in mistakes if "no price" not in m.message]
    assert said == ([] if line is None else [(line, True, is_fatal)])
    assert (book is None) == is_fatal


FALLBACKS = [
    # prices                                            | what has no fallback row
    ([a_price("")],                                       []),
    ([a_price(SMS), a_price(MMS)],                        []),
    ([a_price(SMS)],                                      ["inbound mms", "outbound mms"]),
    ([a_price(SMS), a_price(f"{IN}, {MMS}")],             ["outbound mms"]),
    ([a_price("", more="prefix = '+1'")],                 ["inbound mms", "inbound sms",
                                                           "outbound mms", "outbound sms"]),
    ([a_price('carrier = "att"')],                        ["inbound mms", "inbound sms",
                                                           "outbound mms", "outbound sms"]),
    ([a_price(IN, line="calls")],                         ["outbound"]),
    ([a_price("", line="calls")],                         []),
    # a fallback row that ends, and none that goes on from there: a gap
    ([a_price("", "", MID, line="calls")],                ["inbound", "outbound"]),
    ([a_price("", "", MID, line="calls"),
      a_price("", FROM_MID, "", line="calls")],           []),
]  # fmt: skip


@pytest.mark.parametrize(("prices", "missing"), FALLBACKS)
def test_a_fallback_row_that_is_missing_is_said(
    read: Read, prices: list[str], missing: list[str]
) -> None:
    book, mistakes = read(HEAD + "".join(prices))
    line = "calls" if 'line = "calls"' in prices[0] else "texts"
    said = [
        message
        for _, number, message in lenient(mistakes)
        if "no price for" not in message and number == 4
    ]
    expected = [f"no fallback row for {line} {what};" for what in missing]
    assert len(said) == len(expected), said
    assert all(words in message for words, message in zip(expected, said, strict=True))
    assert book is not None  # it loads: what falls in the gap is parked, not free


def test_a_line_without_any_price_is_said_and_loads(read: Read) -> None:
    book, mistakes = read(HEAD + a_price(""))
    said = [message for _, _, message in lenient(mistakes)]
    lines = [
        "phone_numbers", "calls", "video_calls", "campaign_calls", "recording_storage",
        "carrier_fees", "ai_voice_detection", "subscriptions",
    ]  # fmt: skip
    expected = sorted(f"no price for {name}; what uses it is parked" for name in lines)
    assert sorted(message.partition(": ")[2] for message in said) == expected
    assert book is not None


# ------------------------------------------------------------------ all at once


def test_every_mistake_is_said_at_once(read: Read, tmp_path: Path) -> None:
    toml = (
        GOOD.replace('currency = "USD"', 'currency = "dollars"')  # line 1
        .replace('zone = "UTC"', 'zone = "Mars"')  # the account of line 4
        .replace('"America/New_York"', '"Eastern"')  # the account of line 8
        .replace("rate = 0.01", "rate = -0.01\ncolour = 1")  # the price of line 15, twice
        .replace('direction = "outbound"', 'direction = "up"')  # the price of line 20, now 21
    )
    calls = "prefix,rate\n+1,0.01\n+1,0.02\n44,-1\n"
    taxes = GOOD_TAXES + "galactic,US,,,USF,telegrams,x,1,never,\n"
    book, mistakes = read(toml, calls, taxes)
    assert book is None
    assert [(m.file, m.line) for m in mistakes if m.fatal] == [
        ("book.toml", 1), ("book.toml", 4), ("book.toml", 8), ("book.toml", 15), ("book.toml", 15),
        ("book.toml", 21), ("calls.csv", 3), ("calls.csv", 4), ("calls.csv", 4),
        ("tax.csv", 3), ("tax.csv", 3), ("tax.csv", 3), ("tax.csv", 3),
    ]  # fmt: skip
    with pytest.raises(TariffError) as raised:
        load_book(tmp_path / "book.toml")
    lines = str(raised.value).splitlines()
    assert len(lines) == 13
    assert all(line.startswith(("book.toml:", "calls.csv:", "tax.csv:")) for line in lines)


# ------------------------------------------------------------------ nothing raises

KEYS = [
    # key = value as the good file has it, and where it stands
    'currency = "USD"', 'tax_table = "tax.csv"', 'tariff = "t"', 'zone = "UTC"',
    'name = "t"', "valid_from = 2025-01-01T00:00:00Z", 'line = "calls"', 'unit = "minute"',
    "rate = 0.01", 'match = { direction = "outbound" }', 'prefixes = "calls.csv"',
    # and keys that it does not have, after one that it has
    "rate = 0.01\nper = 1", "rate = 0.01\nfirst = 60", "rate = 0.01\nfollowing = 60",
    "rate = 0.01\nminimum = 0", 'rate = 0.01\nstart = "dial"', 'rate = 0.01\nfraction = "drop"',
    "rate = 0.01\nfree = []", 'rate = 0.01\nrounding = "up"', "rate = 0.01\nprorate = true",
    'rate = 0.01\nprefix = "+1"', "rate = 0.01\nconnection_fee = 0",
    "rate = 0.01\nvalid_until = 2026-01-16T00:00:00Z",
    "valid_from = 2025-01-01T00:00:00Z\nvalid_until = 2027-01-01T00:00:00Z",
    'zone = "UTC"\nservice_address = { country = "US" }',
]  # fmt: skip
VALUES = [
    '"x"', '""', "0", "-1", "1.5", "1e999999", "nan", "true", "[]", '["x"]', "[[]]", "{}",
    '{ x = 1 }', '{ country = 1 }', "2026-01-16", "2026-01-16T00:00:00", "00:00:00",
    "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00",
]  # fmt: skip


@pytest.mark.parametrize("pair", KEYS)
def test_no_value_of_a_key_makes_reading_raise(read: Read, pair: str) -> None:
    before, _, last = pair.rpartition("\n")
    key = last.partition(" = ")[0]
    anchor = before or last
    assert anchor in GOOD
    raised = []
    for value in VALUES:
        instead = f"{before}\n{key} = {value}" if before else f"{key} = {value}"
        try:
            book, mistakes = read(GOOD.replace(anchor, instead, 1))
        except Exception as error:
            raised.append((f"{key} = {value}", repr(error)))
        else:
            assert (book is None) == bool(fatal(mistakes)), (key, value, mistakes)
    assert raised == []


SHAPES = [
    # files whose tables are something else
    'currency = "USD"\naccounts = 1\n',
    'currency = "USD"\naccounts = []\ntariff = []\n',
    'currency = "USD"\n[accounts]\ndefault = "t"\n',
    'currency = "USD"\n[accounts]\nacme = 1\n[accounts.default]\ntariff = "t"\n',
    ACCOUNTS + '[tariff]\nname = "t"\n',
    'tariff = "t"\n' + ACCOUNTS,
    "tariff = [1]\n" + ACCOUNTS,
    HEAD + "price = 1\n",
    HEAD + 'price = ["calls"]\n',
    HEAD + '[tariff.price]\nline = "calls"\n',
    "",
    "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("toml", SHAPES)
def test_no_shape_of_a_file_makes_reading_raise(read: Read, toml: str) -> None:
    book, mistakes = read(toml)
    assert book is None
    assert fatal(mistakes)


def test_a_cell_without_an_end_does_not_make_reading_raise(read: Read) -> None:
    book, mistakes = read(calls='prefix,rate\n"+1,0.01\n' + "x" * 200_000)
    ((_, _, message),) = fatal(mistakes)
    assert (book, "calls.csv" in message or "field" in message) == (None, True)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    book, mistakes = read_book(tmp_path / "nowhere.toml")
    ((file, line, message),) = fatal(mistakes)
    assert (book, file, line) == (None, "nowhere.toml", 1)
    assert "cannot be read" in message


# ------------------------------------------------------------------ short numbers, marks

ALL_CALLS = ("[[tariff.price]]", 'line = "calls"', 'unit = "minute"')


def calls_priced(*prices: str) -> str:
    """A book of calls alone, each price by what it says beside its line and unit."""
    head = """
currency = "USD"
[accounts.default]
tariff = "t"
[[tariff]]
name = "t"
valid_from = 2025-01-01T00:00:00Z
"""
    return head + "".join("\n".join([*ALL_CALLS, price, ""]) for price in prices)


OUTBOUND = 'match = { direction = "outbound" }\n'
TO_SHORT = 'match = { to = "shortcode" }\nrate = 0.004'
SHORT_NUMBERS = [
    # prices                                                            | warned of, at price
    (["rate = 0.95"],                                                     None),  # all alike
    (["rate = 0.95", 'prefix = "+1"\nrate = 0.01'],                       1),
    (["rate = 0.95", 'prefix = "911"\nrate = 0'],                         1),
    (["rate = 0.95", 'prefix = "+1"\nrate = 0.01', TO_SHORT],             None),
    (['prefix = "+1"\nrate = 0.01', OUTBOUND + "rate = 0.95"],            2),
    ([OUTBOUND + "rate = 0.95", 'match = { to = "sip" }\nrate = 0'],      1),
    (["rate = 0.95", 'prefix = "+1"\nrate = 0.01',
      'match = { to = "shortcode", device = "web" }\nrate = 0'],          1),  # not all devices
]  # fmt: skip


@pytest.mark.parametrize(("prices", "warned"), SHORT_NUMBERS)
def test_a_fallback_that_short_numbers_fall_to_is_warned_of(
    read: Read, prices: list[str], warned: int | None
) -> None:
    text = calls_priced(*prices)
    book, mistakes = read(text)
    assert book is not None
    said = [mistake for mistake in mistakes if "extensions and emergency calls" in mistake.message]
    starts = [n for n, line in enumerate(text.splitlines(), 1) if line == "[[tariff.price]]"]
    assert [mistake.line for mistake in said] == ([starts[warned - 1]] if warned else [])


def test_a_prefix_without_a_plus_is_of_short_numbers_alone_and_goes_before_their_form(
    read: Read,
) -> None:
    calls = "prefix,rate\n+911,0.5\n911,0\n9115,0.3\n"
    book, mistakes = read(GOOD + "\n".join(["", *ALL_CALLS, TO_SHORT]) + "\n", calls=calls)
    assert book is not None, mistakes
    prices = {price.prefix: price for price in book.tariffs["t"].versions[0].prices}
    assert ("to", "shortcode") in prices["911"].match
    assert ("to", "shortcode") not in prices["+911"].match
    assert prices["911"].rank() > max(
        price.rank() for price in book.tariffs["t"].versions[0].prices if not price.prefix
    )


def test_a_byte_order_mark_is_no_data(read: Read) -> None:
    plain, _ = read(GOOD)
    marked, mistakes = read("\ufeff" + GOOD, calls="\ufeff" + GOOD_CALLS)
    assert marked is not None, mistakes
    assert marked.tariffs["t"].versions[0].prices == plain.tariffs["t"].versions[0].prices  # type: ignore[union-attr]
