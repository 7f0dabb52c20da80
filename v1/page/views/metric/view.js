// One metric: its day and its past on a chart, what is known of it now, what the rules said of it.

import { Unanswered, ask, quote } from "../../app/api.js";
import { make } from "../../app/elements.js";
import { listen, readNewestTick } from "../../app/live.js";
import { changeQuery } from "../../app/navigation.js";
import { addAlert, askAlerts, makeAlertList } from "./alerts.js";
import { MetricChart } from "./chart.js";
import { RANGES, SAMPLES, findLonger, isShort, readChoice } from "./choices.js";
import { replaceControls, makeControls } from "./controls.js";
import { askDetail, askSeries, join, makeQuestion, readTick } from "./data.js";
import { makeFacts, makeHeadline } from "./facts.js";
import { makeLinks } from "./links.js";
import { askSlots } from "./slots.js";
import { explainError, explainRefused } from "./trouble.js";

const KEPT = 1.25; // how much longer than when it was asked for a series may grow before it is asked for anew

export const metric = {
  title: (place) => place.metric ?? "",
  open: (root, place) => new MetricView(root, place),
};

class MetricView {
  constructor(root, { metric: name, query }) {
    this.name = name.toUpperCase();
    this.alerts = [];
    this.detail = null;
    this.headline = make("p.headline");
    this.bar = make("div.bar");
    this.said = make("div", { role: "status" });
    this.facts = make("dl.metric-facts");
    this.list = make("section", { "aria-labelledby": "alerts-title" });
    this.links = make("div");
    this.chart = new MetricChart(this.name, () => this.showMore());
    root.append(make("div.title", {}, make("h2", {}, this.name), this.headline), this.bar, this.said,
      make("div.columns", {}, make("div", {}, this.chart.element, this.links), make("div.aside", {}, this.facts, this.list)));
    this.update({ query });
    this.stops = [listen("tick", () => this.follow()), listen("gap", () => this.load()), listen("alert", (alert) => this.takeAlert(alert))];
  }

  /** Show what another query asks for, or the same in other colours and another zone of times. */
  update({ query }) {
    const written = query.toString();
    if (written === this.written && this.series) {
      this.drawFacts();
      this.draw(false);
      return;
    }
    this.query = query;
    this.written = written;
    this.load();
  }

  close() {
    this.stops.forEach((stop) => stop());
    clearTimeout(this.retry);
    this.asking?.abort();
    this.chart.close();
  }

  /** Ask for all that is shown. */
  async load() {
    this.asking?.abort();
    clearTimeout(this.retry);
    const asking = new AbortController();
    this.asking = asking;
    this.isStale = false;
    await this.attempt(asking, async () => {
      await this.readNow(asking.signal);
      this.choice = readChoice(this.query, readTick(this.detail));
      replaceControls(this.bar, makeControls(this.choice, readTick(this.detail)));
      this.question = makeQuestion(this.name, this.choice, readTick(this.detail), this.newest);
      this.drawFacts();
      const [series, alerts, slots] = await Promise.all([
        askSeries(this.question, this.choice, { signal: asking.signal }), this.readAlerts(asking.signal), this.readSlots(asking.signal),
      ]);
      Object.assign(this, { series: { ...series, slots }, alerts, length: series.points.length });
      await this.draw(true);
    });
  }

  /** Ask for what is newer than what is shown. What is being asked already takes it in, or is asked again then. */
  async follow() {
    if (this.asking) {
      this.isBehind = true;
      return;
    }
    if (!this.series?.points.length) {
      await this.load();
      return;
    }
    const asking = new AbortController(), before = this.detail, last = Number(this.series.points.at(-1)[0]);
    this.asking = asking;
    await this.attempt(asking, async () => {
      const [, tail, slots] = await Promise.all([
        this.readNow(asking.signal), askSeries(this.question, this.choice, { after: last, signal: asking.signal }), this.readSlots(asking.signal),
      ]);
      this.series = { ...join(this.series, tail), slots };
      this.isStale = this.series.points.length > KEPT * this.length || this.isFilled(before, last);
      this.drawFacts();
      await this.draw(false);
    });
    if (this.isStale) await this.load();
  }

  /** Do something that asks; say what is wrong, and ask again where that helps. */
  async attempt(asking, action) {
    try {
      await action();
      if (asking === this.asking) this.said.replaceChildren(...[explainRefused(this.choice.refused)].filter(Boolean));
    } catch (error) {
      if (asking.signal.aborted) return;
      const told = error instanceof Unanswered ? error : new Unanswered(error.message);
      if (!(error instanceof Unanswered)) console.error(error);
      this.said.replaceChildren(explainError(told, this.name));
      if (told.status === 0 || told.status === 429 || told.status >= 500) this.retry = setTimeout(() => this.load(), told.retry * 1000);
    } finally {
      if (asking === this.asking) this.asking = null;
    }
    const isBehind = this.isBehind && Number(readNewestTick()?.at) > this.newest;
    if (this.asking || !this.series) return;
    this.isBehind = false;
    if (isBehind) await this.follow();
  }

  /** Read what is known now. A metric without a sample of the last day may still be in the archive. */
  async readNow(signal) {
    const choice = readChoice(this.query);
    try {
      this.detail = await askDetail(this.name, { signal });
      this.newest = Number(this.detail.at);
      this.places = await readPlaces(this.name, choice.measure, this.detail, signal);
    } catch (error) {
      if (!(error instanceof Unanswered && error.status === 404) || isShort(choice.range)) throw error;
      const { candles } = await ask(`metrics/${quote(this.name)}/candles`, { interval: "1h" }, { signal });
      Object.assign(this, { detail: null, newest: Number(candles.at(-1)?.start ?? 0) });
    }
  }

  /** Return what became of the slots that are shown one by one: candles say their coverage. */
  readSlots(signal) {
    return this.detail && this.choice.interval === SAMPLES ? askSlots(this.name, { signal }) : [];
  }

  readAlerts(signal) {
    const span = RANGES[this.choice.range];
    return askAlerts(this.name, span === null ? null : this.newest - Math.max(span, RANGES["1d"]), { signal });
  }

  /** Return whether samples came that are older than what is shown: a day that is being filled. */
  isFilled(before, last) {
    if (!before || !this.detail) return false;
    const added = Number(this.detail.day.samples) - Number(before.day.samples);
    return added > 1 + (Number(this.detail.at) - last) / readTick(this.detail);
  }

  drawFacts() {
    if (!this.detail) {
      this.headline.replaceChildren(make("span.muted", {}, "no sample of the last day; the archive has its past"));
      this.facts.replaceChildren();
      return;
    }
    this.headline.replaceChildren(...makeHeadline(this.detail));
    this.facts.replaceChildren(...makeFacts(this.detail, this.choice.measure, this.places));
  }

  async draw(isNew) {
    const hasOlder = this.findOlder() !== null;
    this.drawAlerts();
    this.links.replaceChildren(makeLinks(this.name, this.question));
    await this.chart.draw(this.choice, this.series, { isNew, tick: readTick(this.detail), hasOlder });
  }

  drawAlerts() {
    this.list.replaceChildren(make("h3", { id: "alerts-title" }, `Alerts (${this.alerts.length})`), ...makeAlertList(this.name, this.alerts, (at) => this.chart.point(at)));
    this.chart.showAlerts(this.alerts);
  }

  takeAlert(alert) {
    if (alert.metric !== this.name) return;
    this.alerts = addAlert(this.alerts, alert);
    this.drawAlerts();
  }

  /** Go on into the past: the next longer range, in which the day and the archive are one. */
  showMore() {
    const longer = this.findOlder();
    if (longer) changeQuery({ range: longer, interval: null }, { replace: false });
  }

  findOlder() {
    const [first, last] = [this.series.points[0], this.series.points.at(-1)];
    return first ? findLonger(this.choice, Number(last[0]) - Number(first[0]) + this.series.step) : null;
  }
}

/** Return the places of a metric by deviation and by coefficient of variation; null where it has none. */
async function readPlaces(name, measure, detail, signal) {
  const { rank, of } = detail.measures[measure];
  const read = async () => {
    try {
      return await ask(`metrics/${quote(name)}/rank`, { measure, by: "cv" }, { signal, cache: "no-cache" });
    } catch (error) {
      if (error instanceof Unanswered && error.status === 404) return null;
      throw error;
    }
  };
  return { stddev: rank === null ? null : { rank, of }, cv: await read() };
}
