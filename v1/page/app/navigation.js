// Shows the view that the address names, and follows links between views without loading the page anew.

import { ROOT, readPlace, writeAddress } from "./address.js";
import { readCaller, watchCaller } from "./caller.js";
import { announce, make, makeTrouble } from "./elements.js";
import { watchPreferences } from "./preferences.js";

const NOBODY = { handle: null, key: null };
let loaders = {}, shown = NOBODY, isFirst = true;

/**
 * Begin with the place of the address. Each of `all` returns a promise of a view, which has `title(place)` and
 * `open(root, place)`: that draws into an empty element and returns `{ update(place), close() }`, `update` for another
 * query of the same view, `close` when it is left.
 */
export function startNavigation(all) {
  loaders = all;
  fixLinks();
  document.addEventListener("click", followLink);
  addEventListener("popstate", show);
  watchCaller(() => {
    // What somebody is writing stays when a key ends; whoever has seen nothing yet sees it once signed in.
    if (readCaller().state === "known" && !shown.handle) show({ again: true });
  });
  watchPreferences(() => shown.handle?.update(readPlace()));
  show();
}

/** Have the links of the document lead where they do now when the address has changed: they were written for this one. */
function fixLinks() {
  for (const link of document.querySelectorAll('a[href]:not([href^="#"]), link[rel="icon"]')) link.href = String(link.href);
}

/** Go to a view. `replace` changes the address without another step of the browser's history. */
export function go(view, query = {}, { metric = null, replace = false } = {}) {
  const url = writeAddress(view, query, metric);
  if (url !== location.href) history[replace ? "replaceState" : "pushState"](null, "", url);
  show();
}

/** Change the query of the place that is shown; null leaves out. */
export function changeQuery(changes, { replace = true } = {}) {
  const { view, metric, query } = readPlace();
  go(view, { ...Object.fromEntries(query), ...changes }, { metric, replace });
}

/** Return what the view that is shown has returned when it was opened, or null. */
export function readHandle() {
  return shown.handle;
}

async function show({ again = false } = {}) {
  followOldAddress();
  const place = readPlace(), key = `${place.view} ${place.metric}`;
  if (key === shown.key && !again) {
    shown.handle?.update(place);
    return;
  }
  shown.handle?.close();
  const root = document.getElementById("view"), mine = { handle: null, key };
  shown = mine;
  root.replaceChildren();
  root.className = place.view ?? "";
  markLinks(place.view);
  if (readCaller().state === "wanted") {
    root.append(make("p.muted", {}, "This is shown once you have signed in."));
    return;
  }
  const view = await load(place.view, root);
  if (shown !== mine) return;
  finish(view ? view.title(place) : "There is no such page", root);
  if (view) mine.handle = view.open(root, readPlace());
}

/** Go on to a metric where an address is of a message that was sent before metrics had addresses of their own. */
function followOldAddress() {
  const { view, query } = readPlace(), { metric, ...others } = Object.fromEntries(query);
  if (view === "overview" && metric) history.replaceState(null, "", writeAddress("metric", others, metric));
}

/** Return a view, or null where there is none or it cannot be loaded, which is said then. */
async function load(name, root) {
  if (!loaders[name]) {
    root.append(makeTrouble("There is no page at this address.", make("a", { href: ROOT.href }, "Go to the overview")));
    return null;
  }
  try {
    return await loaders[name]();
  } catch {
    const retry = make("button", { type: "button", onclick: () => show({ again: true }) }, "Try again");
    root.append(makeTrouble("This view could not be loaded: the API does not answer.", retry));
    return null;
  }
}

/** Tell where somebody is now; the focus goes there, save on the first view, which is where a browser has it anyway. */
function finish(title, root) {
  document.title = `${title} · data-tracker`;
  if (!isFirst) {
    announce(title);
    root.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  isFirst = false;
}

function markLinks(name) {
  for (const link of document.querySelectorAll("header nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function followLink(event) {
  const link = event.target.closest?.("a[href]");
  const isOurs = link && link.origin === ROOT.origin && !link.hasAttribute("download") && !link.target && readPlace(link.href).view;
  if (!isOurs || link.hash || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.href !== location.href) history.pushState(null, "", link.href);
  show();
}
