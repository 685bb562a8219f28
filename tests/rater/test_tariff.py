"""The tariff book: which version holds at an instant, which account pays by what."""

import pytest

from rater.money import format_nanos
from rater.tariff import Book, Tariff, Version
from tests.rater.make import LONDON, SAMPLE, a_price, dims, make_book, price, us

JANUARY, FEBRUARY, MARCH, APRIL = (us(f"2026-0{month}-01T00:00:00Z") for month in range(1, 5))
MID = us("2026-01-16T00:00:00Z")

# January with a change in its middle, then nothing until March, then until April.
TARIFF = Tariff(
    "t",
    [
        Version("march", MARCH, APRIL, [a_price(rate="0.03")]),
        Version(
            "january",
            JANUARY,
            FEBRUARY,
            [a_price(rate="0.01", valid_until_us=MID), a_price(rate="0.02", valid_from_us=MID)],
        ),
    ],
)

INSTANTS = [
    # instant                        | version    rate
    ("2025-12-31T23:59:59.999999Z",    None,      None),
    ("2026-01-01T00:00:00Z",           "january", "0.01"),
    ("2026-01-15T23:59:59.999999Z",    "january", "0.01"),
    ("2026-01-16T00:00:00Z",           "january", "0.02"),
    ("2026-01-31T23:59:59.999999Z",    "january", "0.02"),
    ("2026-02-01T00:00:00Z",           None,      None),
    ("2026-02-28T23:59:59.999999Z",    None,      None),
    ("2026-03-01T00:00:00Z",           "march",   "0.03"),
    ("2026-03-31T23:59:59.999999Z",    "march",   "0.03"),
    ("2026-04-01T00:00:00Z",           None,      None),
    ("2026-02-28T19:00:00-05:00",      "march",   "0.03"),  # the same instant, written elsewhere
]  # fmt: skip


@pytest.mark.parametrize(("instant", "version", "rate"), INSTANTS)
def test_a_version_holds_to_the_microsecond(
    instant: str, version: str | None, rate: str | None
) -> None:
    held = TARIFF.at(us(instant))
    found = held.prices.find("calls", dims(), LONDON) if held else None
    assert (held and held[0], found and format_nanos(found.rate)) == (version, rate)


def test_a_price_that_outlives_its_version_ends_with_it() -> None:
    versions = [
        Version("one", JANUARY, FEBRUARY, [a_price(rate="0.01", valid_until_us=APRIL)]),
        Version("two", FEBRUARY, APRIL, [a_price(rate="0.02", valid_from_us=JANUARY)]),
    ]
    tariff = Tariff("t", versions)
    for at_us, rate in ((FEBRUARY - 1, "0.01"), (FEBRUARY, "0.02"), (APRIL - 1, "0.02")):
        held = tariff.at(at_us)
        assert held is not None
        found = held.prices.find("calls", dims(), LONDON)
        assert found is not None
        assert format_nanos(found.rate) == rate


ACCOUNTS = [
    # account    | zone                locality
    ("acme",       "America/New_York", "New York City"),
    ("someone",    "UTC",              "Los Angeles"),
    ("",           "UTC",              "Los Angeles"),
]  # fmt: skip


@pytest.mark.parametrize(("account_id", "zone", "locality"), ACCOUNTS)
def test_an_account_that_the_book_does_not_name_is_the_default(
    account_id: str, zone: str, locality: str
) -> None:
    account = SAMPLE.account(account_id, JANUARY)
    assert (account.tariff, account.zone.key, account.address.locality) == (
        "standard",
        zone,
        locality,
    )


def test_an_account_takes_what_it_does_not_say_from_the_default() -> None:
    accounts = '[accounts.tokyo]\nzone = "Asia/Tokyo"\n[accounts.plain]\n'
    book = make_book(price("calls", "1"), zone="Europe/Paris", accounts=accounts)
    tokyo, plain = book.account("tokyo", JANUARY), book.account("plain", JANUARY)
    assert (tokyo.zone.key, tokyo.tariff, tokyo.address.state) == ("Asia/Tokyo", "t", "NY")
    assert plain == book.account("default", JANUARY)


def test_a_book_says_the_newest_version_of_each_tariff() -> None:
    second = '[[tariff]]\nname = "t"\nvalid_from = 2026-01-16T00:00:00Z\n' + price("calls", "2")
    other = '[[tariff]]\nname = "u"\nvalid_from = 2024-01-01T00:00:00Z\n' + price("calls", "3")
    book: Book = make_book(price("calls", "1"), versions=second + other)
    assert book.label() == "t@2026-01-16T00:00:00Z,u@2024-01-01T00:00:00Z"
