"""The independent oracle: the rating rules again, slow, plain and exact.

Written from the rules of billing alone. It shares no code with the product, so that two
different readings of one rule show as two different sums. Money is Decimal; every division is
one exact fraction, rounded once. Events come in decoded, valid, and in the order of the log.
"""

import csv
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import geocoder

Event = Mapping[str, Any]

ZERO = Decimal(0)
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
TIME_UNITS = ("minute", "second")

# ------------------------------------------------------------------ exact arithmetic and time


def half_even(exact: Fraction, places: int = 9) -> Decimal:
    """The exact value, rounded once, a tie to the even digit: 0.0000000005 becomes 0."""
    return Decimal(round(exact * 10**places)).scaleb(-places)


def plain(value: Decimal) -> str:
    """Exact decimals, no exponent, no trailing zeros: 0.0170 is "0.017", 2.00 is "2"."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def instant(value: Any) -> datetime:
    """An RFC 3339 text or a TOML or CSV date, as an instant in UTC; a bare date is its midnight."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.upper())
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    assert isinstance(value, datetime)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def instant_or_none(value: Any) -> datetime | None:
    return None if value is None or value == "" else instant(value)


Edge = date | None  # an instant is a datetime, which is a date too; a bare date is a day


def edge(value: Any) -> Edge:
    """Where something starts or ends: an instant, or a day that stays one."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) == 10:
        return date.fromisoformat(value)
    return value if type(value) is date else instant(value)


def begins(day: date, zone: str) -> datetime:
    """ "a day without an hour is a day in the account's zone": it begins at its midnight there."""
    if isinstance(day, datetime):
        return day
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def holds(start: Edge, end: Edge, at: datetime, zone: str) -> bool:
    """ "each valid `[from, until)` to the instant" """
    return (start is None or begins(start, zone) <= at) and (end is None or at < begins(end, zone))


def seconds_between(start: datetime, end: datetime) -> Fraction:
    return Fraction((end - start) // timedelta(microseconds=1), 1_000_000)


def month_of(at: datetime, zone: str) -> str:
    """ "belongs to the month of its dialing, in the account's time zone" """
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m")


def month_window(month: str, zone: str) -> tuple[datetime, datetime]:
    """The first instant of the month in the zone, and the first one after it."""
    year, number = int(month[:4]), int(month[5:])
    after = (year, number + 1) if number < 12 else (year + 1, 1)
    first = datetime(year, number, 1, tzinfo=ZoneInfo(zone))
    following = datetime(after[0], after[1], 1, tzinfo=ZoneInfo(zone))
    return first.astimezone(UTC), following.astimezone(UTC)


# ------------------------------------------------------------------ numbers

US_TOLL_FREE = re.compile(r"\+1(800|833|844|855|866|877|888)[0-9]{7}")
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
SHORT_CODE = re.compile(r"[0-9]{3,8}")
WITHHELD = re.compile(  # "Withheld callers are one form, however they are written"
    r"(?:(?:client|sips?):)?(?:anonymous|restricted|unavailable|unknown|private"
    r"|\+?(?:266696687|7378742833|2562533|8656696|86282452253))(?:@.*)?"
    r"|sips?:.*@anonymous\.invalid(?:[:;?].*)?",
    re.IGNORECASE,
)
NO_CALLER = ("", "+", "+1", "0")  # "so switches write that they were told none"
STATE_CODES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA",
    "Colorado": "CO", "Connecticut": "CT", "Delaware": "DE", "Florida": "FL", "Georgia": "GA",
    "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL", "Indiana": "IN", "Iowa": "IA",
    "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA", "Maine": "ME", "Maryland": "MD",
    "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN", "Mississippi": "MS",
    "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH",
    "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC",
    "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
    "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN",
    "Texas": "TX", "Utah": "UT", "Vermont": "VT", "Virginia": "VA", "Washington State": "WA",
    "Washington D.C.": "DC", "West Virginia": "WV", "Wisconsin": "WI", "Wyoming": "WY",
}  # fmt: skip


@cache
def form_of(number: str) -> str | None:
    """ "Toll-free inbound, short codes, `client:`/SIP and anonymous callers have rules of their
    own": geographic, tollfree, shortcode, client, sip or anonymous."""
    if number in NO_CALLER or WITHHELD.fullmatch(number):
        return "anonymous"
    if E164.fullmatch(number):
        if number.startswith("+1"):
            return "tollfree" if US_TOLL_FREE.fullmatch(number) else "geographic"
        try:
            kind = phonenumbers.number_type(phonenumbers.parse(number))
        except phonenumbers.NumberParseException:
            return "geographic"
        return "tollfree" if kind == phonenumbers.PhoneNumberType.TOLL_FREE else "geographic"
    if SHORT_CODE.fullmatch(number):
        return "shortcode"
    for form in ("client", "sip"):
        if re.match(form + "s?:.", number, re.IGNORECASE):
            return form
    return None


@cache
def is_party(number: str) -> bool:
    """No "+1 and other than ten digits", no "length that no number of that country has"."""
    if number in NO_CALLER:  # "Nobody can be called there"
        return False
    form = form_of(number)
    if form not in ("geographic", "tollfree"):
        return form is not None
    if number.startswith("+1"):  # area code and exchange begin with 2 to 9; N11 is a service
        digits = number[2:]
        return (
            len(digits) == 10
            and {digits[0], digits[3]} <= set("23456789")
            and (digits[1:3] != "11")
        )
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    possible = phonenumbers.is_possible_number_with_reason(parsed)
    national = number[1 + len(str(parsed.country_code)) :]
    return (
        len(number) >= 8
        and possible == phonenumbers.ValidationResult.IS_POSSIBLE
        and (not national.startswith("0") or bool(parsed.italian_leading_zero))
    )


@cache
def state_of(number: str) -> str | None:
    """The US state of a number's area code; toll-free and foreign numbers have none.

    The geocoder knows exchanges, and a few lie over a state line; the rule asks for the area
    code. So it is asked about 555-0100 of that area code: +1 201 is New Jersey throughout.
    """
    if not re.fullmatch(r"\+1[0-9]{10}", number) or US_TOLL_FREE.fullmatch(number):
        return None
    probe = phonenumbers.parse(number[:5] + "5550100")
    if phonenumbers.region_code_for_number(probe) != "US":
        return None
    place: str = geocoder.description_for_number(probe, "en")  # "New Jersey" or "Chicago, IL"
    return STATE_CODES.get(place) or (place[-2:] if place[-4:-2] == ", " else None)


# ------------------------------------------------------------------ segments of a text

GSM_ONE_SEPTET = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWO_SEPTETS = set("\f^{}\\[~]|€")


def segments_of_body(body: str) -> int:
    """ "GSM-7 160 alone / 153 joined, UCS-2 70 / 67; `^{}[]~|\\` and the euro sign take two
    septets and are never split; one character outside GSM-7 turns the whole message to UCS-2"."""
    if all(c in GSM_ONE_SEPTET or c in GSM_TWO_SEPTETS for c in body):
        widths = [2 if c in GSM_TWO_SEPTETS else 1 for c in body]
        alone, joined = 160, 153
    else:
        widths = [2 if ord(c) > 0xFFFF else 1 for c in body]
        alone, joined = 70, 67
    if sum(widths) <= alone:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > joined:
            segments, used = segments + 1, 0
        used += width
    return segments


def segments_of(text: Event) -> int:
    """ "The provider's own segment count wins when the event carries one." An MMS is one."""
    if text.get("segments") is not None:
        return int(text["segments"])
    if text["media"] == "sms" and text.get("body") is not None:
        return segments_of_body(text["body"])
    return 1


# ------------------------------------------------------------------ the book of prices and taxes


@dataclass(frozen=True)
class Price:
    """One row of the tariff; a line of a CSV is one row too."""

    line: str
    unit: str
    rate: Decimal
    match: Mapping[str, Any]
    prefix: str = ""  # of E.164 with its plus, of short numbers without
    per: Decimal = Decimal(1)
    connection_fee: Decimal = ZERO
    first: int = 60
    following: int = 60
    minimum: int = 0
    start: str = "dial"
    fraction: str = "drop"
    free: tuple[str, ...] = ()
    prorate: bool = False
    valid_from: Edge = None
    valid_until: Edge = None


@dataclass(frozen=True)
class Version:
    valid_from: Edge
    valid_until: Edge
    prices: list[Price]


@dataclass(frozen=True)
class TaxRow:
    level: str
    country: str
    state: str
    locality: str
    authority: str
    lines: tuple[str, ...]
    rate: Decimal
    taxed_share: Decimal
    valid_from: Edge
    valid_until: Edge


@dataclass(frozen=True)
class Account:
    tariff: str | None
    zone: str
    service_address: Mapping[str, str]


@dataclass(frozen=True)
class Book:
    currency: str
    versions: Mapping[str, list[Version]]  # by the tariff's name, oldest first
    accounts: Mapping[str, list[Mapping[str, Any]]]  # entries of each, in any order
    taxes: list[TaxRow]

    def account(self, account_id: str, at: datetime) -> Account:
        """The defaults, overridden key by key by the account's own entries, the latest last."""
        said: dict[str, Any] = {}
        for name in ("default", account_id):
            for since, entry in self._begun(name):
                if since is None or since <= at:
                    said |= entry
        return Account(said.get("tariff"), said.get("zone", "UTC"), said.get("service_address", {}))

    def _begun(self, name: str) -> list[tuple[datetime | None, Mapping[str, Any]]]:
        """An account's entries and when each begins: a day in the zone that the entry says, or
        else in the one in force when the day begins in UTC."""
        begun: list[tuple[datetime | None, Mapping[str, Any]]] = []
        entries = [(edge(entry.get("valid_from")), entry) for entry in self.accounts.get(name, [])]
        for since, entry in sorted(
            entries, key=lambda one: (one[0] and begins(one[0], "UTC")) or LONG_AGO
        ):
            if since is None or isinstance(since, datetime):
                begun.append((since, entry))
                continue
            midnight = begins(since, "UTC")
            before = [one for then, one in begun if then is None or then <= midnight]
            zones = [one["zone"] for one in before if "zone" in one]
            if "zone" in entry:
                zone = entry["zone"]
            elif zones:
                zone = zones[-1]
            else:
                zone = "UTC" if name == "default" else self.account("default", midnight).zone
            begun.append((begins(since, zone), entry))
        return begun

    def month_window(self, account_id: str, month: str) -> tuple[datetime, datetime]:
        """The first instant at which the account's calendar, in the zone then in force, shows the
        month or a later one; and the same of the month after it."""
        year, number = int(month[:4]), int(month[5:])
        after = f"{year + number // 12}-{number % 12 + 1:02d}"
        return self._first_instant(account_id, month), self._first_instant(account_id, after)

    def _first_instant(self, account_id: str, month: str) -> datetime:
        changes = [
            since for name in ("default", account_id) for since, _ in self._begun(name) if since
        ]
        zones = {self.account(account_id, at).zone for at in (LONG_AGO, *changes)}
        edges = sorted([*changes, *(month_window(month, zone)[0] for zone in zones)])
        return next(at for at in edges if month_of(at, self.account(account_id, at).zone) >= month)

    def price(
        self, account_id: str, line: str, facts: Mapping[str, Any], number: str | None, at: datetime
    ) -> Price | None:
        """ "the event's own time picks the version, never the clock. Longest E.164 prefix picks
        the rate". More number forms named, then the longer prefix, then more keys, then the
        first in the file."""
        is_dialed = number and (E164.fullmatch(number) or SHORT_CODE.fullmatch(number))
        dialed = number if number and is_dialed else ""
        zone = self.account(account_id, at).zone
        best: Price | None = None
        best_rank = (-1, -1, -1)
        for price in self._prices_at(account_id, at):
            if price.line != line or not holds(price.valid_from, price.valid_until, at, zone):
                continue
            if not matches(price, facts, dialed):
                continue
            forms = len({"from", "to"} & (set(price.match) | ({"to"} if short(price) else set())))
            rank = (forms, len(price.prefix), len(price.match))
            if rank > best_rank:
                best, best_rank = price, rank
        return best

    def _prices_at(self, account_id: str, at: datetime) -> list[Price]:
        """The latest version that has begun, unless it has ended."""
        account = self.account(account_id, at)
        zone = account.zone
        versions = self.versions.get(account.tariff or "", [])
        begun = [v for v in versions if holds(v.valid_from, None, at, zone)]
        return begun[-1].prices if begun and holds(None, begun[-1].valid_until, at, zone) else []


FACTS = {  # what a price can match on, by kind of event
    "call": ("direction", "media", "device", "from", "to"),
    "dial": ("direction", "media", "device", "from", "to"),
    "text": ("direction", "media", "sender", "carrier", "registered", "from", "to"),
    "amd": (),
    "recording": (),
    "number": ("number_type",),
    "subscription": ("product",),
    "campaign": (),
}


def facts_of(event: Event) -> dict[str, Any]:
    """The event's own facts; of `from` and `to` it is the form that counts, not the number."""
    facts = {key: event.get(key) for key in FACTS[event["kind"]]}
    return facts | {key: form_of(event[key]) for key in ("from", "to") if key in facts}


def short(price: Price) -> bool:
    """ "911, 988, 411 and other short numbers can be priced one by one (a prefix of digits without
    +)": such a prefix says what form the number has."""
    return price.prefix[:1].isdigit()


def matches(price: Price, facts: Mapping[str, Any], dialed: str) -> bool:
    """Every key the price names is a fact of the event, and the number begins with its prefix."""
    if not dialed.startswith(price.prefix):
        return False
    if short(price) and facts.get("to", "shortcode") != "shortcode":
        return False
    for key, wanted in price.match.items():
        fact = facts.get(key)
        if fact is None:
            return False
        if key == "carrier":  # "T-Mobile" and "tmobile" are one carrier
            wanted, fact = letters(wanted), letters(fact)
        if wanted != fact:
            return False
    return True


def letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def load_book(path: str | Path) -> Book:
    """Reads the tariff and the CSVs beside it; no binary float is ever made."""
    path = Path(path)
    file = tomllib.loads(path.read_text("utf-8-sig"), parse_float=Decimal)
    versions: dict[str, list[Version]] = {}
    for entry in file.get("tariff", []):
        prices: list[Price] = []
        for row in entry.get("price", []):
            prices += read_price(row, path.parent)
        version = Version(
            edge(entry.get("valid_from")),
            edge(entry.get("valid_until")),
            prices,
        )
        versions.setdefault(entry["name"], []).append(version)
    for same_name in versions.values():
        same_name.sort(key=lambda v: begins(v.valid_from, "UTC") if v.valid_from else LONG_AGO)
    taxes = read_taxes(path.parent / file["tax_table"]) if file.get("tax_table") else []
    accounts = {
        name: entry if isinstance(entry, list) else [entry]
        for name, entry in file.get("accounts", {}).items()
    }
    if "accounts_table" in file:
        for name, entry in read_accounts(path.parent / file["accounts_table"]):
            accounts.setdefault(name, []).append(entry)
    return Book(file["currency"], versions, accounts, taxes)


def read_accounts(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """What each row says of its account; an empty cell says nothing."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for line in csv.DictReader(lines):
            entry: dict[str, Any] = {
                key: line[key] for key in ("tariff", "zone", "valid_from") if line.get(key)
            }
            address = {key: line.get(key) or "" for key in ("country", "state", "locality")}
            if any(address.values()):
                entry["service_address"] = address
            yield line["account_id"], entry


def read_price(row: Mapping[str, Any], folder: Path) -> list[Price]:
    """One price, or one for every line of its CSV."""
    values: dict[str, Any] = {
        k: v for k, v in row.items() if k in Price.__dataclass_fields__ and k != "prefix"
    }
    values["match"] = row.get("match", {})
    values["free"] = tuple(row.get("free", ()))
    for key in ("valid_from", "valid_until"):
        values[key] = edge(row.get(key))
    for key in ("rate", "per", "connection_fee"):
        if key in row:
            values[key] = Decimal(row[key])
    if "prefixes" not in row:
        return [Price(**values, prefix=str(row.get("prefix", "")))]
    prices = []
    with (folder / row["prefixes"]).open(encoding="utf-8-sig", newline="") as lines:
        for line in csv.DictReader(lines):
            values["rate"] = Decimal(line["rate"].strip())
            if (line.get("connection_fee") or "").strip():
                values["connection_fee"] = Decimal(line["connection_fee"].strip())
            else:
                values["connection_fee"] = Decimal(row.get("connection_fee", 0))
            prices.append(Price(**values, prefix=line["prefix"].strip()))
    return prices


def read_taxes(path: Path) -> list[TaxRow]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return [
            TaxRow(
                level=line["level"],
                country=line["country"],
                state=line["state"],
                locality=line["locality"],
                authority=line["authority"],
                lines=tuple(line["lines"].split("|")),
                rate=Decimal(line["rate"]),
                taxed_share=Decimal(line["taxed_share"]),
                valid_from=edge(line["valid_from"]),
                valid_until=edge(line["valid_until"]),
            )
            for line in csv.DictReader(lines)
        ]


# ------------------------------------------------------------------ from one event to its rows


class Identity(NamedTuple):
    account_id: str
    month: str
    line: str
    identity: str
    revision: int


@dataclass(frozen=True)
class Row:
    """One charge. `billed` counts in `unit`; the taxes stand beside the charge."""

    account_id: str
    month: str
    line: str
    direction: str | None
    billed: Decimal
    unit: str
    billed_seconds: int
    segments: int
    charge: Decimal
    tax_federal: Decimal = ZERO
    tax_state: Decimal = ZERO
    tax_local: Decimal = ZERO
    authorities: frozenset[tuple[str, str]] = frozenset()  # level and name, of each tax
    tax_known: bool = True
    media: str | None = None
    registered: bool | None = None
    zone: str = ""  # whose calendar told the month
    at: datetime = LONG_AGO

    @property
    def tax(self) -> Decimal:
        return self.tax_federal + self.tax_state + self.tax_local


class Parked(NamedTuple):
    kind: str
    account_id: str
    event_id: str
    revision: int
    reason: str


class Amount(NamedTuple):
    """What a price makes of one event: billed units, billed seconds, and the exact charge."""

    billed: Decimal
    billed_seconds: int
    charge: Fraction


NOTHING = Amount(ZERO, 0, Fraction(0))


def billed_seconds(price: Price, seconds: Fraction) -> int:
    """ "a fraction of a second is dropped; a tariff may say otherwise"; "0 s = 1, 60 s = 1,
    61 s = 2"; "30/6: 10 s -> 30 s, 31 s -> 36 s". Never less than the minimum."""
    whole = seconds.numerator // seconds.denominator
    if price.fraction == "up" and seconds > whole:
        whole += 1
    billed = price.first
    while billed < whole:
        billed += price.following
    return max(billed, price.minimum)


def amount_by_time(price: Price, seconds: Fraction) -> Amount:
    """Connection fee + rate * billed / per, `billed` in the price's unit."""
    counted = billed_seconds(price, seconds)
    if price.unit in TIME_UNITS:
        units = Fraction(counted, 60 if price.unit == "minute" else 1)
    else:
        units = Fraction(1)
    return Amount(half_even(units), counted, exact_charge(price, units))


def amount_by_count(price: Price, count: int) -> Amount:
    return Amount(Decimal(count), 0, exact_charge(price, Fraction(count)))


def exact_charge(price: Price, units: Fraction) -> Fraction:
    return Fraction(price.connection_fee) + Fraction(price.rate) * units / Fraction(price.per)


def taxes_on(
    book: Book,
    account_id: str,
    line: str,
    charge: Decimal,
    at: datetime,
    from_to: tuple[str, str] | None,
) -> tuple[Decimal, Decimal, Decimal, frozenset[tuple[str, str]], bool]:
    """Federal, state, local, whose they are, and whether there was a table. "US calls: two out of
    three of origin, termination and service address decide the state." Every other line is taxed
    where the service is."""
    account = book.account(account_id, at)
    address = account.service_address
    home = address.get("state")
    decided = home
    if line in ("calls", "video_calls", "campaign_calls"):
        origin, termination = (state_of(n) for n in from_to or ("", ""))
        votes = [state for state in (origin, termination, home) if state]
        decided = next((state for state in votes if votes.count(state) >= 2), None)
    sums = {"federal": ZERO, "state": ZERO, "local": ZERO}
    authorities = set()
    known = False
    for row in book.taxes:
        if row.country != address.get("country"):
            continue
        if not holds(row.valid_from, row.valid_until, at, account.zone):
            continue
        known = True
        if line not in row.lines:
            continue
        if row.level in ("state", "local") and (decided is None or row.state != decided):
            continue
        if row.level == "local" and (decided != home or row.locality != address.get("locality")):
            continue
        exact = Fraction(charge) * Fraction(row.taxed_share) * Fraction(row.rate)
        sums[row.level] += half_even(exact)
        authorities.add((row.level, row.authority))
    return sums["federal"], sums["state"], sums["local"], frozenset(authorities), known


MONTHLY = {  # kind: line, what names the thing, from, until
    "recording": ("recording_storage", "recording_id", "stored_at", "deleted_at"),
    "number": ("phone_numbers", "number", "acquired_at", "released_at"),
    "subscription": ("subscriptions", "subscription_id", "started_at", "ended_at"),
}


def thing_of(event: Event) -> str:
    """ "a recording by its `recording_id`, a number with its `acquired_at`, a subscription by
    its `subscription_id`" """
    if event["kind"] == "number":
        return f"{event['number']} since {instant(event['acquired_at'])}"
    return str(event[MONTHLY[event["kind"]][1]])


class Stood(NamedTuple):
    """One thing within one month, `[start, end)`."""

    start: datetime
    end: datetime
    event: Event


@dataclass
class Ledger:
    book: Book
    rows: dict[Identity, Row] = field(default_factory=dict)
    parked: list[Parked] = field(default_factory=list)
    things: dict[tuple[str, str, str], list[Event]] = field(default_factory=dict)

    # -------------------------------------------------------------- per event

    def rate(self, event: Event) -> None:
        """All rows of an event, or none: "A price that is missing is not zero: the event is
        parked with the reason"."""
        made = {
            "call": self._call_rows,
            "dial": self._call_rows,
            "text": self._text_rows,
            "amd": self._amd_rows,
        }[event["kind"]](event)
        if made is None:
            self.park(event, "no price")
            return
        for row in made:
            identity = event["call_id"] if event["kind"] == "amd" else event["id"]
            self.rows[Identity(row.account_id, row.month, row.line, identity, 0)] = row

    def park(self, event: Event, reason: str) -> None:
        revision = event.get("revision") or 0
        self.parked.append(
            Parked(event["kind"], event["account_id"], event["id"], revision, reason)
        )

    def _call_rows(self, call: Event) -> list[Row] | None:
        """ "A dial that nobody answers is billed. What the platform refused before dialing (no
        `dialed_at`) is not." "A campaign call is charged on the campaign line only." "A call
        across a price change takes the price at dialing." """
        media = call.get("media") or "voice"
        line = {"voice": "calls", "video": "video_calls"}[media]
        if call["kind"] == "dial":
            media, line = "voice", "campaign_calls"
        dialed, answered = (instant_or_none(call.get(k)) for k in ("dialed_at", "answered_at"))
        ended = instant(call["ended_at"])
        at = dialed or ended
        facts = {**facts_of(call), "media": media}
        price = self.book.price(call["account_id"], line, facts, call["to"], at)
        if dialed is None:
            return [self._row(call, line, at, price.unit if price else "minute", NOTHING)]
        if price is None:
            return None
        started = dialed if price.start == "dial" else answered
        if started is None or call["status"] in price.free:
            amount = NOTHING
        else:
            amount = amount_by_time(price, seconds_between(started, ended))
        return [self._row(call, line, at, price.unit, amount)]

    def _text_rows(self, text: Event) -> list[Row] | None:
        """ "Price per text, or per segment where the tariff says so"; "Carrier fee is a charge
        of its own beside the text's price"; "Failed texts: policy per status in the tariff"."""
        at = instant(text["sent_at"])
        facts = facts_of(text)
        rows = []
        for line in ("texts", "carrier_fees"):
            price = self.book.price(text["account_id"], line, facts, text["to"], at)
            if price is None:
                return None
            count = segments_of(text) if price.unit == "segment" else 1
            amount = NOTHING if text["status"] in price.free else amount_by_count(price, count)
            rows.append(self._row(text, line, at, price.unit, amount))
        return rows

    def _amd_rows(self, amd: Event) -> list[Row] | None:
        """ "Once per connected call, whatever the verdict". "An unanswered one is a row of $0"."""
        at = instant(amd["dialed_at"])
        price = self.book.price(amd["account_id"], "ai_voice_detection", facts_of(amd), None, at)
        if price is None:
            return None
        unanswered = price.start == "answer" and amd.get("answered_at") is None
        amount = NOTHING if unanswered else amount_by_count(price, 1)
        return [self._row(amd, "ai_voice_detection", at, price.unit, amount)]

    def _row(self, event: Event, line: str, at: datetime, unit: str, amount: Amount) -> Row:
        account_id = event["account_id"]
        charge = half_even(amount.charge)
        numbers = (event["from"], event["to"]) if "from" in event else None
        zone = self.book.account(account_id, at).zone
        return Row(
            account_id,
            month_of(at, zone),
            line,
            event.get("direction"),
            amount.billed,
            unit,
            amount.billed_seconds,
            segments_of(event) if event["kind"] == "text" else 0,
            charge,
            *taxes_on(self.book, account_id, line, charge, at, numbers),
            zone=zone,
            at=at,
            media=event.get("media"),
            registered=event.get("registered"),
        )

    # -------------------------------------------------------------- per month

    def monthly(self, account_id: str, month: str) -> tuple[dict[Identity, Row], list[Parked]]:
        """ "The month's rows are made from what stood in that month, `[from, until)`, keyed
        (number or recording, month), so making them twice changes nothing." What has no price
        is parked, not free."""
        rows: dict[Identity, Row] = {}
        parked = []
        for (kind, name), spells in self._stood(account_id, month).items():
            row = self._monthly_row(account_id, month, kind, spells)
            if row is None:
                event = spells[0].event
                parked.append(Parked(kind, account_id, event["id"], 0, "no price"))
            else:
                rows[Identity(account_id, month, row.line, name, 0)] = row
        return rows, parked

    def _stood(self, account_id: str, month: str) -> dict[tuple[str, str], list[Stood]]:
        """What stood in the month, by kind and name; a number may have stood more than once."""
        first, after = self.book.month_window(account_id, month)
        stood: dict[tuple[str, str], list[Stood]] = {}
        for (kind, owner, _), tellings in self.things.items():
            if owner != account_id:
                continue
            _, name, start_key, end_key = MONTHLY[kind]
            event = last_word(tellings, end_key)
            start, end = instant(event[start_key]), instant_or_none(event.get(end_key))
            if end is not None and end <= start:
                continue  # it never stood
            start, end = max(start, first), min(end or after, after)
            if start < end:
                stood.setdefault((kind, event[name]), []).append(Stood(start, end, event))
        for spells in stood.values():
            spells.sort(key=lambda spell: spell.start)
        return stood

    def _monthly_row(
        self, account_id: str, month: str, kind: str, spells: list[Stood]
    ) -> Row | None:
        """ "default: owned at any time in the month = the whole month"; "50 recorded seconds = 1
        recorded minute". The price is that of the first instant it stood in the month."""
        line = MONTHLY[kind][0]
        at, _, event = spells[0]
        number = event["number"] if kind == "number" else None
        price = self.book.price(account_id, line, facts_of(event), number, at)
        if price is None:
            return None
        if kind == "recording":
            amount = amount_by_time(price, Fraction(str(event["duration_s"])))
        else:
            amount = amount_by_count(price, 1)
        exact = amount.charge
        if price.prorate:
            first, after = self.book.month_window(account_id, month)
            exact = exact * stood_seconds(spells) / seconds_between(first, after)
        charge = half_even(exact)
        taxes = taxes_on(self.book, account_id, line, charge, at, None)
        return Row(
            account_id, month, line, None, amount.billed, price.unit, amount.billed_seconds, 0,
            charge, *taxes, zone=self.book.account(account_id, at).zone, at=at,
        )  # fmt: skip

    # -------------------------------------------------------------- the statement

    def statement(self, account_id: str, month: str) -> dict[str, Any]:
        """The lines in the customer's order, always all of them; "the sum, rounded to cents
        once, here". "The head of the page shows usage + products = the month"."""
        rows = [r for i, r in self.rows.items() if i[:2] == (account_id, month)]
        rows += self.monthly(account_id, month)[0].values()
        lines = [statement_line(rows, *shape) for shape in STATEMENT]
        charges = [(line["line"], Decimal(line["charge"])) for line in lines]
        total = half_even(Fraction(sum((charge for _, charge in charges), ZERO)), 2)
        fixed = [charge for name, charge in charges if name == "subscriptions"]
        products = half_even(Fraction(sum(fixed, ZERO)), 2)
        return {
            "account_id": account_id,
            "month": month,
            "zone": self._zone(account_id, month, rows),
            "currency": self.book.currency,
            "lines": lines,
            "usage_total": format(total - products, ".2f"),
            "products_total": format(products, ".2f"),
            "total": format(total, ".2f"),
        }

    def _zone(self, account_id: str, month: str, rows: list[Row]) -> str:
        """ "What an old month shows (currency, zone, plan) comes from its rows", of several zones
        the latest; without rows it is the one in force when the month began."""
        if rows:
            return max(rows, key=lambda row: row.at).zone
        return self.book.account(account_id, self.book.month_window(account_id, month)[0]).zone


def last_word(tellings: list[Event], end_key: str) -> Event:
    """ "an end once told stands (a re-send of the earlier state after it changes nothing), and
    among ends the last in the log". An event id told twice: the first telling stands."""
    told: dict[str, Event] = {}
    for event in tellings:
        told.setdefault(event["id"], event)
    ends = [event for event in told.values() if event.get(end_key) is not None]
    return (ends or list(told.values()))[-1]


def stood_seconds(spells: list[Stood]) -> Fraction:
    """Seconds in which at least one of the spells stood; they are sorted by their start."""
    total, reached = Fraction(0), spells[0].start
    for start, end, _ in spells:
        start = max(start, reached)
        if end > start:
            total += seconds_between(start, end)
            reached = end
    return total


STATEMENT = [  # line, direction, unit
    ("phone_numbers", None, "number"),
    ("calls", "inbound", "minute"),
    ("calls", "outbound", "minute"),
    ("video_calls", "inbound", "minute"),
    ("video_calls", "outbound", "minute"),
    ("texts", "inbound", "text"),
    ("texts", "outbound", "text"),
    ("campaign_calls", None, "minute"),
    ("recording_storage", None, "minute"),
    ("carrier_fees", None, "text"),
    ("taxes", None, "item"),
    ("ai_voice_detection", None, "call"),
    ("subscriptions", None, "item"),
]


def statement_line(rows: list[Row], line: str, direction: str | None, unit: str) -> dict[str, Any]:
    """Amount, what was billed, average price and charge of one line, and its breakdown."""
    shown: dict[str, Any] = {"line": line}
    if line == "taxes":
        shown["unknown"] = sum(row.charge != 0 and not row.tax_known for row in rows)
        taxed = [row for row in rows if row.tax != 0]
        parts = [tax_part(taxed, level) for level in ("federal", "state", "local")]
        charged = [(row, row.tax) for row in taxed]
        return shown | numbers(charged, unit) | {"parts": [part for part in parts if part]}
    rows = [r for r in rows if r.line == line and direction in (None, r.direction)]
    if direction is not None:
        shown["direction"] = direction
    shown |= numbers([(row, row.charge) for row in rows], unit)
    if line == "texts":
        shown["segments"] = sum(row.segments for row in rows if row.charge != 0)
    return shown | {"parts": fee_parts(rows, unit) if line == "carrier_fees" else []}


def numbers(charged: list[tuple[Row, Decimal]], unit: str) -> dict[str, Any]:
    """ "What cost nothing (a failed text, an unanswered detection) counts in the amount, is said
    beside it, and stands in no average price"."""
    paid = [row for row, charge in charged if charge != 0]
    if unit == "minute":
        quantity = Fraction(sum(row.billed_seconds for row in paid), 60)
    elif unit == "call":
        quantity = Fraction(sum((row.billed for row in paid), ZERO))
    else:
        quantity = Fraction(len(paid))
    charge = sum((charge for _, charge in charged), ZERO)
    return {
        "amount": len(charged),
        "free": len(charged) - len(paid),
        "quantity": plain(half_even(quantity)),
        "unit": unit,
        "average_price": plain(half_even(Fraction(charge) / quantity)) if quantity else None,
        "charge": plain(charge),
    }


def fee_parts(rows: list[Row], unit: str) -> list[dict[str, Any]]:
    """ "by SMS/MMS x Registered/Unregistered", and by direction."""
    parts = []
    for media in ("sms", "mms"):
        for registered in (True, False):
            for direction in ("outbound", "inbound"):
                apart = {"media": media, "registered": registered, "direction": direction}
                alike = [
                    (row, row.charge)
                    for row in rows
                    if (row.media, row.registered, row.direction) == tuple(apart.values())
                ]
                parts += [apart | numbers(alike, unit)] if alike else []
    return parts


def tax_part(taxed: list[Row], level: str) -> dict[str, Any] | None:
    """ "federal, state, local, each on a row of its own with its authorities"."""
    charged = [(row, getattr(row, f"tax_{level}")) for row in taxed]
    charged = [(row, tax) for row, tax in charged if tax != 0]
    names = {name for row in taxed for of, name in row.authorities if of == level}
    apart = {"level": level, "authorities": sorted(names)}
    return apart | numbers(charged, "item") if charged else None


# ------------------------------------------------------------------ the log


FURTHER = {"sent": 1, "failed": 2, "undelivered": 2, "delivered": 3, "received": 3}


def rate_lines(lines: Iterable[Event], book: Book) -> Ledger:
    """Rates the events of a log, first in the list first in the log.

    "Same id, other content: a conflict; the first in the log stands". "A status update of the
    same text is not a new charge." AMD: "Identity is the call ...; where they disagree, one that
    was answered counts." Texts: "of its statuses the furthest stands, whatever the order of
    arrival: delivered or received over failed or undelivered over sent".
    """
    ledger = Ledger(book)
    first: dict[tuple[Any, ...], Event] = {}
    for event in lines:
        kind, account_id, revision = event["kind"], event["account_id"], event.get("revision") or 0
        if kind == "campaign" and revision == 0:
            continue  # "nothing is charged for it"
        if kind in MONTHLY and revision == 0:
            # The first telling of an id stands, whatever thing another tells of.
            if first.setdefault((kind, account_id, event["id"], 0), event) is event:
                ledger.things.setdefault((kind, account_id, thing_of(event)), []).append(event)
            continue
        name = event["call_id"] if kind == "amd" and revision == 0 else event["id"]
        key = (kind, account_id, name, revision)
        stands = first.setdefault(key, event)
        if kind == "amd" and not stands.get("answered_at") and event.get("answered_at"):
            first[key] = event
        if kind == "text" and FURTHER[event["status"]] > FURTHER[stands["status"]]:
            first[key] = event
    for event in first.values():
        if event["kind"] in MONTHLY and not event.get("revision"):
            continue
        if event.get("revision"):
            ledger.park(event, "correction")
        else:
            ledger.rate(event)
    return ledger
