"""What all tests of the rules build with: events as producers send them, and books from TOML."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, assume, settings

from rater.charge import Charge
from rater.decode import Decoded, decode
from rater.event_rows import state_of
from rater.kinds import KINDS
from rater.kinds.event import Event
from rater.money import format_nanos
from rater.monthly import Telling
from rater.months import FOREVER_US
from rater.price import Price
from rater.rate import rate
from rater.reject import Reject
from rater.statement import Sums, TaxSums
from rater.tariff import Book
from rater.tariff_file import load_book, read_book
from rater.usage import DIMENSIONS, Dims, Usage
from schemas import SAMPLE_TARIFF
from tests import oracle
from tests.rater.drawn import DrawnBook

NEW_YORK, MANHATTAN, LOS_ANGELES = "+16465550111", "+12125550100", "+13105550100"
HOUSTON, TOLL_FREE, LONDON = "+17135550100", "+18005550100", "+442079460000"

# When the log received a record: later than all events of the tests.
RECEIVED = "2031-01-01T00:00:00Z"
ABSENT = object()

SAMPLE = load_book(SAMPLE_TARIFF)

modest = settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def us(instant: str) -> int:
    """Microseconds since the epoch, with exact arithmetic and none of the product's code."""
    since = datetime.fromisoformat(instant) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def nanos(amount: str) -> int:
    return int(Decimal(amount) * 10**9)


# ------------------------------------------------------------------ events, as on the wire


def _event(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    fields = base | {"from" if key == "from_" else key: value for key, value in more.items()}
    return {key: value for key, value in fields.items() if value is not ABSENT}


def call(seconds: float = 60, *, at: str = "2026-02-10T12:00:00Z", **more: Any) -> dict[str, Any]:
    """A call of so many seconds from its dialing."""
    ended = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    base = {
        "kind": "call", "id": "c1", "account_id": "someone", "direction": "outbound",
        "from": MANHATTAN, "to": LOS_ANGELES, "dialed_at": at, "ended_at": ended.isoformat(),
        "status": "completed",
    }  # fmt: skip
    return _event(base, more)


def dial(seconds: float = 60, **more: Any) -> dict[str, Any]:
    return call(seconds, **({"kind": "dial", "id": "d1", "campaign_id": "spring"} | more))


def text(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "text", "id": "t1", "account_id": "someone", "direction": "outbound",
        "media": "sms", "from": MANHATTAN, "to": LOS_ANGELES, "sent_at": "2026-02-10T12:00:00Z",
        "status": "sent", "registered": True,
    }  # fmt: skip
    return _event(base, more)


def amd(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "amd", "id": "a1", "account_id": "someone", "call_id": "c1",
        "dialed_at": "2026-02-10T12:00:00Z", "verdict": "human",
    }  # fmt: skip
    return _event(base, more)


def number(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "number", "id": "n1", "account_id": "someone", "number": MANHATTAN,
        "number_type": "local", "acquired_at": "2026-01-11T00:00:00Z",
    }  # fmt: skip
    return _event(base, more)


def recording(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "recording", "id": "r1", "account_id": "someone", "recording_id": "R",
        "stored_at": "2026-02-10T12:00:00Z", "duration_s": 50,
    }  # fmt: skip
    return _event(base, more)


def campaign(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "campaign", "id": "k1", "account_id": "someone", "campaign_id": "spring",
        "name": "Spring sale", "detection": True, "effective_at": "2026-01-01T12:00:00Z",
    }  # fmt: skip
    return _event(base, more)


def subscription(**more: Any) -> dict[str, Any]:
    base = {
        "kind": "subscription", "id": "s1", "account_id": "someone", "subscription_id": "S",
        "product": "power-dialer", "started_at": "2026-01-01T12:00:00Z",
    }  # fmt: skip
    return _event(base, more)


EVENTS = {
    "call": call, "dial": dial, "text": text, "amd": amd, "number": number,
    "recording": recording, "subscription": subscription, "campaign": campaign,
}  # fmt: skip


def decoded_or_not(event: Mapping[str, Any], received: str = RECEIVED) -> Event | Reject:
    return decode(KINDS[event["kind"]], json.dumps(event).encode(), us(received))


def decoded(event: Mapping[str, Any]) -> Event:
    result = decoded_or_not(event)
    assert isinstance(result, Event), result
    return result


def charges(event: Mapping[str, Any], book: Book = SAMPLE) -> list[Charge]:
    result = rate(decoded(event), book)
    assert isinstance(result, list), result
    return result


def charge(event: Mapping[str, Any], book: Book = SAMPLE, line: str | None = None) -> Charge:
    """The only charge of the event, or the only one on a line."""
    (found,) = (row for row in charges(event, book) if line in (None, row.terms.line))
    return found


def shown(row: Charge) -> tuple[int, str, str]:
    """Billed units, unit and charge: what a price list says."""
    return row.cost.billed, row.terms.unit, format_nanos(row.cost.charge)


def all_of(decoded: Decoded, count: int) -> list[Event | Reject]:
    """Each record's event or reject, in the order of the records."""
    outcomes: dict[int, Event | Reject] = dict(decoded.others)
    if decoded.columns is not None:
        for place, index in enumerate(decoded.rows.tolist()):
            outcomes[index] = decoded.columns.event(place)
    assert sorted(outcomes) == list(range(count))
    return [outcomes[index] for index in range(count)]


# ------------------------------------------------------------------ the log, and its sums


def telling(event: Mapping[str, Any], position: int) -> Telling:
    """An event of a monthly kind at its place in the log."""
    made = decoded(event)
    state = state_of(made)
    assert state is not None
    return Telling(made.account_id, made.kind, made.id, position, state)


def sums(rows: Iterable[Charge]) -> list[Sums]:
    """The ledger's rows as the store groups them for a statement."""
    groups: dict[tuple[str, str, str, str], list[Charge]] = {}
    for row in rows:
        groups.setdefault(
            (row.terms.line, row.terms.direction, row.terms.media, row.terms.registered), []
        ).append(row)
    return [_sums(key, group) for key, group in groups.items()]


def _sums(key: tuple[str, str, str, str], group: list[Charge]) -> Sums:
    paid = [row.cost for row in group if row.cost.charge]
    levels = [
        [getattr(row.cost, f"tax_{level}") for row in group]
        for level in ("federal", "state", "local")
    ]
    return Sums(
        *key,
        rows=len(group),
        free=len(group) - len(paid),
        billed=sum(cost.billed for cost in paid),
        billed_seconds=sum(cost.billed_seconds for cost in paid),
        segments=sum(cost.segments for cost in paid),
        charge=sum(cost.charge for cost in paid),
        tax=TaxSums(
            tuple(map(sum, levels)),
            tuple(sum(amount != 0 for amount in amounts) for amounts in levels),
            taxed=sum(tax(row) != 0 for row in group),
            unknown=sum(cost.tax_status == "unknown" for cost in paid),
            rules=tuple({row.cost.tax_rule for row in group if tax(row)}),
        ),
    )


def tax(row: Charge) -> int:
    return row.cost.tax_federal + row.cost.tax_state + row.cost.tax_local


# ------------------------------------------------------------------ prices and books


def a_price(line: str = "calls", rate: str = "0.0085", unit: str = "minute", **more: Any) -> Price:
    """A price as the reader of a tariff file makes it; amounts are written in dollars."""
    fields: dict[str, Any] = {
        "match": (), "prefix": "", "per": 1, "connection_fee": "0", "first": 60, "following": 60,
        "minimum": 0, "start": "dial", "fraction": "drop", "free": frozenset(),
        "rounding": "half-even", "prorate": False, "valid_from_us": -FOREVER_US,
        "valid_until_us": FOREVER_US, "place": "here:1",
    }  # fmt: skip
    fields |= more
    fields["connection_fee"] = nanos(fields["connection_fee"])
    return Price(line=line, rate=nanos(rate), unit=unit, **fields)


def dims(**facts: str) -> Dims:
    assert facts.keys() <= {*DIMENSIONS, "from_"}
    facts = {name.rstrip("_"): value for name, value in facts.items()}
    return tuple(facts.get(name) for name in DIMENSIONS)


def a_usage(
    seconds: float,
    *,
    answered_after_s: float | None = None,
    status: str = "completed",
    dialed: bool = True,
) -> Usage:
    """A call's duration from its dialing, which was at the epoch."""
    answered_us = None if answered_after_s is None else round(answered_after_s * 1_000_000)
    ended_us = round(seconds * 1_000_000)
    return Usage(("calls",), dims(), LONDON, 0, status, answered_us, ended_us, dialed=dialed)


TAX_HEAD = "level,country,state,locality,authority,lines,rate,taxed_share,valid_from,valid_until\n"


def price(line: str, rate: str, unit: str = "minute", more: str = "") -> str:
    """A [[tariff.price]] of a tariff file."""
    return f'[[tariff.price]]\nline = "{line}"\nunit = "{unit}"\nrate = {rate}\n{more}\n'


def make_book(
    prices: str = "",
    *,
    zone: str = "UTC",
    versions: str = "",
    accounts: str = "",
    valid_from: str = "2025-01-01T00:00:00Z",
    taxes: str | None = None,
) -> Book:
    """A book of one tariff "t" with the prices given; `versions` are [[tariff]]s after it."""
    head = 'currency = "USD"\n' + ('tax_table = "tax.csv"\n' if taxes is not None else "")
    head += f'[accounts.default]\ntariff = "t"\nzone = "{zone}"\n'
    head += 'service_address = { country = "US", state = "NY", locality = "New York City" }\n'
    tariff = f'[[tariff]]\nname = "t"\nvalid_from = {valid_from}\n{prices}\n{versions}\n'
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.toml"
        path.write_text(f"{head}{accounts}\n{tariff}", encoding="utf-8")
        path.with_name("tax.csv").write_text(TAX_HEAD + (taxes or ""), encoding="utf-8")
        return load_book(path)


def read_drawn(drawn: DrawnBook) -> tuple[Book, oracle.Book]:
    """A drawn book as the product and as the oracle read it. One with a mistake is drawn again."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.toml"
        path.write_text(drawn.toml, encoding="utf-8")
        path.with_name("accounts.csv").write_text(drawn.accounts, encoding="utf-8")
        path.with_name("tax.csv").write_text(TAX_HEAD + drawn.taxes, encoding="utf-8")
        book, mistakes = read_book(path)
        # Two entries from one instant, written differently, or two versions from one day.
        assert all("same time" in one.message or "overlaps" in one.message
                   or "not after" in one.message for one in mistakes if one.fatal)  # fmt: skip
        assume(book is not None)
        assert book is not None
        return book, oracle.load_book(path)


def zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
