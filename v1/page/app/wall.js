// A page that nobody touches: `?wall` hides all controls, and shows one view after another, page by page.

import { readPlace, writeAddress } from "./address.js";
import { make } from "./elements.js";
import { go, readHandle } from "./navigation.js";

const SECONDS = 20, FEWEST = 5;
const VIEWS = ["overview", "alerts", "top"];
const MOST_PAGES = 3; // of one view, before the next
let pages = 0, awake = null;

/** Begin where the address has `wall`, with how many seconds each page is shown; `views` names others than the usual. */
export function startWall() {
  const { view, metric, query } = readPlace();
  if (!query.has("wall")) return;
  const seconds = readSeconds(query.get("wall"));
  // A link between views keeps only what has a value.
  go(view, { ...Object.fromEntries(query), wall: seconds }, { metric, replace: true });
  document.documentElement.classList.add("wall");
  document.body.append(make("p.wall-hint.unseen", {}, "A wall: escape shows the controls again."));
  keepAwake();
  const timer = setInterval(turn, seconds * 1000);
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    clearInterval(timer);
    leave();
  });
}

/** Show the next page of this view, or the next view. */
function turn() {
  const { view, query } = readPlace();
  pages += 1;
  if (pages < MOST_PAGES && (readHandle()?.turnPage?.() ?? scrollOn())) return;
  pages = 0;
  const views = readViews(query), next = views[(views.indexOf(view) + 1) % views.length];
  scrollTo(0, 0);
  go(next, { wall: query.get("wall"), views: query.get("views") }, { replace: true });
}

/** Go on by what can be seen at once; return whether there was more. */
function scrollOn() {
  const before = scrollY;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (before + innerHeight >= document.documentElement.scrollHeight - 8) return false;
  scrollBy({ top: innerHeight * 0.9, behavior: isCalm ? "instant" : "smooth" });
  return true;
}

function leave() {
  document.documentElement.classList.remove("wall");
  document.querySelector(".wall-hint")?.remove();
  awake?.release();
  const { view, metric, query } = readPlace();
  go(view, { ...Object.fromEntries(query), wall: null, views: null }, { metric, replace: true });
}

/** Keep the screen on, where the browser may: by HTTPS, while the page is seen. */
async function keepAwake() {
  try {
    awake = await navigator.wakeLock?.request("screen");
  } catch {
    // It is a battery that is low, or a screen that is off; neither is ours to mend.
  }
  document.addEventListener("visibilitychange", () => !document.hidden && awake?.released && keepAwake(), { once: true });
}

function readSeconds(text) {
  const seconds = Number(text);
  return text && Number.isFinite(seconds) ? Math.max(FEWEST, seconds) : SECONDS;
}

function readViews(query) {
  const named = (query.get("views") ?? "").split(",").filter((name) => name !== "metric" && readPlace(writeAddress(name)).view === name);
  return named.length ? named : VIEWS;
}
