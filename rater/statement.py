"""The monthly statement: the ledger's rows of one account and month, summed into its lines.

Rounded once, to cents, at the total. Every line is always there, in the order of domain.md.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from rater.money import divide_half_even, format_cents, format_nanos, to_cents


class LineForm(NamedTuple):
    """How a line of the statement is shown."""

    line: str
    direction: str
    title: str
    unit: str


FORMS = (
    LineForm("phone_numbers", "", "Phone numbers", "number"),
    LineForm("calls", "inbound", "Inbound calls", "minute"),
    LineForm("calls", "outbound", "Outbound calls", "minute"),
    LineForm("video_calls", "inbound", "Inbound video calls", "minute"),
    LineForm("video_calls", "outbound", "Outbound video calls", "minute"),
    LineForm("texts", "inbound", "Inbound texts", "text"),
    LineForm("texts", "outbound", "Outbound texts", "text"),
    LineForm("campaign_calls", "", "Campaign calls", "minute"),
    LineForm("recording_storage", "", "Recording storage", "minute"),
    LineForm("carrier_fees", "", "Carrier fees", "text"),
    LineForm("taxes", "", "Taxes", "item"),
    LineForm("ai_voice_detection", "", "A.I. voice detection", "call"),
    LineForm("subscriptions", "", "Subscriptions (Products)", "item"),
)


class Sums(NamedTuple):
    """The sum of a group of rows that share line, direction, media and registration."""

    line: str
    direction: str
    media: str
    registered: str
    rows: int
    billed: int
    billed_seconds: int
    segments: int
    charge: int
    tax: int
    taxed_count: int


class Line(NamedTuple):
    """A line of the statement. `quantity` is nanos of the unit (a minute may be a fraction)."""

    form: LineForm
    quantity: int
    rows: int
    segments: int
    charge: int
    parts: tuple[Sums, ...] = ()

    def average_price(self) -> int:
        """Charge by quantity, in nanos, rounded half-even; zero where nothing was used."""
        return divide_half_even(self.charge * 10**9, self.quantity) if self.quantity else 0


class Statement(NamedTuple):
    """One account's month. `total` in cents is the sum of the lines, rounded once."""

    account_id: str
    month: date
    zone: str
    as_of: str
    status: str
    currency: str
    lines: tuple[Line, ...]
    total_cents: int
    tariffs: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # what a reader must know of sums of unlike charges


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
    tariffs: tuple[str, ...] = (),
    remarks: tuple[str, ...] = (),
) -> Statement:
    """The statement of a month from its rows' sums. Source: domain.md, The monthly statement."""
    groups = list(sums)
    lines = tuple(_line(form, groups) for form in FORMS)
    total = sum(line.charge for line in lines)
    return Statement(
        account_id, month, zone, as_of, status, currency, lines, to_cents(total), tariffs, remarks
    )


def _line(form: LineForm, groups: list[Sums]) -> Line:
    if form.line == "taxes":
        count = sum(group.taxed_count for group in groups)
        return Line(form, count * 10**9, count, 0, sum(group.tax for group in groups))
    parts = tuple(
        group
        for group in groups
        if group.line == form.line and form.direction in ("", group.direction)
    )
    return Line(
        form,
        _quantity(form.unit, parts),
        sum(part.rows for part in parts),
        sum(part.segments for part in parts),
        sum(part.charge for part in parts),
        parts if form.line == "carrier_fees" else (),
    )


def _quantity(unit: str, parts: tuple[Sums, ...]) -> int:
    """In nanos of the line's unit. Time adds up in seconds, so tariffs of any increment mix."""
    if unit == "minute":
        return divide_half_even(sum(part.billed_seconds for part in parts) * 10**9, 60)
    if unit in ("call", "number", "item"):
        return sum(part.billed for part in parts) * 10**9
    return sum(part.rows for part in parts) * 10**9


def statement_to_json(statement: Statement) -> dict[str, Any]:
    """The statement as JSON, exact decimals as strings. Source: conventions.md."""
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
        "total": format_cents(statement.total_cents),
    }


def _line_to_json(line: Line) -> dict[str, Any]:
    row: dict[str, Any] = {"line": line.form.line}
    if line.form.direction:
        row["direction"] = line.form.direction
    row |= {
        "quantity": format_nanos(line.quantity),
        "unit": line.form.unit,
        "count": line.rows,
        "average_price": format_nanos(line.average_price()),
        "charge": format_nanos(line.charge),
    }
    if line.form.line == "texts":
        row["segments"] = line.segments
    if line.parts:
        row["parts"] = [
            {
                "media": part.media,
                "registered": part.registered == "true",
                "count": part.rows,
                "charge": format_nanos(part.charge),
            }
            for part in sorted(line.parts)
        ]
    return row
