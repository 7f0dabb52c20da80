// What the rules said of a metric: as markers on its chart, and in words.

import { ask } from "../../app/api.js";
import { writeAddress } from "../../app/address.js";
import { make } from "../../app/elements.js";
import { writeExact, writeShort } from "../../format/numbers.js";
import { writeTime } from "../../format/times.js";
import { MEASURES } from "./choices.js";

const MOST = 100;

/** Return the alerts of a metric from a tick on, newest first: 100 at most. Raises `Unanswered`. */
export async function askAlerts(metric, since, options) {
  const { alerts } = await ask("alerts", { metric, since, limit: MOST }, { cache: "no-cache", ...options });
  return alerts;
}

/** Return alerts with one more, or another state of one of them. */
export function addAlert(alerts, alert) {
  const others = alerts.filter(({ id }) => id !== alert.id);
  return [{ ...alerts.find(({ id }) => id === alert.id), ...alert }, ...others].sort((one, other) => Number(other.at) - Number(one.at)).slice(0, MOST);
}

/** Return what an alert says, without its time. */
export function explain(alert) {
  const measure = MEASURES[alert.measure] ?? alert.measure;
  const value = `${measure} ${writeExact(alert.value)}`;
  const sentences = {
    ratio: () => `${value}, ${writeShort(alert.ratio, 3)} × its mean of ${writeShort(alert.mean)} over ${alert.samples} samples before`,
    threshold: () => `${value}, ${alert.reference_kind} the bound of ${writeExact(alert.reference)}`,
    change: () => `${value}, ${writeShort(alert.ratio, 3)} % from the ${alert.reference_kind} of ${writeExact(alert.reference)}`,
    deviation: () => `${value}, ${writeShort(alert.ratio, 3)} deviations from its mean of ${writeShort(alert.mean)}`,
    rank: () => `${alert.event} the first places by ${measure}: rank ${alert.rank} of ${alert.of}`,
    stale: () => "no sample came",
    frozen: () => "the price, or the provider's own time, stands still",
  };
  const words = alert.kind in sentences ? sentences[alert.kind]() : value;
  return `${alert.name}: ${words}${alert.event === "resolved" ? "; it is over" : ""}`;
}

/** Return the markers of alerts. */
export function makeMarkers(alerts) {
  return alerts.map((alert) => ({ at: alert.at, text: "", severity: alert.severity }));
}

/** Return a list of alerts. `point` is called with the tick of the one whose place on the chart is wanted. */
export function makeAlertList(metric, alerts, point) {
  const all = make("a", { href: writeAddress("alerts", { metric }) }, "All alerts of this metric");
  if (!alerts.length) return [make("p.muted", {}, "No rule said anything of it in the time that is shown."), all];
  return [make("ol.alerts", {}, alerts.map((alert) => make("li", {},
    make("button.time", { type: "button", title: "Show on the chart", onclick: () => point(alert.at) }, writeTime(alert.at)),
    make("span.tag", { dataset: { severity: alert.severity } }, alert.severity),
    make("span", {}, explain(alert), alert.suppressed_by ? make("span.muted", {}, ` (nobody was told: ${alert.suppressed_by})`) : null,
      alert.ended_at ? make("span.muted", {}, `, over at ${writeTime(alert.ended_at)}`) : null)))), all];
}
