// Two lines above the rows: what moves most, and what the rules said last.

import { Unanswered, ask } from "../../app/api.js";
import { writeAddress } from "../../app/address.js";
import { make } from "../../app/elements.js";
import { judgeChange, writeExact, writePercent, writeRatio } from "../../format/numbers.js";
import { writeSpan, writeTime } from "../../format/times.js";

const MOVERS = 5, ALERTS = 3;

/** Draw the rows with the highest scores of an interval of so many seconds. */
export function drawMovers(element, rows, interval) {
  const movers = [...rows].filter(({ score }) => score > 0).sort((one, other) => other.score - one.score || (one.metric < other.metric ? -1 : 1)).slice(0, MOVERS);
  const span = interval === 60 ? "this minute" : interval ? `the last ${writeSpan(interval)}` : "now";
  element.replaceChildren(make("h3", {}, `Movers of ${span}`), movers.length ? make("ol", {}, movers.map(makeMover)) : make("span.muted", {}, "nothing moves"));
}

function makeMover({ metric, return: change, ratio, move }) {
  const words = [ratio === null ? null : `volume ${writeRatio(ratio)}`, move ? `move ${move.toFixed(1)}\u202f×` : null].filter(Boolean);
  return make("li", {}, make("a", { href: writeAddress("metric", {}, metric) }, metric), " ",
    change === null ? null : make("span", { class: judgeChange(change), title: `${writeExact(change)} %` }, writePercent(change)),
    make("span.muted", {}, ` ${words.join(", ")}`));
}

/** The newest alerts, from the API at first, and then as they come. */
export class NewestAlerts {
  constructor(element) {
    this.element = element;
    this.alerts = [];
    this.draw();
    this.read();
  }

  async read() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const { alerts } = await ask("alerts", { limit: ALERTS }, { signal, cache: "no-cache" });
      alerts.toReversed().forEach((alert) => this.take(alert));
    } catch (error) {
      // Of rows and state the page tells that the API is away; alerts are asked for as soon as it is back.
      if (!(error instanceof Unanswered) && !signal.aborted) throw error;
    }
  }

  take(alert) {
    const others = this.alerts.filter(({ id }) => id !== alert.id);
    this.alerts = [...others, alert].sort((one, other) => Number(other.at) - Number(one.at)).slice(0, ALERTS);
    this.draw();
  }

  draw() {
    const all = make("a", { href: writeAddress("alerts") }, this.alerts.length ? "all alerts" : "alerts");
    this.element.replaceChildren(make("h3", {}, "Alerts"), this.alerts.length ? make("ol", {}, this.alerts.map(makeAlert)) : make("span.muted", {}, "none in the last day"), all);
  }

  close() {
    this.asking.abort();
  }
}

function makeAlert(alert) {
  const end = alert.ended_at ? ", over" : alert.acknowledged ? ", acknowledged" : "";
  return make("li", {}, make("span.tag", { dataset: { severity: alert.severity } }, alert.severity), " ",
    make("a", { href: writeAddress("metric", {}, alert.metric) }, alert.metric),
    ` ${alert.name}${end} `, make("span.muted", {}, writeTime(alert.at, { date: false })));
}
