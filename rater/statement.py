"""The monthly statement: the ledger's rows of one account and month, summed into its lines.

Rounded once, to cents, at the total. Every line is always there, in the order of `rater/lines.py`.
What cost nothing counts in the amount and stands in no quantity and no average price. Source:
docs/rules.md, The monthly statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from rater.lines import LINES, TAXES, Tab
from rater.lines import Line as LineKind
from rater.money import divide_half_even, format_cents, format_nanos, to_cents
from rater.tax import LEVELS, authorities_of


class LineForm(NamedTuple):
    """A row of the statement: a line, or one direction of it."""

    line: str
    direction: str
    title: str
    unit: str
    kind: LineKind


LINES_KEPT = 20_000  # those of a thousand statements or two

FORMS = tuple(
    LineForm(line.name, direction, line.title_of(direction), line.unit, line)
    for line in LINES
    for direction in line.directions
)


class TaxSums(NamedTuple):
    """Taxes of a group of rows. `levels` are nanos and `counts` rows, in the order of LEVELS."""

    levels: tuple[int, ...] = (0, 0, 0)
    counts: tuple[int, ...] = (0, 0, 0)
    taxed: int = 0  # rows that any level taxes
    unknown: int = 0  # rows that cost something and for which there was no table of taxes
    rules: tuple[str, ...] = ()


class Sums(NamedTuple):
    """The sum of a group of rows that share line, direction, media and registration.

    `rows` and `free` count those that were not voided; what was billed is of those that cost
    something.
    """

    line: str
    direction: str
    media: str
    registered: str
    rows: int
    free: int
    billed: int
    billed_seconds: int
    segments: int
    charge: int
    tax: TaxSums = TaxSums()


class Waiting(NamedTuple):
    """Events of the month that have no price yet, for one reason. `since`: the first of them."""

    reason: str
    events: int
    since: str

    def to_json(self) -> dict[str, Any]:
        return {"reason": self.reason, "count": self.events, "since": self.since}


class Part(NamedTuple):
    """A row of a line's breakdown, or the whole of it.

    `amount` counts what was used and `free` what of it cost nothing. `quantity` is nanos of the
    unit (a minute may be a fraction), of what cost something; `charge` is nanos.
    """

    names: tuple[tuple[str, str], ...]  # all that sets it apart from the others of its line
    amount: int
    free: int
    quantity: int
    segments: int
    charge: int
    authorities: tuple[str, ...] = ()

    def average_price(self) -> int | None:
        """Charge by quantity, in nanos, rounded half-even; None where nothing was charged for."""
        return divide_half_even(self.charge * 10**9, self.quantity) if self.quantity else None


class Line(NamedTuple):
    """A line of the statement and the parts it adds up from; none where it is not broken down."""

    form: LineForm
    whole: Part
    parts: tuple[Part, ...] = ()
    unknown: int = 0  # charges whose tax is not known


class Statement(NamedTuple):
    """One account's month, its totals in cents.

    `total_cents` is the sum of all lines, rounded once; `products_cents` that of the products,
    rounded; `usage_cents` is the rest, so that the two add up to the month.
    """

    account_id: str
    month: date
    zone: str
    as_of: str
    status: str
    currency: str
    lines: tuple[Line, ...]
    waiting: tuple[Waiting, ...]
    usage_cents: int
    products_cents: int
    total_cents: int
    tariffs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # what a reader must know of sums of unlike charges

    def is_empty(self) -> bool:
        """Whether the month has no row at all, and nothing waits."""
        return not self.waiting and not any(
            line.whole.amount or line.whole.charge or line.unknown for line in self.lines
        )


class Basis(NamedTuple):
    """By what a month's charges were made: of its rows, or of the book where it has none."""

    zone: str
    currency: str
    tariffs: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def basis_of(groups: Sequence[tuple[str, str, str]], book: Basis) -> Basis:
    """By what a month's rows were charged: their (zone, currency, tariff), the latest rows last.

    `book` says it for a month without rows, and the zone of rows that keep none. Where rows differ
    the latest zone stands, all currencies and tariffs are named, and remarks say so.
    """
    if not groups:
        return book
    zones, currencies, tariffs = (
        tuple(dict.fromkeys(filter(None, values))) for values in zip(*groups, strict=True)
    )
    remarks = []
    if len(zones) > 1:
        remarks.append(f"The time zone changed within the month: {', then '.join(zones)}.")
    if len(currencies) > 1:
        remarks.append(
            f"Charges in {' and '.join(sorted(currencies))} are added up as they stand: the sums "
            "are amounts of no currency."
        )
    if len(tariffs) > 1:
        remarks.append(f"The plan changed within the month: {', then '.join(tariffs)}.")
    zone = zones[-1] if zones else book.zone
    return Basis(zone, " and ".join(sorted(currencies)), tariffs, tuple(remarks))


def make_statement(
    sums: Iterable[Sums],
    *,
    account_id: str,
    month: date,
    zone: str,
    as_of: str,
    currency: str,
    status: str = "estimate",
    waiting: Iterable[Waiting] = (),
    tariffs: tuple[str, ...] = (),
    remarks: tuple[str, ...] = (),
) -> Statement:
    """A month's statement from its rows' sums. Source: docs/rules.md, The monthly statement."""
    groups = list(sums)
    of_line: dict[str, list[Sums]] = {}
    for group in groups:
        of_line.setdefault(group.line, []).append(group)
    lines = tuple(
        _taxes(form, [group.tax for group in groups])
        if form.line == TAXES
        else _line(form, tuple(of_line.get(form.line, ())))
        for form in FORMS
    )
    total = to_cents(sum(line.whole.charge for line in lines))
    products = to_cents(
        sum(line.whole.charge for line in lines if line.form.kind.tab is Tab.PRODUCTS)
    )
    return Statement(
        account_id, month, zone, as_of, status, currency, lines, tuple(waiting),
        total - products, products, total, tariffs, remarks,
    )  # fmt: skip


@lru_cache(maxsize=LINES_KEPT)
def _line(form: LineForm, groups: tuple[Sums, ...]) -> Line:
    """From the sums of its line. Of a statement that is made again a line or two have changed."""
    chosen = [group for group in groups if form.direction in ("", group.direction)]
    apart = [name for name, _ in form.kind.parts]
    parts: dict[tuple[tuple[str, str], ...], list[Sums]] = {}
    for group in chosen if apart else ():
        parts.setdefault(tuple((name, getattr(group, name)) for name in apart), []).append(group)
    return Line(
        form,
        _sum(form.unit, (), chosen),
        tuple(_sum(form.unit, names, parts[names]) for names in sorted(parts, reverse=True)),
    )


def _sum(unit: str, names: tuple[tuple[str, str], ...], groups: list[Sums]) -> Part:
    return Part(
        names,
        sum(group.rows for group in groups),
        sum(group.free for group in groups),
        _quantity(unit, groups),
        sum(group.segments for group in groups),
        sum(group.charge for group in groups),
    )


def _quantity(unit: str, groups: list[Sums]) -> int:
    """In nanos of the line's unit. Time adds up in seconds, so tariffs of any increment mix."""
    if unit == "minute":
        return divide_half_even(sum(group.billed_seconds for group in groups) * 10**9, 60)
    if unit in ("call", "number", "item"):
        return sum(group.billed for group in groups) * 10**9
    return sum(group.rows - group.free for group in groups) * 10**9


def _taxes(form: LineForm, taxes: list[TaxSums]) -> Line:
    """Taxes stand by level. A charge that two levels tax counts in both, and once in the line."""
    named: dict[str, set[str]] = {level: set() for level in LEVELS}
    for rule in {rule for one in taxes for rule in one.rules}:
        for level, authority in authorities_of(rule):
            named[level].add(authority)
    parts = []
    for index, level in enumerate(LEVELS):
        count = sum(one.counts[index] for one in taxes)
        if count:
            charge = sum(one.levels[index] for one in taxes)
            authorities = tuple(sorted(named[level]))
            parts.append(Part((("level", level),), count, 0, count * 10**9, 0, charge, authorities))
    taxed = sum(one.taxed for one in taxes)
    whole = Part((), taxed, 0, taxed * 10**9, 0, sum(part.charge for part in parts))
    return Line(form, whole, tuple(parts), sum(one.unknown for one in taxes))


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """The statement as JSON, exact decimals as strings. Source: docs/conventions.md."""
    return {
        "account_id": statement.account_id,
        "month": f"{statement.month:%Y-%m}",
        "zone": statement.zone,
        "as_of": statement.as_of,
        "status": statement.status,
        "currency": statement.currency,
        "tariffs": list(statement.tariffs),
        "remarks": list(statement.remarks),
        "lines": [_line_to_json(line) for line in statement.lines],
        "waiting": {
            "count": sum(one.events for one in statement.waiting),
            "since": min((one.since for one in statement.waiting), default=None),
            "reasons": [one.to_json() for one in statement.waiting],
        },
        "usage_total": format_cents(statement.usage_cents),
        "products_total": format_cents(statement.products_cents),
        "total": format_cents(statement.total_cents),
    }


@lru_cache(maxsize=LINES_KEPT)
def _line_to_json(line: Line) -> dict[str, Any]:
    row: dict[str, Any] = {"line": line.form.line}
    if line.form.direction:
        row["direction"] = line.form.direction
    row |= _part_to_json(line.form, line.whole)
    if line.form.line == TAXES:
        row["unknown"] = line.unknown
    return row | {"parts": [_part_to_json(line.form, part) for part in line.parts]}


def _part_to_json(form: LineForm, part: Part) -> dict[str, Any]:
    """What sets the part apart and its numbers; there is no average price of nothing."""
    average = part.average_price()
    row: dict[str, Any] = {
        name: value == "true" if value in ("true", "false") else value for name, value in part.names
    }
    if form.line == TAXES and part.names:
        row["authorities"] = list(part.authorities)
    row |= {
        "amount": part.amount,
        "free": part.free,
        "quantity": format_nanos(part.quantity),
        "unit": form.unit,
        "average_price": None if average is None else format_nanos(average),
        "charge": format_nanos(part.charge),
    }
    if form.line == "texts":
        row["segments"] = part.segments
    return row


def part_title(part: Mapping[str, Any]) -> str:
    """All that sets a part apart, in words: "Outbound SMS, registered" or "Federal"."""
    if "level" in part:
        return str(part["level"]).capitalize()
    registered = "registered" if part["registered"] else "unregistered"
    return f"{part['direction'].capitalize()} {part['media'].upper()}, {registered}"
