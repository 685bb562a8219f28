// Keeps the page's numbers live. The page is complete without it: each number is already there,
// and this shows newer ones in the same form. Decimals stay strings: nothing is computed here.
"use strict";

const STALE_AFTER_MS = 15000; // without any news
const REOPEN_AFTER_MS = 25000; // two heartbeats missed: the connection is dead, whatever it says
const RETRY_MS = 5000;
const SAY_EVERY_MS = 30000; // to a screen reader

const main = document.getElementById("page");
const { live, month, asked, zone, symbol } = main.dataset;
const one = (selector) => main.querySelector(selector);
const all = (selector) => main.querySelectorAll(selector);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone,
});

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", timeZone: zone });

// The same as PLACES, DASH and shown() of page.py.
const DASH = "–";
const APART = ["media", "registered", "direction", "level"]; // what can set parts apart, in order
const PLACES = { quantity: [0, 2], average_price: [4, 4], charge: [2, 2] };
const MONEY = new Set(["average_price", "charge"]);

function shown(text, [least, most], sign = "") {
  const minus = text.startsWith("-") ? "−" : "";
  const [whole, fraction = ""] = text.replace("-", "").split(".");
  let kept = fraction.slice(0, most).padEnd(least, "0");
  if (kept.length === 1) kept += "0";
  return [minus + sign + grouped(whole) + (kept && "." + kept), fraction.slice(most)];
}

function shownRate(perSecond) {
  return perSecond < 10 ? String(perSecond) : grouped(String(Math.floor(perSecond + 0.5)));
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

// ------------------------------------------------------------------ numbers

function put(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

function flash(element) {
  if (calm.matches) return;
  const color = getComputedStyle(main).getPropertyValue("--flash");
  element.animate([{ backgroundColor: color }, { backgroundColor: "transparent" }], 1200);
}

// `text` null is a dash: no use, no average price.
function showValue(element, text) {
  const field = element.dataset.field;
  const [strong, rest] = text === null
    ? [DASH, ""] : shown(text, PLACES[field] ?? [0, 0], MONEY.has(field) ? symbol : "");
  const [mainPart, finePart, noun] = element.children;
  const changed = [put(mainPart, strong), put(finePart, rest)].some(Boolean);
  if (noun) put(noun, text === null ? "" : ` ${noun.dataset.noun}${text === "1" ? "" : "s"}`);
  if (changed) flash(mainPart);
}

// As page.py names its rows: the line, its direction, and what sets a part apart.
function rowsOf(statement) {
  const rows = new Map();
  for (const line of statement.lines) {
    const key = `${line.line}/${line.direction ?? ""}`;
    rows.set(key, line);
    for (const part of line.parts) {
      const apart = APART.filter((name) => name in part).map((name) => part[name]);
      rows.set([key, ...apart].join("/"), part);
    }
  }
  return rows;
}

const isUnused = (row) => !row || (!row.amount && row.charge === "0");

function showStatement(statement) {
  const rows = rowsOf(statement);
  const told = new Set();
  for (const element of all("[data-row]")) {
    const row = rows.get(element.dataset.row);
    told.add(element.dataset.row);
    if (element.classList.contains("part")) element.hidden = !row;
    else element.toggleAttribute("data-unused", isUnused(row) && !row?.unknown);
    const authorities = element.querySelector("[data-authorities]");
    if (authorities && row) put(authorities, row.authorities.join(", "));
  }
  for (const element of all("[data-key]")) {
    const { key, field } = element.dataset;
    if (!key) continue; // a product's, which showProducts() shows
    const row = rows.get(key);
    const beside = element.closest("small");
    const counts = field === "free" || field === "unknown";
    const text = counts ? row?.[field] ?? 0 : isUnused(row) ? null : row[field];
    if (beside) beside.hidden = counts ? !text : text === null;
    showValue(element, text === null ? null : String(text));
  }
  for (const element of all("[data-total]")) {
    const [total] = shown(statement[element.dataset.total], [2, 2], symbol);
    if (put(element, total)) flash(element);
  }
  showWaiting(statement.waiting);
  put(one("[data-rate]"), shownRate(statement.events_per_second));
  showProducts(statement.products);
  say(`Total ${shown(statement.total, [2, 2], symbol)[0]} ${statement.currency}`);
  // A part that the page has no row for: only the server can make one.
  const isPart = (key) => key.split("/").length > 2;
  if ([...rows.keys()].some((key) => isPart(key) && !told.has(key))) location.reload();
}

// The same as waiting_text() of page.py.
function showWaiting({ count, since, reasons }) {
  const element = one("[data-waiting]");
  element.hidden = !count;
  if (!count) return;
  const list = reasons
    .map((reason) => `${grouped(String(reason.count))} ${reason.reason.replaceAll("_", " ")}`);
  const [verb, are] = count === 1 ? ["event waits", "is"] : ["events wait", "are"];
  put(element, `${grouped(String(count))} ${verb} since ${day.format(new Date(since))}`
    + ` and ${are} not in the totals: ${list.join(", ")}`);
}

let productsShown = null;

function showProducts(products) {
  const text = JSON.stringify(products);
  if (text === productsShown) return;
  productsShown = text;
  const template = one("[data-product]").content;
  one("[data-products]").replaceChildren(...products.map((product) => {
    const row = template.cloneNode(true);
    row.querySelector("th").textContent = product.product;
    row.querySelector(".id").textContent = product.subscription_id;
    const [strong, rest] = shown(product.charge, PLACES.charge, symbol);
    row.querySelector(".main").textContent = strong;
    row.querySelector(".fine").textContent = rest;
    return row;
  }));
  one(".products").hidden = !products.length;
  one("[data-no-products]").hidden = products.length > 0;
}

function showAsOf(asOf) {
  const time = one("[data-as-of]");
  time.dateTime = asOf;
  put(time, clock.format(new Date(asOf)));
}

let saidAt = Date.now();

function say(text, now = false) {
  if (!now && Date.now() - saidAt < SAY_EVERY_MS) return;
  saidAt = Date.now();
  put(one("[data-said]"), text);
}

// ------------------------------------------------------------------ the stream and its state

let source = null;
let newsAt = Date.now(); // when the numbers were last known to be right
let openedAt = 0;
let state = "";

function setState(next, text) {
  one("[data-badge]").dataset.state = next;
  put(one("[data-badge-text]"), text);
  if (next === "stale" && state !== next) say(`Live totals are ${text.toLowerCase()}`, true);
  if (next === "live" && state === "stale") say("Totals are live again", true);
  state = next;
}

function setStale() {
  const since = clock.format(new Date(one("[data-as-of]").dateTime)).slice(0, 5);
  setState("stale", `Stale since ${since}`);
}

function open() {
  source?.close();
  openedAt = Date.now();
  source = new EventSource(live);
  source.addEventListener("statement", (event) => {
    const statement = JSON.parse(event.data);
    if (statement.month !== month && asked === "0") {
      location.reload(); // a new month has begun
      return;
    }
    news(statement.as_of);
    showStatement(statement);
  });
  source.addEventListener("heartbeat", (event) => news(JSON.parse(event.data).as_of));
  source.addEventListener("stale", setStale);
  source.addEventListener("error", () => {
    if (state !== "stale") setState("reconnecting", "Reconnecting");
    // Refused rather than cut off: the browser gives up, so try again from here.
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, RETRY_MS, source);
  });
}

function reopen(closed) {
  if (closed === source && !document.hidden) open();
}

function news(asOf) {
  newsAt = Date.now();
  showAsOf(asOf);
  setState("live", "Live");
}

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now();
  if (now - newsAt > STALE_AFTER_MS) setStale();
  if (now - Math.max(newsAt, openedAt) > REOPEN_AFTER_MS) open();
}, 1000);

// A page that nobody sees gives its connection back: a browser has six for one host.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
  else source?.close();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && open());

// ------------------------------------------------------------------ tabs and the month

for (const link of all("[data-tab]")) {
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    for (const other of all("[data-tab]")) {
      if (other === link) other.setAttribute("aria-current", "page");
      else other.removeAttribute("aria-current");
      document.getElementById(other.dataset.tab).hidden = other !== link;
    }
    one("[name=tab]").value = link.dataset.tab;
    history.replaceState(null, "", link.href);
  });
}

// With a pointer, choosing is enough. With keys each arrow chooses, so there the button shows.
let pointed = false;
const chooser = one("#month");
chooser.addEventListener("pointerdown", () => (pointed = true));
chooser.addEventListener("keydown", () => (pointed = false));
chooser.addEventListener("change", () => pointed && chooser.form.submit());

setState("connecting", "Connecting");
open();
