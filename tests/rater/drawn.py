"""Events of every kind as hypothesis draws them, about all the edges that a price can have."""

from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

from rater import numbers
from rater.instants import Instant
from rater.kinds.checks import AreParties, IsInOrder, IsNumber
from rater.kinds.kind import Kind

PARTIES = st.sampled_from(
    [
        "+12125550100", "+16465550111", "+13105550100", "+14155550100", "+17135550100",
        "+13055550100", "+12065550100", "+12025550100", "+14165550100", "+12425550100",
        "+18765550100", "+17875550100", "+18005550100", "+18885550100", "+18225550100",
        "+442079460000", "+447700900123", "+448001111111", "+33612345678", "+551155501234",
        "+88212345678", "+4915112345678", "87121", "911", "client:ann", "sip:ann@example.com",
        "anonymous",
    ]
)  # fmt: skip
CALLERS = PARTIES | st.sampled_from(numbers.NO_CALLER)
NUMBERS = st.sampled_from(["+12125550100", "+13105550100", "+18005550100", "87121"])
ACCOUNTS = st.sampled_from(["acme", "someone", "other"])

# Where something changes: versions, fees, tax quarters, months in UTC and in New York, clocks.
EDGES = [
    datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 16, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC),
    datetime(2026, 2, 1, 5, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC),
]  # fmt: skip
BOOLEANS = st.sampled_from(["true", "false"])
AROUND = st.integers(-3, 3).map(lambda steps: timedelta(microseconds=steps))
INSTANTS = st.one_of(
    st.builds(lambda edge, around: edge + around, st.sampled_from(EDGES), AROUND),
    st.datetimes(
        datetime(2024, 12, 25), datetime(2029, 1, 1), timezones=st.just(UTC)
    ),
)  # fmt: skip
# Seconds to the microsecond, often about a whole minute, and at most a day.
LENGTHS = st.one_of(
    st.builds(
        lambda minutes, around: max(timedelta(minutes=minutes) + around, timedelta(0)),
        st.integers(0, 5),
        st.sampled_from([timedelta(0), timedelta(microseconds=1), -timedelta(microseconds=1)]),
    ),
    st.timedeltas(timedelta(0), timedelta(hours=24)),
)


def _written(draw: st.DrawFn, instant: datetime) -> str:
    """The instant in one of the offsets a producer may write it in."""
    zone = draw(st.sampled_from([UTC, ZoneInfo("America/New_York")]))
    return instant.astimezone(zone).isoformat()


def _optional(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> Any:
    return draw(st.none() | values)


@st.composite
def calls(draw: st.DrawFn, kind: str = "call") -> dict[str, Any]:
    dialed, length = draw(INSTANTS), draw(LENGTHS)
    ended = dialed + length
    event: dict[str, Any] = {
        "kind": kind, "id": draw(st.uuids(version=4)).hex, "account_id": draw(ACCOUNTS),
        "direction": draw(st.sampled_from(["inbound", "outbound"])), "from": draw(CALLERS),
        "to": draw(PARTIES), "ended_at": _written(draw, ended),
        "status": draw(st.sampled_from(["completed", "busy", "no-answer", "failed", "canceled"])),
        "device": _optional(draw, st.sampled_from(["web", "cell"])),
        "group_id": _optional(draw, st.just("g")),
    }  # fmt: skip
    if draw(st.integers(0, 9)):  # one in ten was refused before dialing
        event["dialed_at"] = _written(draw, dialed)
        if draw(st.booleans()):
            share = draw(st.integers(0, 4))
            event["answered_at"] = _written(draw, dialed + length * share / 4)
    if kind == "dial":
        event["campaign_id"] = "spring"
    elif draw(st.booleans()):
        event["media"] = draw(st.sampled_from(["voice", "video"]))
    return event


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    carriers = ["AT&T", "at&t", "T-Mobile", "tmobile", "Verizon", "US Cellular", "Dish", "", "&"]
    return {
        "kind": "text", "id": draw(st.uuids(version=4)).hex, "account_id": draw(ACCOUNTS),
        "direction": draw(st.sampled_from(["inbound", "outbound"])),
        "media": draw(st.sampled_from(["sms", "mms"])), "from": draw(PARTIES),
        "to": draw(PARTIES), "sent_at": _written(draw, draw(INSTANTS)),
        "status": draw(
            st.sampled_from(["sent", "delivered", "received", "failed", "undelivered"])
        ),
        "registered": draw(st.booleans()), "carrier": _optional(draw, st.sampled_from(carriers)),
        "sender": _optional(draw, st.sampled_from(["10dlc", "tollfree", "shortcode"])),
        "segments": _optional(draw, st.integers(1, 255)),
        "body": _optional(draw, st.text(alphabet="aé€ж😀^ ", max_size=400)),
    }  # fmt: skip


@st.composite
def detections(draw: st.DrawFn) -> dict[str, Any]:
    dialed = draw(INSTANTS)
    answered = _optional(draw, st.timedeltas(timedelta(0), timedelta(hours=1)))
    return {
        "kind": "amd", "id": draw(st.uuids(version=4)).hex, "account_id": draw(ACCOUNTS),
        "call_id": draw(st.uuids(version=4)).hex, "dialed_at": _written(draw, dialed),
        "answered_at": None if answered is None else _written(draw, dialed + answered),
        "verdict": draw(st.sampled_from(["human", "machine", "fax", "unknown"])),
    }  # fmt: skip


EVENTS = st.one_of(calls(), calls(kind="dial"), texts(), detections())


@st.composite
def things(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Tellings of a few numbers, recordings and subscriptions, some of them sent again."""
    told: list[dict[str, Any]] = []
    for place in range(draw(st.integers(1, 7))):
        start = draw(INSTANTS)
        end = _optional(draw, st.timedeltas(timedelta(0), timedelta(days=80)))
        since = _written(draw, start)
        until = None if end is None else _written(draw, start + end)
        base: dict[str, Any] = {"id": f"e{place}", "account_id": draw(ACCOUNTS)}
        match draw(st.sampled_from(["number", "recording", "subscription", "again"])):
            case "number":
                owned = draw(NUMBERS)
                base |= {
                    "kind": "number", "number": owned, "acquired_at": since, "released_at": until,
                    # one type a number: which of two would go first is nobody's rule
                    "number_type": "tollfree" if owned == "+18005550100" else "local",
                }  # fmt: skip
            case "recording":
                base |= {
                    "kind": "recording", "recording_id": draw(st.sampled_from("QR")),
                    "stored_at": since, "deleted_at": until,
                    "duration_s": draw(st.integers(0, 200)),
                }  # fmt: skip
            case "subscription":
                base |= {
                    "kind": "subscription", "subscription_id": draw(st.sampled_from("ST")),
                    "started_at": since, "ended_at": until,
                    "product": draw(st.sampled_from(["power-dialer", "seat"])),
                }  # fmt: skip
            case _:
                if not told:
                    continue
                base = draw(st.sampled_from(told))
        told.append(base)
    return told


# ------------------------------------------------------------------ of any kind, as it is declared

SHORT_TEXTS = st.text(alphabet='aé€😀"\\/\n\x1f&', min_size=1, max_size=8)


@st.composite
def instants_written(draw: st.DrawFn, instant: datetime) -> str:
    """An instant as some producer writes it: offsets, letters, decimals."""
    text = _written(draw, instant)
    if draw(st.integers(0, 3)):
        return text
    body, offset = text[:-6], text[-6:]
    if draw(st.booleans()):
        decimals = draw(st.text(alphabet="0123456789", min_size=1, max_size=11))
        body = body.partition(".")[0] + "." + decimals
    if offset == "+00:00":
        offset = draw(st.sampled_from(["Z", "z", "+00:00", "-00:00", "+0000"]))
    return body.replace("T", draw(st.sampled_from("Tt "))) + offset


@st.composite
def declared(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    """An event of a kind, drawn from what its struct and its checks declare and nothing else."""
    parties = {
        field: CALLERS if check.known is numbers.is_caller else PARTIES
        for check in kind.checks
        if isinstance(check, AreParties)
        for field in check.fields
    }
    owned = {f for check in kind.checks if isinstance(check, IsNumber) for f in check.fields}
    at = draw(INSTANTS)
    instants: dict[str, datetime] = {}
    for check in kind.checks:
        if isinstance(check, IsInOrder):
            for name in check.fields:
                at += draw(st.one_of(LENGTHS, st.just(timedelta(0)))) / len(check.fields)
                instants[name] = at
    event: dict[str, Any] = {"kind": kind.name}
    for name, field in kind.fields.items():
        if name == "kind":
            continue
        may_be_null, hint, meta = _parts(field.type)
        if not field.required and draw(st.booleans()):
            if may_be_null and draw(st.booleans()):
                event[field.encode_name] = None
            continue
        if name in parties:
            value = draw(parties[name])
        elif name in owned:
            value = draw(NUMBERS)
        elif hint is Instant:
            value = draw(instants_written(instants.get(name, at)))
        else:
            value = draw(_values(name, hint, meta))
        event[field.encode_name] = value
    return event


def _parts(hint: Any) -> tuple[bool, Any, msgspec.Meta]:
    meta, may_be_null = msgspec.Meta(), False
    if get_origin(hint) in (Union, UnionType):
        may_be_null = True
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Annotated:
        hint, meta = get_args(hint)[:2]
    return may_be_null, hint, meta


def _values(name: str, hint: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if name == "account_id":
        return ACCOUNTS
    if name == "revision":
        return st.sampled_from([0] * 9 + [1])
    if name == "carrier":
        return st.sampled_from(["AT&T", "at&t", "T-Mobile", "", "&", "Dish"])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint is bool:
        return st.booleans()
    if hint is int:
        least, most = int(meta.ge or 0), int(meta.le or 2**31)
        return st.integers(least, most) | st.integers(least, min(most, 9))
    return SHORT_TEXTS if meta.max_length else st.text(alphabet="aé€ж😀^ ", max_size=200)


# Where accounts of drawn books change, and days that begin at other instants in each zone.
DAYS = ("2025-01-01", "2026-01-16", "2026-02-01", "2026-02-28", "2026-10-01", "2026-11-01")
SINCE = st.one_of(
    st.sampled_from(DAYS),
    st.builds(
        lambda edge, around: (edge + around).isoformat(), st.sampled_from(EDGES[:-1]), AROUND
    ),
)
ZONES = (
    "UTC",
    "America/New_York",
    "Asia/Tokyo",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
    "Africa/Cairo",
)
STATES = ("NY", "CA")
PRICED = {
    "phone_numbers": "number", "calls": "minute", "video_calls": "minute", "texts": "text",
    "campaign_calls": "minute", "recording_storage": "minute", "carrier_fees": "message",
    "ai_voice_detection": "call", "subscriptions": "item",
}  # fmt: skip


class DrawnBook(NamedTuple):
    """The files of a book: its TOML, its accounts' rows, its taxes' rows."""

    toml: str
    accounts: str
    taxes: str


def _entry(draw: st.DrawFn, *, first: bool) -> dict[str, str]:
    """What an account's entry says: something of it."""
    said = {
        "tariff": draw(st.sampled_from("tu")),
        "zone": draw(st.sampled_from(ZONES)),
        "state": draw(st.sampled_from(STATES)),
    }
    return said if first else {key: value for key, value in said.items() if draw(st.booleans())}


@st.composite
def books(draw: st.DrawFn) -> DrawnBook:
    """Books whose accounts change, with prices, versions and taxes that change by the day."""
    toml = ['currency = "USD"', 'tax_table = "tax.csv"', 'accounts_table = "accounts.csv"']
    rows = ["account_id,valid_from,tariff,zone,country,state,locality"]
    for name in ("default", "acme", "other"):
        has_first = name == "default" or draw(st.booleans())
        dates = [""] * has_first + draw(st.lists(SINCE, max_size=3, unique=True))
        in_csv = draw(st.booleans())
        for date in dates:
            said = _entry(draw, first=name == "default" and not date)
            state = said.pop("state", "")
            if in_csv:
                country = "US" if state else ""
                cells = [name, date, said.get("tariff", ""), said.get("zone", ""), country, state]
                rows.append(",".join([*cells, ""]))
                continue
            toml.append(f"[[accounts.{name}]]")
            toml += [f'{key} = "{value}"' for key, value in said.items()]
            toml += [f"valid_from = {date}"] if date else []
            toml += [f'service_address = {{ country = "US", state = "{state}" }}'] if state else []
    cents = 0
    for name in "tu":
        for start in ("2024-01-01", draw(st.sampled_from(DAYS))):
            toml += ["[[tariff]]", f'name = "{name}"', f"valid_from = {start}"]
            for line, unit in PRICED.items():
                day = draw(st.sampled_from(DAYS))
                for edge in (f"valid_until = {day}", f"valid_from = {day}"):
                    cents += 1  # each price is told from the others by its rate
                    toml += ["[[tariff.price]]", f'line = "{line}"', f'unit = "{unit}"', edge]
                    toml.append(f"rate = {cents / 100:.2f}\nprorate = {draw(BOOLEANS)}")
    lines = "|".join(PRICED)
    taxes = []
    for level, state in (("federal", ""), *(("state", state) for state in STATES)):
        day, rate = draw(st.sampled_from(DAYS)), draw(st.integers(1, 9))
        taxes += [f"{level},US,{state},,A,{lines},0.0{rate},1,,{day}",
                  f"{level},US,{state},,A,{lines},0.1{rate},1,{day},"]  # fmt: skip
    return DrawnBook("\n".join(toml), "\n".join(rows) + "\n", "\n".join(taxes) + "\n")
