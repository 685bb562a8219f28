"""Every number opens: line, day, filter, event, why. What opens adds up to what was opened."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import pytest

from rater.lines import LINES
from rater.tax import LEVELS
from streams.formats.registry import EXPORTERS
from streams.maintenance.recurring import make_months
from streams.store.assets import read_campaigns, read_numbers, read_recordings
from streams.store.events import (
    GROUPINGS,
    Filter,
    cursor_of,
    key_of,
    read_breakdowns,
    read_events,
    read_sum,
)
from streams.store.statements import read_statement
from streams.web.filters import encode_cursor
from streams.web.views import number_of
from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

JANUARY = date(2026, 1, 1)
AT = datetime(2026, 1, 10, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("opens") / "store") as filled:
        for n in range(30):
            at = AT + timedelta(hours=7 * n)
            party = {"to": f"+4420794600{n % 7:02}"} if n % 2 else {"direction": "inbound"}
            filled.put(
                "call", at, id=f"c{n}", status="completed", user_id=f"u{n % 3}", team=f"t{n % 2}",
                dialed_at=at.isoformat(), answered_at=at.isoformat(),
                ended_at=(at + timedelta(seconds=31 * n)).isoformat(),
                **({"from": "+14155550100", "to": "+12125550101", "direction": "outbound"} | party),
            )  # fmt: skip
            filled.text(at, id=f"t{n}", media="sms" if n % 3 else "mms", registered=bool(n % 2),
                        status="failed" if n % 5 == 0 else "sent")  # fmt: skip
        filled.park(AT, id="waits")
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


# ------------------------------------------------------------------ the ledger's readers


def test_each_breakdown_adds_up_to_its_line_to_the_last_digit(filled: Filled) -> None:
    statement = read_statement(filled.ledger, filled.book, "acme", JANUARY)
    for line in statement.lines:
        chosen = Filter((JANUARY,), line=line.form.line, direction=line.form.direction)
        told = read_breakdowns(filled.ledger, "acme", chosen, list(GROUPINGS), statement.zone)
        assert told.keys() == set(GROUPINGS)
        for by, groups in told.items():
            assert sum(group.charge for group in groups) == line.whole.charge, (line.form, by)
            assert sum(group.rows for group in groups) == line.whole.amount, (line.form, by)
            assert len({group.name for group in groups}) == len(groups)


def test_a_breakdown_names_what_ran_it_up(filled: Filled) -> None:
    chosen = Filter((JANUARY,), line="calls", direction="outbound")
    told = read_breakdowns(
        filled.ledger, "acme", chosen, ["user", "team", "destination", "day"], "America/New_York"
    )
    assert {group.name for group in told["user"]} == {"u0", "u1", "u2", ""}
    assert {group.name for group in told["team"]} == {"t1", ""}
    assert "+442079460003" in {group.name for group in told["destination"]}
    assert min(group.name for group in told["day"]) == "2026-01-10"


def test_a_level_of_the_taxes_adds_up_to_its_part(filled: Filled) -> None:
    statement = read_statement(filled.ledger, filled.book, "acme", JANUARY)
    (taxes,) = (line for line in statement.lines if line.form.line == "taxes")
    parts = {dict(part.names)["level"]: part for part in taxes.parts}
    assert parts.keys() == set(LEVELS)
    for level, part in parts.items():
        chosen = Filter((JANUARY,), line="taxes", level=level)
        told = read_breakdowns(filled.ledger, "acme", chosen, ["day"], statement.zone)
        groups = told["day"]
        assert sum(group.charge for group in groups) == part.charge
        assert sum(group.rows for group in groups) == part.amount


FILTERS = [
    Filter((JANUARY,)),
    Filter((JANUARY,), line="texts", status="failed"),
    Filter((JANUARY,), line="carrier_fees", media="mms", registered="false"),
    Filter((JANUARY,), number="+442079460003"),
    Filter((JANUARY,), user="u1", direction="outbound"),
    Filter((JANUARY,), team="t0", least=50_000_000),
    Filter((JANUARY,), first_us=1_768_100_000_000_000, until_us=1_768_300_000_000_000),
    Filter((date(2025, 1, 1), JANUARY), campaign="none such"),
]


@pytest.mark.parametrize("chosen", FILTERS, ids=lambda chosen: str(chosen._asdict())[:40])
def test_pages_of_a_filter_have_each_charge_once_newest_first_and_add_up(
    filled: Filled, chosen: Filter
) -> None:
    whole = read_sum(filled.ledger, "acme", chosen)
    rows, before = [], None
    while page := read_events(filled.ledger, "acme", chosen, before=before, limit=7):
        rows += page
        before = cursor_of(page[-1])
    assert len(rows) == whole.rows == len({key_of(row) for row in rows})
    assert sum(row.charge.cost.charge for row in rows) == whole.charge
    assert sum(row.charge.cost.tax() for row in rows) == whole.tax
    times = [row.charge.occurred_us for row in rows]
    assert times == sorted(times, reverse=True)
    assert (whole.rows > 0) is (chosen.campaign == "")


# ------------------------------------------------------------------ pages


def links_of(text: str) -> list[str]:
    return [link.replace("&amp;", "&") for link in re.findall(r'href="(/accounts[^"]*)"', text)]


def test_every_link_from_the_statement_down_to_an_event_opens(served: Served) -> None:
    seen: set[str] = set()
    to_see = [f"/accounts/acme?month={MONTH}", f"/accounts/acme/usage?month={MONTH}"]
    with httpx.Client(base_url=served.url, timeout=30) as client:
        while to_see and len(seen) < 90:
            path = to_see.pop(0 if len(seen) < 40 else -1)
            if path in seen:
                continue
            seen.add(path)
            answer = client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 200, (path, answer.text[:300])
            to_see += links_of(answer.text)
    assert len([path for path in seen if "/events/" in path]) > 10
    assert len([path for path in seen if "/lines/" in path]) > 8


def test_an_event_is_said_in_one_sentence(served: Served) -> None:
    text = served.get("/accounts/acme/events/c3").text
    assert re.search(r"is 93 s, 2 minutes at \$0\.0\d+ \(outbound, \+44\) = \$0\.\d+", text)
    assert "usage.call.v1, partition 0, offset " in text
    for told in ("+442079460003", "completed", "u0 of t1", "standard, prices since"):
        assert told in text, told


def test_an_event_that_waits_says_so_and_one_that_is_not_known_too(served: Served) -> None:
    waits = served.get("/accounts/acme/events/waits")
    assert waits.status_code == 200
    assert "It waits for a price" in waits.text
    unknown = served.get("/accounts/acme/events/none-such", headers={"Accept": "text/html"})
    assert unknown.status_code == 404
    assert "is known; it may not have been rated yet" in unknown.text
    other = served.get("/accounts/other/events/c3", headers={"Accept": "text/html"})
    assert other.status_code == 404


SEARCHES = [
    # words                  | leads to
    ("c3",                     "/accounts/acme/events/c3"),
    ("+44 (20) 7946-0003",     "/accounts/acme/activity?number=%2B442079460003&first="),
    ("spring",                 "/accounts/acme/activity?campaign=spring&first="),
    ("waits",                  "/accounts/acme/events/waits"),
    ("",                       "/accounts/acme/activity"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "leads_to"), SEARCHES)
def test_a_search_leads_to_what_is_named(served: Served, words: str, leads_to: str) -> None:
    answer = served.get("/accounts/acme/search", params={"q": words})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(leads_to)


def test_a_number_is_read_however_it_is_typed() -> None:
    typed = ["+1 (415) 555-0100", "911", "spring", "c3", "+44.20.7946.0003", "1"]
    assert [number_of(words) for words in typed] == [
        "+14155550100", "911", None, None, "+442079460003", None,
    ]  # fmt: skip


def test_what_is_shown_is_there_as_files_of_the_same_filter(served: Served) -> None:
    page = served.get(
        "/accounts/acme/activity?line=texts&status=failed&first=2026-01-01&last=2026-01-31"
    ).text
    (told,) = re.findall(r'id="sum">([^<]*)<', page)
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/v1[^"]*)"', page)]
    assert {re.search(r"events\.(\w+)", link)[1] for link in links} == set(EXPORTERS)  # type: ignore[index]
    (as_json,) = (link for link in links if "events.json" in link)
    rows = served.get(as_json).json()
    assert told.startswith(f"{len(rows)} charges: ")
    assert {row["status"] for row in rows if "status" in row} <= {"failed", "rated"}
    assert len(rows) == 6


REFUSED = [
    "activity?line=nonsense", "activity?day=2026-02-30", "activity?least=abc",
    "activity?cursor=!!", "activity?first=2026-02-01&last=2026-01-01",
    "activity?first=2020-01-01&last=2026-01-01", "lines/nonsense", "lines/taxes?level=galactic",
    f"activity?cursor={encode_cursor((1, 'x', 'y'))[:-3]}",
]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED)
def test_what_no_filter_can_be_is_refused_with_a_message(served: Served, path: str) -> None:
    answer = served.get(f"/accounts/acme/{path}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]


def test_a_filters_words_are_bound_and_never_markup(served: Served) -> None:
    words = "'; DROP TABLE rated --<b>"
    text = served.get("/accounts/acme/activity", params={"campaign": words}).text
    assert "<b>" not in text.replace("<b><span", "").replace("<b>acme", "")
    assert "0 charges" in text
    assert "1 charge" not in served.get("/accounts/acme/activity").text[:200]


def test_days_of_the_overview_add_up_to_its_month(served: Served, filled: Filled) -> None:
    text = served.get(f"/accounts/acme?month={MONTH}").text
    days = re.findall(r'<span id="day-\d+-all">\$([0-9.,]+)</span>', text)
    assert len(days) == 31
    zone = ZoneInfo("America/New_York")
    lines = [line.name for line in LINES if line.monthly]
    rows = read_events(filled.ledger, "acme", Filter((JANUARY,)), before=None, limit=500)
    usage = sum(
        row.charge.cost.charge + row.charge.cost.tax()
        for row in rows
        if row.charge.terms.line not in lines
    )
    shown = sum(Decimal(day) for day in days)
    assert abs(shown - Decimal(usage) / 10**9) < Decimal("0.16"), "31 days, each to the cent"
    first = datetime.fromtimestamp(min(r.charge.occurred_us for r in rows) // 10**6, UTC)
    assert first.astimezone(zone).month == 1


# ------------------------------------------------------------------ assets and prices


@pytest.fixture(scope="module")
def campaigning(filled: Filled) -> None:
    """Two campaigns of the account `dialer`, one with its detection switched off; two numbers."""
    for n in range(10):
        at = AT + timedelta(minutes=n)
        answered = at.isoformat() if n % 2 else None
        parties = {"from": "+14155550100", "to": "+12125550101", "direction": "outbound"}
        which = {"account_id": "dialer", "campaign_id": "spring" if n < 6 else "autumn"}
        times = {"dialed_at": at.isoformat(), "answered_at": answered}
        filled.put("dial", at, id=f"d{n}", status="completed",
                   ended_at=(at + timedelta(seconds=61)).isoformat(),
                   **parties, **which, **times)  # fmt: skip
        verdict = "human" if n % 3 else "machine"
        filled.put("amd", at, id=f"a{n}", call_id=f"d{n}", verdict=verdict, **which, **times)
    told = {"account_id": "dialer", "effective_at": "2026-01-01T05:00:00Z"}
    filled.put(
        "campaign", AT, id="s", campaign_id="spring", name="Spring <b>", detection=True, **told
    )
    filled.put("campaign", AT, id="f", campaign_id="autumn", name="Autumn", detection=False, **told)
    for number in ("+14155550100", "+14155550199"):
        filled.put("number", AT, id=number, number=number, number_type="local",
                   account_id="dialer", acquired_at="2026-01-01T12:00:00Z")  # fmt: skip
    for nth, stored_at in enumerate(("2025-11-05", "2025-12-05", "2025-12-06"), start=1):
        filled.put(
            "recording", AT, id=f"r{nth}", recording_id=f"r{nth}", account_id="dialer",
            stored_at=f"{stored_at}T12:00:00Z", duration_s=60 * nth,
        )  # fmt: skip
    make_months(filled.ledger, filled.book, [JANUARY], as_of=datetime.now(UTC))


@pytest.mark.usefixtures("campaigning")
def test_campaigns_say_what_they_reached_and_cost(filled: Filled) -> None:
    used = {one.campaign_id: one for one in read_campaigns(filled.ledger, "dialer", JANUARY)}
    shown = {name: one[1:8] for name, one in used.items()}
    assert shown == {
        # name          detection dials connected seconds detections humans
        "spring": ("Spring <b>", True, 6, 3, 720, 3, 4),
        "autumn": ("Autumn", False, 4, 2, 480, 2, 2),
    }
    for name, one in used.items():
        whole = read_sum(filled.ledger, "dialer", Filter((JANUARY,), campaign=name))
        assert (whole.charge, whole.tax) == (one.charge, one.tax)


@pytest.mark.usefixtures("campaigning")
def test_a_detection_that_is_charged_and_off_needs_attention(served: Served) -> None:
    says = "A.I. voice detection is switched off, and 2 detections were charged: $0.02"
    assert says in served.get(f"/accounts/dialer/campaigns?month={MONTH}").text
    assert f"Autumn: {says}" in served.get(f"/accounts/dialer?month={MONTH}").text
    assert "Spring &lt;b&gt;" in served.get(f"/accounts/dialer/campaigns?month={MONTH}").text


@pytest.mark.usefixtures("campaigning")
def test_numbers_say_which_of_them_nobody_used(filled: Filled, served: Served) -> None:
    owned = {one.number: one for one in read_numbers(filled.ledger, "dialer", JANUARY)}
    assert [one.calls for one in owned.values()] == [10, 0]
    assert {one.number_type for one in owned.values()} == {"local"}
    price = owned["+14155550199"].charge
    assert price == owned["+14155550100"].charge > 10**9
    text = served.get(f"/accounts/dialer/numbers?month={MONTH}").text
    assert text.count("idle: no call and no text in this month") == 1
    assert "1 number without use cost $1." in text
    assert read_numbers(filled.ledger, "dialer", date(2025, 12, 1)) == []


@pytest.mark.usefixtures("campaigning")
def test_recordings_say_what_deleting_the_older_ones_saves(filled: Filled, served: Served) -> None:
    stored = read_recordings(filled.ledger, "dialer", JANUARY)
    assert [(f"{one.made:%Y-%m}", one.recordings, one.seconds) for one in stored] == [
        ("2025-12", 2, 300), ("2025-11", 1, 60),
    ]  # fmt: skip
    whole = read_sum(filled.ledger, "dialer", Filter((JANUARY,), line="recording_storage"))
    assert sum(one.charge for one in stored) == whole.charge + whole.tax
    text = served.get(f"/accounts/dialer/recordings?month={MONTH}").text
    assert text.index("December 2025") < text.index("November 2025")


PRICES = [
    # asked      | is told
    ("London",     ["London (+4420)", "1 minute at $0.0150 (outbound, +44) = $0.015"]),
    ("france",     ["France (+33)", "1 minute at $0."]),
    ("+12125550101", ["<h2>+12125550101</h2>", "1 minute at $0.0130 (outbound, +1) = $0.013",
                      "its carrier fee, 1 segment at $0."]),
    ("911",        ["<h2>911</h2>"]),
    ("Nowhere at all", ["Nothing is known by this name"]),
    ("",           ["Plan standard, in USD; taxes come on top."]),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "told"), PRICES)
def test_what_a_call_costs_is_said_by_place_or_number(
    served: Served, asked: str, told: list[str]
) -> None:
    text = served.get("/accounts/acme/prices", params={"q": asked}).text
    for one in told:
        assert one in text, one
    assert "tax)" not in text
