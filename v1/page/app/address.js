// The address is the state of the page: which view, of what, and how it is arranged.

// As the server wrote it: relative, so that the page works below whatever path a proxy serves it.
export const ROOT = new URL(document.documentElement.dataset.root || ".", location.href);
export const API = new URL(`${document.documentElement.dataset.api}/`, ROOT);

const METRIC = "m/";

/** Return the place that an address names: `{ view, metric, query }`; `view` is null where there is none. */
export function readPlace(url = location.href) {
  const { pathname, searchParams } = new URL(url);
  const path = pathname.slice(ROOT.pathname.length);
  if (path.startsWith(METRIC)) {
    return { view: "metric", metric: decodeName(path.slice(METRIC.length)), query: searchParams };
  }
  const view = path === "" ? "overview" : ["alerts", "rules", "top", "status"].find((name) => name === path);
  return { view: view ?? null, metric: null, query: searchParams };
}

/** Return the address of a view, with `query` as an object; what is null, undefined or empty in it is left out. */
export function writeAddress(view, query = {}, metric = null) {
  const path = view === "metric" ? `${METRIC}${encodeURIComponent(metric).replaceAll("%3A", ":")}` : view === "overview" ? "" : view;
  const url = new URL(path || ".", ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

function decodeName(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
