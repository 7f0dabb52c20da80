// Looks for gaps of the past day when asked to: of a large market that is a large answer.

import { Unanswered, ask } from "../../app/api.js";
import { make, makeTrouble } from "../../app/elements.js";
import { readHealth } from "../../app/health.js";
import { writeAddress } from "../../app/address.js";
import { writeTime } from "../../format/times.js";

const DAY = 86_400, MOST_SHOWN = 20;
const STATES = { live: "live", stale: "stale: no sample of late", frozen: "frozen: the same number for an hour", dead: "dead: listed without a price" };

/** Return `{ element, close }`. */
export function makeGaps() {
  const result = make("div", { role: "status" });
  let asking = null;
  const button = make("button", { type: "button", onclick: async () => {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    result.replaceChildren(make("p.muted", {}, "Looking …"));
    try {
      result.replaceChildren(...describe(await readMetrics(signal)));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      result.replaceChildren(makeTrouble(`The list of metrics cannot be had: ${error.message}.`));
    }
  } }, "Look for gaps");
  return { element: make("section", {}, make("h3", {}, "Gaps of the past day"), button, result), close: () => asking?.abort() };
}

async function readMetrics(signal) {
  const found = [];
  let cursor = null;
  do {
    const page = await ask("metrics", { limit: 1000, cursor }, { signal });
    found.push(...page.metrics);
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

function describe(metrics) {
  const expected = DAY / Number(readHealth().health?.tick.interval ?? 60);
  const counts = Object.entries(STATES).map(([state, words]) => [metrics.filter((each) => each.state === state).length, words]).filter(([count]) => count);
  const gapped = metrics.filter(({ state, samples }) => state !== "dead" && Number(samples) < expected).sort((one, other) => Number(one.samples) - Number(other.samples));
  const states = make("p", {}, metrics.length ? counts.map(([count, words]) => `${count} ${words}`).join(", ") : "There is no metric with a sample of the last day.");
  if (!gapped.length) return [states, metrics.length ? make("p", {}, "No metric lacks a sample of the past day.") : null].filter(Boolean);
  const rows = gapped.slice(0, MOST_SHOWN).map(({ metric, samples, first, last, state }) => make("tr", {},
    make("th", { scope: "row" }, make("a", { href: writeAddress("metric", {}, metric) }, metric)), make("td", {}, state),
    make("td.number", {}, samples), make("td.number", {}, String(Math.max(0, Math.round(expected - Number(samples))))),
    make("td", {}, writeTime(first)), make("td", {}, writeTime(last))));
  const head = ["metric", "state", "samples", "missing", "first", "newest"].map((name) => make("th", { scope: "col" }, name));
  return [states, make("p", {}, `${gapped.length} of ${metrics.length} metrics lack samples of the past day${gapped.length > MOST_SHOWN ? `; the ${MOST_SHOWN} that lack most` : ""}:`),
    make("div.scroll", { tabindex: "0", role: "region", "aria-label": "Metrics with gaps" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows)))];
}
