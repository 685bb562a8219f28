"""The statement as a view: each line, its parts, last month beside it, and what adds up to what."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from rater.lines import TAXES, Tab
from rater.months import previous_month
from rater.statement import FORMS, LineForm, part_title
from rater.words import DASH, counted, rounded
from streams.formats.registry import EXPORTERS
from streams.web.frame import Frame, Link, choices_of, month_name, with_query
from streams.web.freshness import Told
from streams.web.numbers import Numbers
from streams.web.render import Parts, View, leaf_text

NOTHING: dict[str, Any] = {"amount": 0, "charge": "0", "unknown": 0, "parts": []}


class Row(NamedTuple):
    """A line of the statement, or a part of one, but for its numbers. `key` names its leaves."""

    key: str
    title: str
    help: str
    href: str
    has_note: bool
    has_authorities: bool
    is_part: bool
    unused: bool


Leaves = dict[str, Markup | str]


def usage_view(
    statement: dict[str, Any],
    before: dict[str, Any] | None,
    *,
    frame: Frame,
    months: Iterable[date],
    tab: Tab,
    exact: bool,
    told: Told,
    seen: View | None = None,
) -> View:
    """The statement of a month beside that of the month before, where there was one.

    `seen` is the view that stood before: what has not changed since is taken from it.
    """
    month = date.fromisoformat(statement["month"] + "-01")
    numbers = Numbers(statement["currency"], exact)
    here = {"month": frame.month, "exact": "1" if exact else "", "tab": str(tab)}
    parts = Parts(seen)
    rows, leaves = _lines(parts, statement, {} if before is None else before, numbers, frame)
    leaves |= _totals(statement, {} if before is None else before, numbers)
    products = list(products_of(statement, numbers, frame))
    leaves |= {f"product-{n}": one.charge for n, one in enumerate(products, 1)}
    leaves["waiting"] = waiting_text(statement["waiting"], statement["zone"])
    leaves["rounding"] = "" if exact else rounding_text(statement, numbers)
    return parts.view(
        "usage.html",
        leaves | told.leaves(),
        frame=frame,
        state=told.state,
        month=statement["month"],
        month_title=month_name(month),
        previous_title=month_name(previous_month(month)),
        months=choices_of(months),
        keep=[(name, here[name]) for name in ("tab", "exact") if here[name]],
        currency=statement["currency"],
        status=statement["status"].capitalize(),
        zone=statement["zone"],
        remarks=statement["remarks"],
        waiting=bool(leaves["waiting"]),
        tab=str(tab),
        tabs=[
            Link(title, frame.to("usage", **here | {"tab": name}), name == tab)
            for name, title in ((Tab.USAGE, "Usage"), (Tab.PRODUCTS, "Products"))
        ],
        other_precision=Link(
            "Rounded to cents" if exact else "Exact amounts",
            frame.to("usage", **here | {"exact": "" if exact else "1"}),
        ),
        files=files_of(frame, "usage", month=statement["month"]),
        rows=rows,
        products=[one._replace(charge="") for one in products],
    )


def _totals(statement: dict[str, Any], before: dict[str, Any], numbers: Numbers) -> Leaves:
    had = before.get("usage_total")
    return {
        "total": numbers.money(statement["total"]),
        "usage-total": numbers.money(statement["usage_total"]),
        "products-total": numbers.money(statement["products_total"]),
        "lines-total": numbers.money(statement["usage_total"]),
        "lines-before": numbers.money(had),
        "lines-change": change(numbers, statement["usage_total"], had),
        "products-sum": numbers.money(statement["products_total"]),
    }


def files_of(frame: Frame, what: str, **query: str) -> list[Link]:
    """What a page shows as files, in each format: `usage` or `events`."""
    return [
        Link(ending.upper(), with_query(f"/v1{frame.path}/{what}.{ending}", query))
        for ending in EXPORTERS
    ]


def _lines(
    parts: Parts,
    statement: dict[str, Any],
    before: dict[str, Any],
    numbers: Numbers,
    frame: Frame,
) -> tuple[list[Row], Leaves]:
    """The lines of the usage tab in their order, each with the parts that it adds up from."""
    rows: list[Row] = []
    leaves: Leaves = {}
    shown = Shower(numbers, frame, statement["month"])
    befores = before.get("lines") or [None] * len(FORMS)
    for form, line, had in zip(FORMS, statement["lines"], befores, strict=True):
        if form.kind.tab is Tab.USAGE:
            more, numbers_of_line = parts.make(
                f"{form.line} {form.direction}", rows_of, shown, form, line, had
            )
            rows += more
            leaves |= numbers_of_line
    return rows, leaves


def rows_of(
    shown: "Shower", form: LineForm, line: dict[str, Any], had: dict[str, Any] | None
) -> tuple[list[Row], Leaves]:
    """A line with its parts, those too that only the month before had."""
    names = [name for name, _ in form.kind.parts]
    parts_had = {_key(names, part): part for part in (had or NOTHING)["parts"]}
    parts = {_key(names, part): part for part in line["parts"]}
    rows: list[Row] = []
    leaves: Leaves = {}
    for key, part, part_had in [
        ((), line, had),
        *(
            (
                key,
                parts.get(key) or NOTHING | {name: parts_had[key][name] for name in names},
                parts_had.get(key),
            )
            for key in dict.fromkeys([*parts, *parts_had])
        ),
    ]:
        row, numbers = shown.row(form, part, part_had, key)
        rows.append(row)
        leaves |= {f"{row.key}-{name}": leaf_text(text) for name, text in numbers.items()}
    return rows, leaves


def _key(names: Sequence[str], part: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(part[name]).lower() for name in names)


class Shower(NamedTuple):
    """What all rows of a statement share: how numbers look, and where a row leads."""

    numbers: Numbers
    frame: Frame
    month: str

    def row(
        self,
        form: LineForm,
        row: dict[str, Any],
        had: dict[str, Any] | None,
        part: tuple[str, ...] = (),
    ) -> tuple[Row, Leaves]:
        """A line, or a part of one, beside what it was the month before; its numbers by name."""
        unused = not row["amount"] and row["charge"] == "0"
        match = {name: value for (name, _), value in zip(form.kind.parts, part, strict=False)}
        level = {"level": part[0]} if form.line == TAXES and part else {}
        query = level or {"direction": form.direction} | match
        numbers: Leaves = {
            "note": "" if unused else ", ".join(_notes(row)),
            "authorities": ", ".join(row.get("authorities", ())),
            "amount": DASH if unused else counted(row["amount"], form.kind.noun),
            "billed": DASH if unused else self.billed(form, row),
            "price": self.numbers.price(None if unused else row["average_price"]),
            "charge": charge_of(self.numbers, None if unused else row["charge"]),
            "before": charge_of(
                self.numbers, None if had is None or not had["amount"] else had["charge"]
            ),
            "change": change(self.numbers, row["charge"], None if had is None else had["charge"]),
        }
        shape = Row(
            key="-".join(filter(None, (form.line, form.direction, *part))),
            title=part_title(row) if part else form.title,
            help="" if part else form.kind.help,
            href="" if unused else self.frame.to(f"lines/{form.line}", month=self.month, **query),
            has_note=bool(numbers["note"]),
            has_authorities=bool(numbers["authorities"]),
            is_part=bool(part),
            unused=unused and not row.get("unknown"),
        )
        return shape, numbers

    def billed(self, form: LineForm, row: dict[str, Any]) -> str:
        """What was charged for: minutes, segments of texts, else how many."""
        if form.line == "texts":
            return counted(row["segments"], "segment")
        quantity = self.numbers.quantity(row["quantity"])
        unit = form.kind.noun if form.line == TAXES else form.unit
        return f"{quantity} {unit}{'' if quantity == '1' else 's'}"


def _notes(row: dict[str, Any]) -> Iterable[str]:
    """What of a line cost nothing, and of what the tax is not known."""
    if row["free"]:
        yield f"{row['free']:,} of them free"
    if row.get("unknown"):
        yield f"unknown for {counted(row['unknown'], 'charge')}"


def charge_of(numbers: Numbers, text: str | None) -> Markup | str:
    """An amount for the eye, and the exact one with it."""
    if text is None:
        return numbers.money(None)
    return _data(text, numbers.exactly(text), numbers.money(text))


def change(numbers: Numbers, text: str, before: str | None) -> Markup | str:
    """What an amount differs by from the one before, with its sign; a dash where there was none."""
    if before is None or Decimal(before) == Decimal(text) == 0:
        return numbers.money(None)
    difference = Decimal(text) - Decimal(before)
    shown = numbers.money(f"{difference:f}")
    return charge_sign(shown, f"{difference:f}", numbers)


def charge_sign(shown: str, exact: str, numbers: Numbers) -> Markup:
    sign = "+" if Decimal(exact) > 0 else ""
    return _data(exact, f"{sign}{numbers.exactly(exact)}", f"{sign}{shown}")


def _data(value: str, title: str, shown: str) -> Markup:
    """Not by `Markup.format`, which takes as long as all else of a row."""
    return Markup(f'<data value="{escape(value)}" title="{escape(title)}">{escape(shown)}</data>')


def rounding_text(statement: dict[str, Any], numbers: Numbers) -> str:
    """Why the cents of the lines do not add up to the total's, where they do not."""
    cents = sum(
        Decimal(rounded(line["charge"], 2))
        for form, line in zip(FORMS, statement["lines"], strict=True)
        if form.kind.tab is Tab.USAGE
    )
    apart = Decimal(statement["usage_total"]) - cents
    if not apart:
        return ""
    return (
        "Each line is rounded to cents for the eye, the total once from the exact amounts: they "
        f"differ by {numbers.money(f'{abs(apart)}')}. “Exact amounts” shows every digit."
    )


class Product(NamedTuple):
    """A subscription as it is shown."""

    product: str
    subscription: str
    href: str
    since: str
    next: str
    charge: Markup | str


def products_of(statement: dict[str, Any], numbers: Numbers, frame: Frame) -> Iterable[Product]:
    for one in statement["products"]:
        yield Product(
            one["product"],
            one["subscription_id"],
            frame.event(one["subscription_id"], month=statement["month"]),
            day_text(one["since"]),
            day_text(one["next_billing"]) if one["next_billing"] else "ended",
            charge_of(numbers, one["charge"]),
        )


def day_text(day: str | None) -> str:
    """ "2026-11-02" as "2 November 2026"."""
    if not day:
        return ""
    one = date.fromisoformat(day)
    return f"{one.day} {one:%B} {one.year}"


def waiting_text(waiting: dict[str, Any], zone: str) -> str:
    """What is not in the totals, for example "1 event waits since 2 November and is not in ..."."""
    if not waiting["count"]:
        return ""
    since = datetime.fromisoformat(waiting["since"]).astimezone(ZoneInfo(zone))
    verb = "event waits" if waiting["count"] == 1 else "events wait"
    are = "is" if waiting["count"] == 1 else "are"
    reasons = ", ".join(
        f"{one['count']:,} {one['reason'].replace('_', ' ')}" for one in waiting["reasons"]
    )
    return (
        f"{waiting['count']:,} {verb} since {since.day} {since:%B}"
        f" and {are} not in the totals: {reasons}"
    )
