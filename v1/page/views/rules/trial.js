// Tries a rule on the kept day before it is saved, and shows what it would have told: in words, on a chart, in tables.

import { Unanswered, ask, quote, send } from "../../app/api.js";
import { make, makeTrouble, setText } from "../../app/elements.js";
import { PriceChart } from "../../charts/price-chart.js";
import { writeExact, writeShort } from "../../format/numbers.js";
import { writeSpan, writeTime } from "../../format/times.js";
import { readLength, writeLength } from "./sentence.js";
import { makeSweep } from "./sweep.js";

const LONGEST = 40_000, DAY = 86400, MINUTE = 60, MOST_SHOWN = 100;
const HOLDS = ["0", "300", "900", "3600"]; // seconds: for so long a rule is tried to hold, beside its own `for`

export class Trial {
  constructor() {
    this.said = make("p", { role: "status" });
    this.result = make("div");
    this.element = make("section.trial", { "aria-label": "What it would have told" }, this.said, this.result);
  }

  /** Try what a form has. Another trial ends the one before. What the API does not accept is told to the form. */
  async run(form) {
    this.stop();
    form.clear();
    this.asking = new AbortController();
    const { signal } = this.asking, written = form.write();
    try {
      const report = await this.ask(`{"rules":[${written}],"limit":1000}`, signal);
      await this.show(report, JSON.parse(written), signal);
      await this.showHolds(form, signal);
      setText(this.said, "");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      setText(this.said, "");
      if (error.status === 422) form.complain(error);
      else this.result.replaceChildren(makeTrouble(`It was not tried: ${error.message}.`));
    }
  }

  /** Say that what was tried is not what is in the form any more. */
  age() {
    if (this.result.hasChildNodes()) setText(this.said, "The rule was changed since it was tried: try it again.");
  }

  stop() {
    this.asking?.abort();
    this.drawn?.destroy();
    this.drawn = null;
  }

  /** Ask, and where others try rules already, wait until they are done. */
  async ask(body, signal) {
    for (;;) {
      setText(this.said, "Trying it on the day that is kept ...");
      try {
        return await send("POST", "rules/backtest", body, { signal, longest: LONGEST });
      } catch (error) {
        if (error.status !== 429) throw error;
        setText(this.said, `Not yet: ${error.message}. It is tried again by itself.`);
        await wait(error.retry * 1000, signal);
      }
    }
  }

  async show(report, rule, signal) {
    const [counts] = report.rules, span = Number(report.to) - Number(report.from);
    const metrics = Object.entries(counts.by_metric).filter(([name]) => !name.endsWith(":*")).sort(([, one], [, other]) => Number(other) - Number(one)).map(([name]) => name);
    this.chart = make("div.chart.small", { role: "img" });
    this.figure = make("figure", {});
    this.result.replaceChildren(
      make("p.summary", {}, make("strong", {}, Number(counts.alerts) ? `It would have fired ${writeCount(counts.alerts, "time")}` : "It would not have fired"),
        span > 0 ? ` in ${writeSpan(span)}, on ${Object.keys(counts.by_metric).length} of ${writeCount(counts.matches, "metric")}: ${writeCount(counts.messages, "message")}, about ${writeShort(String(Number(counts.messages) * DAY / span), 2)} a day` : ": there are no samples yet",
        Number(counts.suppressed) ? `; ${writeExact(counts.suppressed)} alerts not sent, for silences and muted hours` : "", "."),
      ...[report.warm_up && `Until ${writeTime(report.warm_up.until)}: ${report.warm_up.why}.`, ...report.notes.map((note) => `${note}.`),
        Number(report.left_out) ? `${writeExact(report.left_out)} more alerts are counted and not shown.` : null].filter(Boolean).map((text) => make("p.hint", {}, text)),
      this.figure, makeMessages(report.messages), makeSweep(counts.sweep, rule, "By main number and cooldown"));
    if (metrics.length) await this.drawMetrics(metrics, report, rule, signal);
  }

  /** Draw the metric that it would have told of most, and offer the others. */
  async drawMetrics(metrics, report, rule, signal) {
    const choice = make("select", { name: "metric", onchange: () => this.draw(choice.value, report, rule, signal) }, metrics.map((name) => make("option", { value: name }, name)));
    this.figure.replaceChildren(make("p.bar", {}, make("label", {}, "Where it would have fired: ", choice)), this.chart);
    await this.draw(metrics[0], report, rule, signal);
  }

  async draw(metric, report, rule, signal) {
    const measure = rule.kind === "stale" || rule.kind === "frozen" ? "price" : rule.measure ?? "price", fired = report.alerts.filter((alert) => alert.metric === metric);
    try {
      const series = await ask(`metrics/${quote(metric)}/history`, { measure, step: findStep(Number(report.interval)), fill: "null" }, { signal, cache: "no-cache" });
      this.drawn ??= await PriceChart.open(this.chart);
      if (signal.aborted) return this.stop();
      this.drawn.setLine(series.points, { hourly: new Set(series.hourly.map(Number)), isAmount: measure.endsWith("volume") });
      this.drawn.setMarkers(fired.map(({ at, severity }) => ({ at, severity, text: "" })));
      this.drawn.showLast();
      this.chart.setAttribute("aria-label", `${metric}: it would have fired ${writeCount(fired.length, "time")}: ${fired.slice(0, 20).map(({ at }) => writeTime(at)).join(", ")}`);
    } catch (error) {
      if (signal.aborted) return undefined;
      this.figure.append(make("p.hint", {}, `The chart cannot be shown: ${error.message}.`));
    }
    return undefined;
  }

  /** Show the tables of the same rule with other lengths for which it must hold. */
  async showHolds(form, signal) {
    const own = JSON.parse(form.write()), others = HOLDS.filter((held) => Number(held) !== readLength(own.for ?? 0)).slice(0, 3);
    const rules = others.map((held) => form.write({ id: `for-${held}`, for: held }));
    const place = make("div.sweeps");
    this.result.append(place);
    const report = await this.ask(`{"rules":[${rules.join(",")}],"limit":0}`, signal);
    place.replaceChildren(...report.rules.map((counts, index) => makeSweep(counts.sweep, own, `The same, when it must hold for ${others[index] === "0" ? "no time" : writeLength(others[index])}`)));
  }
}

function writeCount(count, noun) {
  return `${writeExact(String(count))} ${noun}${Number(count) === 1 ? "" : "s"}`;
}

function makeMessages(messages) {
  if (!messages.length) return make("p.hint", {}, "No message would have been sent.");
  return make("details", { open: messages.length <= 10 }, make("summary", {}, `Messages (${messages.length})`),
    make("ol.messages", {}, messages.slice(0, MOST_SHOWN).map((message) => make("li", { title: message.body }, make("span.muted", {}, `${writeTime(message.at)} `), message.title))));
}

/** Return how far apart points are that are samples and full minutes both. */
function findStep(tick) {
  let step = tick;
  while (step % MINUTE) step += tick;
  return step;
}

function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
