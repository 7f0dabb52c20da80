// Shows the view that the address names, and follows links between views without loading the page anew.

import { ROOT, readPlace, writeAddress } from "./address.js";
import { announce, make, makeTrouble } from "./elements.js";

let views = {};
let shown = { name: null, handle: null, key: null };

/**
 * Begin with the place of the address. Each view has `title(place)` and `open(root, place)`, which draws into an empty
 * element and returns `{ update(place), close() }`: `update` for another query of the same view, `close` when it is left.
 */
export function startNavigation(all) {
  views = all;
  document.addEventListener("click", followLink);
  addEventListener("popstate", show);
  show();
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

function show() {
  const place = readPlace(), key = `${place.view} ${place.metric}`;
  if (key === shown.key) {
    shown.handle?.update(place);
    return;
  }
  shown.handle?.close();
  const root = document.getElementById("view"), view = views[place.view], isFirst = shown.key === null;
  root.replaceChildren();
  root.className = place.view ?? "";
  shown = { name: place.view, key, handle: null };
  for (const link of document.querySelectorAll("header nav [data-view]")) {
    link.toggleAttribute("aria-current", link.dataset.view === place.view);
  }
  const title = view ? view.title(place) : "There is no such page";
  document.title = `${title} · data-tracker`;
  if (view) shown.handle = view.open(root, place);
  else root.append(makeTrouble(`There is no page at this address.`, make("a", { href: ROOT.href }, "Go to the overview")));
  if (isFirst) return;
  announce(title);
  root.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function followLink(event) {
  const link = event.target.closest?.("a[href]");
  const isOurs = link && link.origin === ROOT.origin && !link.hasAttribute("download") && !link.target && readPlace(link.href).view;
  if (!isOurs || link.hash || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.href !== location.href) history.pushState(null, "", link.href);
  show();
}
