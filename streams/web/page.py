"""The page: one account's month as HTML, complete without scripts.

Each number that can change is a `span.value` with the names of its row and field, so that
`static/usage.js` finds it and shows a newer one in the same form. Every text goes through `_e`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from html import escape as _e
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from rater.statement import FORMS, LineForm

SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}

# Decimal places shown in full strength, at least and at most; what follows is shown small.
PLACES = {"quantity": (0, 2), "average_price": (4, 4), "charge": (2, 2)}


class Tab(StrEnum):
    USAGE = "usage"
    PRODUCTS = "products"


# What a line counts, where that is not its unit; and the number beside the quantity.
NOUNS = {"taxes": "charge", "subscriptions": "product"}
DETAILS = {
    "calls": ("count", "call"),
    "video_calls": ("count", "call"),
    "campaign_calls": ("count", "call"),
    "texts": ("segments", "segment"),
    "recording_storage": ("count", "recording"),
}
FEES = (("sms", True), ("sms", False), ("mms", True), ("mms", False))


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
    """Records a second: whole, but a trickle with one decimal, so that it is not shown as 0."""
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
    clock = datetime.fromisoformat(statement["as_of"]).astimezone(ZoneInfo(zone))
    total = shown(statement["total"], (2, 2), symbol).main
    rate = shown_rate(statement["records_per_second"])
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

  <section class="summary" aria-label="Total and state">
    <div>
      <p class="label">Total</p>
      <p class="total"><span data-total>{_e(total)}</span>
        <small>{_e(statement["currency"])}</small></p>
      <p class="note">{_e(statement["status"].capitalize())}, as of
        <time data-as-of datetime="{_e(statement["as_of"])}">{clock:%H:%M:%S}</time>,
        months by {_e(zone)}</p>
      {"".join(f'<p class="note">{_e(remark)}</p>' for remark in statement["remarks"])}
    </div>
    <div class="pulse">
      <p class="badge" data-badge data-state="loaded"><span data-badge-text>As loaded</span></p>
      <p class="rate"><b data-rate>{rate}</b> records/s</p>
    </div>
  </section>
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
    {_usage_table(statement, symbol, total, name)}
  </section>
  <section id="{Tab.PRODUCTS}" aria-label="Products"{_hidden(tab is not Tab.PRODUCTS)}>
    {_products_table(statement, symbol, name)}
  </section>
</main>
<script src="/static/usage.js" defer></script>"""
    return _document(f"{account}: usage in {name}", body)


def login_page(target: str, problem: str = "") -> str:
    """The form that keeps a token in a cookie. `target` is where it leads."""
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
    <p class="note">The token of your account. It stays in this browser until you sign out.</p>
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


def _usage_table(statement: dict[str, Any], symbol: str, total: str, name: str) -> str:
    rows = []
    for form, line in zip(FORMS, statement["lines"], strict=True):
        rows.append(_line_row(form, line, symbol))
        if form.line == "carrier_fees":
            rows.extend(_fee_rows(line.get("parts", []), symbol))
    return f"""<table role="table" class="lines">
<caption class="unseen">Lines of {name}</caption>
{_HEAD}
<tbody role="rowgroup">
{"".join(rows)}</tbody>
<tfoot role="rowgroup"><tr role="row">
  <th role="rowheader" scope="row" colspan="3">Total</th>
  <td role="cell" class="charge"><span class="sum" data-total>{_e(total)}</span></td>
</tr></tfoot>
</table>"""


def _line_row(form: LineForm, line: dict[str, Any], symbol: str) -> str:
    key = f"{form.line}/{form.direction}"
    quantity = _value(key, "quantity", line["quantity"], noun=NOUNS.get(form.line, form.unit))
    if form.line in DETAILS:
        field, noun = DETAILS[form.line]
        quantity += f" <small>{_value(key, field, str(line[field]), noun=noun)}</small>"
    return f"""<tr role="row" data-row="{key}"{_unused(line)}>
  <th role="rowheader" scope="row">{_e(form.title)}</th>
  <td role="cell" class="quantity">{quantity}</td>
  <td role="cell" class="price">{_value(key, "average_price", line["average_price"], symbol)}</td>
  <td role="cell" class="charge">{_value(key, "charge", line["charge"], symbol)}</td>
</tr>
"""


def _fee_rows(parts: list[dict[str, Any]], symbol: str) -> Iterable[str]:
    """The carrier fees by SMS and MMS, registered and not: always all four."""
    found = {(part["media"], part["registered"]): part for part in parts}
    for media, registered in FEES:
        word = "registered" if registered else "unregistered"
        key = f"carrier_fees/{media}/{word}"
        part = found.get((media, registered), {"count": 0, "charge": "0"})
        yield f"""<tr role="row" class="part" data-row="{key}"{_unused(part)}>
  <th role="rowheader" scope="row">{media.upper()}, {word}</th>
  <td role="cell" class="quantity">{_value(key, "count", str(part["count"]), noun="text")}</td>
  <td role="cell" class="price"></td>
  <td role="cell" class="charge">{_value(key, "charge", part["charge"], symbol)}</td>
</tr>
"""


def _unused(line: dict[str, Any]) -> str:
    return "" if line["count"] else ' data-unused=""'


def _products_table(statement: dict[str, Any], symbol: str, name: str) -> str:
    products = statement["products"]
    total = next(line["charge"] for line in statement["lines"] if line["line"] == "subscriptions")
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
  <th role="rowheader" scope="row" colspan="2">Products in all</th>
  <td role="cell" class="charge">{_value("subscriptions/", "charge", total, symbol)}</td>
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


def _value(key: str, field: str, text: str, symbol: str = "", *, noun: str = "") -> str:
    """A number that can change: `main`, `fine` and the noun, each in a span for the script."""
    main, fine = shown(text, PLACES.get(field, (0, 0)), symbol)
    word = ""
    if noun:
        plural = "" if text == "1" else "s"
        word = f' <span class="noun" data-noun="{noun}">{noun}{plural}</span>'
    return (
        f'<span class="value" data-key="{key}" data-field="{field}">'
        f'<span class="main">{_e(main)}</span><span class="fine">{fine}</span>{word}</span>'
    )
