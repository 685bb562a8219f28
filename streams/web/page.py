"""The page: one account's month as HTML, complete without scripts.

Each number that can change is a `span.value` with the names of its row and field, so that
`static/usage.js` finds it and shows a newer one in the same form. Every text goes through `_e`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from html import escape as _e
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from rater.lines import TAXES, Tab
from rater.statement import FORMS, LineForm, part_title

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}

# Decimal places shown in full strength, at least and at most; what follows is shown small.
PLACES = {"quantity": (0, 2), "average_price": (4, 4), "charge": (2, 2)}


DASH = "\N{EN DASH}"  # for what there is none of: no use, no average price


class Shown(NamedTuple):
    """A number as shown: the part in full strength and the exact rest."""

    main: str
    fine: str


def shown(text: str, places: tuple[int, int], symbol: str = "") -> Shown:
    """An exact decimal for the eye: `12.3456` with (2, 2) and $ is `$12.34` and the rest `56`.

    Nothing is rounded here: both parts together are the exact number.
    """
    sign, digits = ("−", text[1:]) if text.startswith("-") else ("", text)
    whole, _, fraction = digits.partition(".")
    least, most = places
    kept = fraction[:most].ljust(least, "0")
    if 0 < len(kept) < 2:
        kept = kept.ljust(2, "0")  # 12.5 minutes read as 12.50
    point = "." if kept else ""
    return Shown(f"{sign}{symbol}{int(whole):,}{point}{kept}", fraction[most:])


def shown_rate(per_second: float) -> str:
    """Events a second: whole, but a trickle with one decimal, so that it is not shown as 0."""
    return f"{per_second:g}" if per_second < 10 else f"{int(per_second + 0.5):,}"


def symbol_of(currency: str) -> str:
    return SYMBOLS.get(currency, currency + "\N{NO-BREAK SPACE}")


def usage_page(
    statement: dict[str, Any],
    *,
    months: Sequence[date],
    asked: bool,
    tab: Tab,
    can_sign_out: bool,
) -> str:
    """The page of a live statement. `asked`: the reader chose the month, so it stays."""
    account, month = statement["account_id"], statement["month"]
    path = f"/accounts/{quote(account, safe='')}"
    api = f"/v1{path}"
    name = month_name(date.fromisoformat(f"{month}-01"))
    zone, symbol = statement["zone"], symbol_of(statement["currency"])
    live = f"{api}/live?month={month}" if asked else f"{api}/live"
    body = f"""
<header class="bar">
  <a class="brand" href="/">rater</a>
  {_SIGN_OUT if can_sign_out else ""}
</header>
<main id="page" data-live="{_e(live)}" data-month="{month}" data-asked="{int(asked)}"
      data-zone="{_e(zone)}" data-symbol="{_e(symbol)}">
  <div class="head">
    <div>
      <p class="account">Account <b>{_e(account)}</b></p>
      <h1>Usage in {name}</h1>
    </div>
    <form class="month" method="get" action="{_e(path)}">
      <label for="month">Month</label>
      <select id="month" name="month">{_options(months, month)}</select>
      <input type="hidden" name="tab" value="{tab}">
      <button>Show</button>
    </form>
  </div>

  {_summary(statement)}
  <p class="waiting" data-waiting{_hidden(not statement["waiting"]["count"])}>{
        _e(waiting_text(statement["waiting"], zone))
    }</p>
  <p class="unseen" role="status" aria-live="polite" data-said></p>
  <noscript><p class="note">Reload the page for newer numbers.</p></noscript>
  <nav class="tabs" aria-label="Parts of the statement">
    {_tab_link(Tab.USAGE, "Usage", tab, path, month if asked else "")}
    {_tab_link(Tab.PRODUCTS, "Products", tab, path, month if asked else "")}
    <span class="files">
      Export
      <a href="{_e(api)}/usage.csv?month={month}" download aria-label="Export as CSV">CSV</a>
      <a href="{_e(api)}/usage.json?month={month}" download aria-label="Export as JSON">JSON</a>
    </span>
  </nav>

  <section id="{Tab.USAGE}" aria-label="Usage"{_hidden(tab is not Tab.USAGE)}>
    {_usage_table(statement, symbol, name)}
  </section>
  <section id="{Tab.PRODUCTS}" aria-label="Products"{_hidden(tab is not Tab.PRODUCTS)}>
    {_products_table(statement, symbol, name)}
  </section>
</main>
<script src="/static/usage.js" defer></script>"""
    return _document(f"{account}: usage in {name}", body)


def _summary(statement: dict[str, Any]) -> str:
    """The head of the page: the total, what it is as of, and how live it is."""
    zone, symbol = statement["zone"], symbol_of(statement["currency"])
    clock = datetime.fromisoformat(statement["as_of"]).astimezone(ZoneInfo(zone))
    rate = shown_rate(statement["events_per_second"])
    return f"""<section class="summary" aria-label="Total and state">
    <div>
      <p class="label">Total</p>
      <p class="total">{_total(statement, "total", symbol)}
        <small>{_e(statement["currency"])}</small></p>
      <p class="note">Usage {_total(statement, "usage_total", symbol)} and products
        {_total(statement, "products_total", symbol)}</p>
      <p class="note">{_e(statement["status"].capitalize())}, as of
        <time data-as-of datetime="{_e(statement["as_of"])}">{clock:%H:%M:%S}</time>,
        months by {_e(zone)}</p>
      {"".join(f'<p class="note">{_e(remark)}</p>' for remark in statement["remarks"])}
    </div>
    <div class="pulse">
      <p class="badge" data-badge data-state="loaded"><span data-badge-text>As loaded</span></p>
      <p class="rate"><b data-rate>{rate}</b> events/s</p>
    </div>
  </section>"""


def login_page(target: str, problem: str = "") -> str:
    """The form that takes a token and begins a session. `target` is where it leads."""
    alert = f'<p class="problem" role="alert">{_e(problem)}</p>' if problem else ""
    body = f"""
<main class="narrow">
  <h1>Sign in</h1>
  <form class="login" method="post" action="/login">
    {alert}
    <label for="token">Access token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required
           autofocus>
    <input type="hidden" name="next" value="{_e(target)}">
    <button>Sign in</button>
    <p class="note">The token of your account. This browser stays signed in for 12 hours.</p>
  </form>
</main>"""
    return _document("Sign in", body)


def message_page(text: str) -> str:
    """One message, for what went wrong."""
    body = f"""
<main class="narrow">
  <h1>This page can't be shown</h1>
  <p>{_e(text[:1].upper() + text[1:])}.</p>
  <p><a href="/">Back to the current month</a></p>
</main>"""
    return _document("Not shown", body)


def month_name(month: date) -> str:
    return f"{month:%B} {month.year}"


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_e(title)} · rater</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/usage.css">
</head>
<body>{body}
</body>
</html>
"""


_SIGN_OUT = '<form method="post" action="/logout"><button class="quiet">Sign out</button></form>'


def _options(months: Iterable[date], chosen: str) -> str:
    return "".join(
        f'<option value="{month:%Y-%m}"{" selected" if f"{month:%Y-%m}" == chosen else ""}>'
        f"{month_name(month)}</option>"
        for month in months
    )


def _tab_link(tab: Tab, title: str, chosen: Tab, path: str, month: str) -> str:
    query = urlencode({"month": month, "tab": tab} if month else {"tab": tab})
    current = ' aria-current="page"' if tab is chosen else ""
    return f'<a href="{_e(path)}?{query}" data-tab="{tab}"{current}>{title}</a>'


def _hidden(hidden: bool) -> str:
    return " hidden" if hidden else ""


# Rows carry roles, since the narrow layout takes their table display away.
_HEAD = """<thead role="rowgroup"><tr role="row">
  <th role="columnheader" scope="col">Line</th>
  <th role="columnheader" scope="col">Quantity</th>
  <th role="columnheader" scope="col">Average price</th>
  <th role="columnheader" scope="col">Charge</th>
</tr></thead>"""


def _usage_table(statement: dict[str, Any], symbol: str, name: str) -> str:
    rows: list[str] = []
    for form, line in zip(FORMS, statement["lines"], strict=True):
        if form.kind.tab is Tab.USAGE:
            rows.append(_line_row(form, line, symbol))
            rows.extend(_part_rows(form, line["parts"], symbol))
    return f"""<table role="table" class="lines">
<caption class="unseen">Lines of {name}</caption>
{_HEAD}
<tbody role="rowgroup">
{"".join(rows)}</tbody>
<tfoot role="rowgroup"><tr role="row">
  <th role="rowheader" scope="row" colspan="3">Total usage</th>
  <td role="cell" class="charge">{_total(statement, "usage_total", symbol)}</td>
</tr></tfoot>
</table>"""


def _line_row(form: LineForm, line: dict[str, Any], symbol: str) -> str:
    key = f"{form.line}/{form.direction}"
    unused = _is_unused(line) and not line.get("unknown")
    return f"""<tr role="row" data-row="{key}"{' data-unused=""' if unused else ""}>
  <th role="rowheader" scope="row">{_e(form.title)}</th>
{_cells(form, key, line, symbol)}</tr>
"""


def _part_rows(form: LineForm, parts: list[dict[str, Any]], symbol: str) -> Iterable[str]:
    """A row for each part, hidden and ready for those that may come while the page is open."""
    names = [name for name, _ in form.kind.parts]
    found = {tuple(_word(part[name]) for name in names): part for part in parts}
    ready = list(product(*(values for _, values in form.kind.parts))) if names else []
    for values in [*ready, *(found.keys() - ready)]:
        part = found.get(values, NOTHING)
        key = "/".join((form.line, form.direction, *values))
        title = part_title(
            {
                name: value == "true" if name == "registered" else value
                for name, value in zip(names, values, strict=True)
            }
        )
        authorities = ""
        if form.line == TAXES:
            told = _e(", ".join(part["authorities"]))
            authorities = f" <small data-authorities>{told}</small>"
        yield f"""<tr role="row" class="part" data-row="{_e(key)}"{_hidden(values not in found)}>
  <th role="rowheader" scope="row">{_e(title)}{authorities}</th>
{_cells(form, key, part, symbol)}</tr>
"""


NOTHING: dict[str, Any] = {
    "amount": 0, "free": 0, "quantity": "0", "segments": 0, "average_price": None, "charge": "0",
    "authorities": [],
}  # fmt: skip


def _word(value: bool | str) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _cells(form: LineForm, key: str, row: dict[str, Any], symbol: str) -> str:
    """Quantity, average price and charge of a line or a part; a dash where there was no use.

    Of time the minutes charged stand first and the amount beside them; of all else the amount.
    """
    none = _is_unused(row)

    def value(field: str, sign: str = "", noun: str = "") -> str:
        told = row[field]
        return _value(key, field, None if none or told is None else str(told), sign, noun=noun)

    amount = value("amount", noun=form.kind.noun)
    timed = form.unit == "minute"
    details = [(amount, none)] if timed else []
    if form.line == "texts":
        details.append((value("segments", noun="segment"), none))
    details.append((f"{_value(key, 'free', str(row['free']))} of them free", not row["free"]))
    if "unknown" in row:
        count = _value(key, "unknown", str(row["unknown"]), noun="charge")
        details.append((f"unknown for {count}", not row["unknown"]))
    first = value("quantity", noun=form.unit) if timed else amount
    beside = "".join(f" <small{_hidden(hidden)}>{text}</small>" for text, hidden in details)
    return f"""  <td role="cell" class="quantity">{first}{beside}</td>
  <td role="cell" class="price">{value("average_price", symbol)}</td>
  <td role="cell" class="charge">{value("charge", symbol)}</td>
"""


def _is_unused(row: dict[str, Any]) -> bool:
    return not row["amount"] and row["charge"] == "0"


def _total(statement: dict[str, Any], name: str, symbol: str) -> str:
    text = shown(statement[name], (2, 2), symbol).main
    return f'<span class="sum" data-total="{name}">{_e(text)}</span>'


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


def _products_table(statement: dict[str, Any], symbol: str, name: str) -> str:
    products = statement["products"]
    rows = "".join(_product_row(product, symbol) for product in products)
    empty = {"product": "", "subscription_id": "", "charge": "0"}
    return f"""<table role="table" class="products"{_hidden(not products)}>
<caption class="unseen">Products of {name}</caption>
<thead role="rowgroup"><tr role="row">
  <th role="columnheader" scope="col">Product</th>
  <th role="columnheader" scope="col">Subscription</th>
  <th role="columnheader" scope="col">Charge</th>
</tr></thead>
<tbody role="rowgroup" data-products>{rows}</tbody>
<tfoot role="rowgroup"><tr role="row">
  <th role="rowheader" scope="row" colspan="2">Total products</th>
  <td role="cell" class="charge">{_total(statement, "products_total", symbol)}</td>
</tr></tfoot>
</table>
<p class="none" data-no-products{_hidden(bool(products))}>No products in {name}.</p>
<template data-product>{_product_row(empty, symbol)}</template>"""


def _product_row(product: dict[str, str], symbol: str) -> str:
    return f"""<tr role="row">
  <th role="rowheader" scope="row">{_e(product["product"])}</th>
  <td role="cell" class="id">{_e(product["subscription_id"])}</td>
  <td role="cell" class="charge">{_value("", "charge", product["charge"], symbol)}</td>
</tr>
"""


def _value(key: str, field: str, text: str | None, symbol: str = "", *, noun: str = "") -> str:
    """A number that can change: `main`, `fine` and the noun, each in a span for the script.

    None is shown as a dash, without its noun.
    """
    main, fine = (DASH, "") if text is None else shown(text, PLACES.get(field, (0, 0)), symbol)
    word = ""
    if noun:
        told = "" if text is None else f" {noun}" if text == "1" else f" {noun}s"
        word = f'<span class="noun" data-noun="{noun}">{told}</span>'
    return (
        f'<span class="value" data-key="{_e(key)}" data-field="{field}">'
        f'<span class="main">{_e(main)}</span><span class="fine">{fine}</span>{word}</span>'
    )
