// Keeps an open page up to date. The server renders every number; this puts what it sends in place.
// The page is complete without it.
"use strict";

const STALE_AFTER_MS = 15000; // without any news
const REOPEN_AFTER_MS = 25000; // two heartbeats missed: the connection is dead, whatever it says
const RETRY_MS = 5000;
const SAY_EVERY_MS = 30000; // to a screen reader

const main = document.getElementById("page");
const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// ------------------------------------------------------------------ what the server sent

let paused = false;
let held = new Map(); // leaves that came while paused
let heldWhole = null;

function show(id, html) {
  const leaf = byId(id);
  if (!leaf || leaf.innerHTML === html) return;
  leaf.innerHTML = html;
  if (leaf.classList.contains("tick") && !calm.matches) {
    leaf.animate([{ textDecorationColor: "currentcolor" }, { textDecorationColor: "transparent" }], 900);
  }
}

function showLeaves(leaves) {
  for (const [id, html] of Object.entries(leaves)) show(id, html);
  setBadge();
  say();
}

function showWhole(html) {
  const focused = document.activeElement?.id;
  main.innerHTML = html;
  if (focused) byId(focused)?.focus({ preventScroll: true });
  prepare();
  say();
}

function take(leaves, whole) {
  if (!paused) return whole === null ? showLeaves(leaves) : showWhole(whole);
  if (whole !== null) [heldWhole, held] = [whole, new Map()];
  for (const [id, html] of Object.entries(leaves ?? {})) held.set(id, html);
  const button = byId("pause");
  if (button) button.textContent = "Resume (newer numbers wait)";
}

function togglePause() {
  paused = !paused;
  if (!paused) {
    const [whole, leaves] = [heldWhole, Object.fromEntries(held)];
    [heldWhole, held] = [null, new Map()];
    if (whole !== null) showWhole(whole);
    showLeaves(leaves);
  }
  showPause();
}

function showPause() {
  const button = byId("pause");
  if (!button) return;
  button.hidden = false;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Resume" : "Pause";
}

let saidAt = Date.now();

function say(text) {
  if (text === undefined && Date.now() - saidAt < SAY_EVERY_MS) return;
  saidAt = Date.now();
  byId("said").textContent = text ?? `Total ${byId("total")?.textContent ?? ""}`;
}

// ------------------------------------------------------------------ the stream and its state

let source = null;
let newsAt = Date.now(); // when the numbers were last known to be right
let openedAt = 0;
let cut = ""; // what is wrong with the connection, in words

function setBadge() {
  const badge = byId("badge");
  if (badge) badge.dataset.cut = cut;
}

function news() {
  newsAt = Date.now();
  if (cut) {
    cut = "";
    say("The page is up to date again");
  }
  setBadge();
}

function setCut(text) {
  if (cut !== text && text.startsWith("Stale")) say(text);
  cut = text;
  setBadge();
}

function open() {
  if (!main?.dataset.live) return;
  source?.close();
  openedAt = Date.now();
  source = new EventSource(main.dataset.live);
  source.addEventListener("leaves", (event) => {
    take(JSON.parse(event.data), null);
    news();
  });
  source.addEventListener("whole", (event) => {
    take(null, JSON.parse(event.data).html);
    news();
  });
  source.addEventListener("heartbeat", (event) => {
    take({ "as-of": JSON.parse(event.data).as_of }, null);
    news();
  });
  source.addEventListener("stale", () => setCut("Stale: the store does not answer"));
  source.addEventListener("error", () => {
    if (!cut) setCut("Reconnecting");
    // Refused rather than cut off: the browser gives up, so try again from here.
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, RETRY_MS, source);
  });
}

function reopen(closed) {
  if (closed === source && !document.hidden) open();
}

setInterval(() => {
  if (document.hidden || !source) return;
  const now = Date.now();
  if (now - newsAt > STALE_AFTER_MS) setCut("Stale: no news from the server");
  if (now - Math.max(newsAt, openedAt) > REOPEN_AFTER_MS) open();
}, 1000);

// A page that nobody sees gives its connection back: a browser has six for one host.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) open();
  else source?.close();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && open());

// ------------------------------------------------------------------ lists that need no button

// With a pointer, choosing is enough, so the button goes. With keys each arrow chooses: there Enter
// sends the form.
function prepare() {
  for (const list of main.querySelectorAll("select[data-submits]")) {
    let keyed = false;
    list.form.querySelector("button").classList.add("unseen");
    list.addEventListener("keydown", (event) => {
      keyed = event.key !== "Enter";
      if (event.key === "Enter") list.form.requestSubmit();
    });
    list.addEventListener("pointerdown", () => (keyed = false));
    list.addEventListener("change", () => keyed || list.form.requestSubmit());
  }
  byId("pause")?.addEventListener("click", togglePause);
  if (source || main.dataset.live) showPause();
  setBadge();
}

prepare();
open();
