"""What is said in words, in one place: why an event costs what it does, why a month costs more,
what it will come to. Used by the page, the command line and the API alike.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rater.budgets import Alert, Budget, What
from rater.changes import Cause
from rater.charge import Charge
from rater.forecast import WEEKS, Forecast
from rater.lines import LINES
from rater.money import format_cents, format_nanos, to_cents
from rater.words import counted, grouped, money, symbol_of

_LINES = {line.name: line for line in LINES}
CAUSES_SAID = 3  # the weightiest; what is left is one more


class Said(NamedTuple):
    """A sentence and the cents in it, with their sign."""

    text: str
    cents: int


def cents_text(cents: int, symbol: str, *, signed: bool = False) -> str:
    """ "$1,204.50"; with its sign where that is asked for: "+$3.10"."""
    return ("+" if signed and cents > 0 else "") + grouped(format_cents(cents), symbol)


# ------------------------------------------------------------------ a month against another


def change_said(cents: int, than: str, symbol: str) -> str:
    """The difference itself: "$41.20 more than October to the same day"."""
    if not cents:
        return f"As much as {than}"
    return f"{cents_text(abs(cents), symbol)} {'more' if cents > 0 else 'less'} than {than}"


def causes_said(causes: Sequence[Cause], cents: int, symbol: str) -> list[Said]:
    """The weightiest causes, and all others as one: they add up to `cents`, the difference."""
    said = [Said(cause_text(cause), to_cents(cause.charge)) for cause in list(causes)[:CAUSES_SAID]]
    left = cents - sum(one.cents for one in said)
    if left:
        said.append(Said("all else", left))
    return [
        one._replace(text=f"{one.text} ({cents_text(one.cents, symbol, signed=True)})")
        for one in said
        if one.cents
    ]


def cause_text(cause: Cause) -> str:
    """ "2,310 more minutes of outbound calls", "other destinations or kinds of texts"."""
    line = _LINES[cause.line]
    title = line.title_of(cause.direction)
    name = title if title.startswith("A.I.") else title[0].lower() + title[1:]
    more = "more" if cause.quantity > 0 else "fewer"
    if cause.what == "volume":
        if line.unit == "minute":
            minutes = -(-abs(cause.quantity) // 60)
            return f"{grouped(str(minutes))} {more} minute{'' if minutes == 1 else 's'} of {name}"
        many = abs(cause.quantity)
        return f"{grouped(str(many))} {more} billed: {name}"
    if cause.what == "fixed":
        if line.unit == "minute" or not cause.quantity:
            return name
        many = abs(cause.quantity)
        return f"{grouped(str(many))} {more} {line.noun}{'' if many == 1 else 's'}"
    if cause.what == "prices":
        return f"prices of {name}"
    if cause.what == "mix":
        dearer = "dearer" if cause.charge > 0 else "cheaper"
        return f"a {dearer} mix of {name}"
    return "taxes"


def forecast_said(month: Forecast, symbol: str) -> str:
    """ "$312.00 to $350.00, likely $331.00"."""
    low, likely, high = (cents_text(to_cents(nanos), symbol) for nanos in month)
    return f"{low} to {high}, likely {likely}"


FORECAST_METHOD = (
    "Fixed items exactly; usage by what each weekday cost in the last "
    f"{WEEKS} weeks: the middle half of them is the range."
)
QUOTE_METHOD = (
    "By today's prices with tax. Each dial is billed by the minute, answered or not: the account's"
    f" own answer rate and minutes for each dial of the last {WEEKS} weeks, or those that were"
    " given; the range is the middle half of these weeks."
)
NO_FORECAST = "Told once there is a week of usage."


# ------------------------------------------------------------------ a budget

TELLS_ONLY = "A budget tells; it stops nothing."


def part_said(budget: Budget) -> str:
    """What a budget is of: "all usage", "calls, texts of campaign spring, user u1"."""
    titles = [_LINES[name].title if name in _LINES else name for name in budget.lines]
    said = ", ".join(titles) or "all usage"
    if budget.campaign_id:
        said += f" of campaign {budget.campaign_id}"
    return said + f" of user {budget.user_id}" * bool(budget.user_id)


def alert_said(alert: Alert, symbol: str, zone: ZoneInfo) -> str:
    """What is told of a budget: "Budget office: $52.10 is spent in November 2026, at least 50 % of
    $100.00 (all usage). A budget tells; it stops nothing."."""
    budget = alert.budget
    spent, amount = (cents_text(to_cents(one), symbol) for one in (alert.spent, budget.amount))
    month = f"{alert.month:%B} {alert.month.year}"
    if alert.what == What.RUNAWAY:
        usual = cents_text(to_cents(alert.usual), symbol)
        told = f"{spent} was spent in the minute from {clock(alert.minute_us, zone)}, and"
        told += f" {usual} in the dearest of a usual day"
    elif alert.what == What.FORECAST:
        told = f"{month} will likely come to {spent}, at least {alert.percent} % of {amount}"
    else:
        told = f"{spent} is spent in {month}, at least {alert.percent} % of {amount}"
    return f"Budget {budget.name}: {told} ({part_said(budget)}). {TELLS_ONLY}"


# ------------------------------------------------------------------ an event


def charge_said(charge: Charge, *, timed: bool = True, taxed: bool = True) -> str:
    """Why a charge is what it is: "10:00:00 to 10:01:01 is 61 s, 2 minutes at $0.0150 (outbound,
    +44) = $0.03, and $0.011 tax". Without its time and its tax it is a price in words."""
    terms, cost = charge.terms, charge.cost
    symbol = symbol_of(terms.currency)
    price = f"{_price(terms.unit_price, symbol)}{_per(terms.unit, terms.per)}"
    what = _matched(charge)
    amount = money(format_nanos(cost.charge), symbol)
    fee = ""
    if terms.connection_fee:
        fee = f" + {money(format_nanos(terms.connection_fee), symbol)} to connect"
    lasted = _lasted(charge) if timed else ""
    why_free = cost.rule.partition("; ")[2].removesuffix(": $0")
    if cost.rule.endswith(": $0") and why_free:
        said = f"{lasted}{why_free}: $0"
    else:
        many = counted(cost.billed, terms.unit)
        said = f"{lasted}{many} at {price}{what}{fee} = {amount}"
    return f"{said}{_tax_said(charge, symbol) if taxed else ''}"


def _lasted(charge: Charge) -> str:
    if charge.ended_us is None or not charge.cost.raw_seconds:
        return ""
    zone = ZoneInfo(charge.terms.zone or "UTC")
    start_us = charge.occurred_us
    if "from answer" in charge.cost.rule and charge.answered_us is not None:
        start_us = charge.answered_us
    start, end = clock(start_us, zone), clock(charge.ended_us, zone)
    return f"{start} to {end} is {charge.cost.raw_seconds:,} s, "


_WORDS = {
    "registered=true": "registered",
    "registered=false": "unregistered",
    "recorded=true": "recorded",
    "recorded=false": "not recorded",
}


def _matched(charge: Charge) -> str:
    """What the price was chosen by: the direction, the prefix, and what else its rule names."""
    head = charge.cost.rule.partition(":")[0].split()[1:]
    words = [_WORDS.get(word, word.removesuffix("*")) for word in head]
    return f" ({', '.join(words)})" if words else ""


def _price(nanos: int, symbol: str) -> str:
    return money(format_nanos(nanos), symbol, 4)


def _per(unit: str, per: int) -> str:
    return "" if per == 1 else f" per {counted(per, unit)}"


def _tax_said(charge: Charge, symbol: str) -> str:
    cost = charge.cost
    if cost.tax_status == "unknown" and cost.charge:
        return "; its tax is not known"
    if not cost.tax():
        return ""
    return f", and {money(format_nanos(cost.tax()), symbol)} tax"


def clock(at_us: int, zone: ZoneInfo) -> str:
    """The time of day of an instant in a zone, to the second: "10:01:01"."""
    return f"{_local(at_us, zone):%H:%M:%S}"


def day_said(at_us: int, zone: ZoneInfo) -> str:
    """ "3 November 2026"."""
    return _day(_local(at_us, zone))


def _day(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def version_said(label: str) -> str:
    """Since when a version of a tariff holds: "1 November 2026", at midnight "1 November 2026 UTC";
    another instant as it is."""
    day, _, time = label.partition("T")
    if time not in ("", "00:00:00Z"):
        return label
    return _day(date.fromisoformat(day)) + " UTC" * bool(time)


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    seconds, rest = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).astimezone(zone)


def taxes_said(charge: Charge) -> list[str]:
    """Each authority with its rate: "Federal USF, 36 % of 64.9 % of the charge"."""
    if charge.cost.tax_status != "taxed":
        return []
    _, _, rules = charge.cost.tax_rule.partition(": ")
    said = []
    for rule in rules.split("; "):
        level, _, rest = rule.partition(" ")
        authority, _, share = rest.rpartition(" of ")
        name, _, rate = authority.rpartition(" ")
        taxed = "" if share == "1" else f" of {_percent(share)}"
        said.append(f"{level.capitalize()}: {name}, {_percent(rate)}{taxed} of the charge")
    return said


def _percent(text: str) -> str:
    """ "0.0235" is "2.35 %"."""
    return f"{Decimal(text).scaleb(2).normalize():f} %"


def outcome_said(what: str, reason: str, message: str) -> str:
    """Why an event has no charge: it waits for a price, or was refused."""
    why = f"{reason.replace('_', ' ')}: {message}" if message else reason.replace("_", " ")
    if what == "parked":
        return f"It waits for a price, and is rated when one arrives: {why}."
    return f"It was refused and is not charged: {why}."
