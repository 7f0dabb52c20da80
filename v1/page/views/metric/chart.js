// The chart of a metric: what was asked for is drawn, explained and read.

import { PriceChart } from "../../charts/price-chart.js";
import { Reading } from "../../charts/reading.js";
import { make, setText } from "../../app/elements.js";
import { makeMarkers, explain } from "./alerts.js";
import { AMOUNTS, RANGES, RANK, SAMPLES } from "./choices.js";
import { makeBand } from "./means.js";
import { explainSlots, makeSlotBar } from "./slots.js";
import { describePoint, explainChart, summarize } from "./words.js";

const BEYOND = 3; // points that may be empty at the left before more of the past is asked for

export class MetricChart {
  /** `onPast(isZoomed)` is called when somebody looks at what lies before the first point. */
  constructor(metric, onPast) {
    this.metric = metric;
    this.onPast = onPast;
    this.canvas = make("div.chart", { role: "img", tabindex: "0", "aria-label": `${metric}: loading`, "aria-describedby": "reading" });
    this.reading = make("output", { id: "reading", "aria-live": "polite" });
    this.words = make("div.explained");
    this.element = make("figure", {}, this.reading, this.canvas, make("figcaption.hint", {}, this.words,
      make("p", {}, "Keys on the chart: arrows, page up and down, home and end read points; + and − zoom.")));
    this.alerts = [];
  }

  /**
   * Draw a series; `isNew` says that all of it was asked for, not only what is newer. Who has zoomed keeps that, unless
   * something else was chosen. Raises an error where charts cannot be loaded.
   */
  async draw(choice, series, { isNew, tick, hasOlder }) {
    const drawn = this.drawn ?? await PriceChart.open(this.canvas);
    if (this.isClosed) return drawn.destroy();
    if (!this.drawn) this.start(drawn);
    const isOther = JSON.stringify(choice) !== JSON.stringify(this.choice), isWhole = isNew && (isOther || this.isAllSeen());
    Object.assign(this, { choice, series, isReady: false });
    if (isOther) this.clear(choice);
    if (choice.style === "candles") drawn.setCandles(series.candles);
    else drawn.setLine(series.points, { hourly: series.hourly, isAmount: AMOUNTS.has(choice.measure) && choice.style !== RANK, isRank: choice.style === RANK });
    if (series.volume.length) drawn.setVolume(series.volume);
    const bands = this.makeBands(choice, series, tick);
    drawn.setBands(bands);
    drawn.setSlots(makeSlotBar(series.points, series.slots));
    this.showAlerts(this.alerts);
    this.canvas.setAttribute("aria-label", summarize(this.metric, choice, series));
    this.words.replaceChildren(...[...explainChart(choice, series, { hasBand: bands.length > 0, hasOlder }), explainSlots(series.points, series.slots)].filter(Boolean).map((text) => make("p", {}, text)));
    if (isWhole) drawn.showLast(RANGES[choice.range]);
    this.reader.show(series.points.map(([at]) => Number(at)));
    requestAnimationFrame(() => { this.isReady = true; });
  }

  /** Mark alerts on what is drawn. */
  showAlerts(alerts) {
    this.alerts = alerts;
    if (!this.series) return;
    const first = Number(this.series.points[0]?.[0] ?? Infinity);
    this.drawn.setMarkers(makeMarkers(alerts.filter(({ at }) => Number(at) >= first)));
  }

  /** Read the point at a tick. */
  point(at) {
    this.canvas.focus();
    this.reader?.point(Number(at));
  }

  close() {
    this.isClosed = true;
    this.reader?.close();
    this.drawn?.destroy();
  }

  start(drawn) {
    this.drawn = drawn;
    this.reader = new Reading(drawn, (index) => this.describe(index), (words) => setText(this.reading, words));
    drawn.chart.timeScale().subscribeVisibleLogicalRangeChange((seen) => {
      if (!seen || !this.isReady || seen.from > -BEYOND) return;
      this.isReady = false;
      this.onPast();
    });
  }

  /** Return whether the first point is in sight. */
  isAllSeen() {
    const seen = this.drawn.chart.timeScale().getVisibleLogicalRange();
    return !seen || seen.from < 1;
  }

  clear(choice) {
    this.drawn.remove(choice.style === "candles" ? "line" : "candles");
    this.drawn.remove("volume");
    this.drawn.setBands([]);
  }

  /** Return the means of the hour: of samples alone, for a point that stands for several is no sample. */
  makeBands({ measure, interval, style }, series, tick) {
    if (style === RANK || interval !== SAMPLES || series.step !== tick) return [];
    const isTraded = measure === "interval_volume", isLevel = measure === "price" || measure === "volume";
    return [
      ...(isTraded || isLevel ? makeBand(series.points, series.from, { isFree: !isTraded }) : []),
      ...(series.volume.length ? makeBand(series.volume, series.from, { isBelow: true }) : []),
    ];
  }

  describe(index) {
    const { series, choice } = this, at = Number(series.points[index ?? series.points.length - 1]?.[0]);
    const said = index === null ? [] : this.alerts.filter((alert) => Number(alert.at) >= at && Number(alert.at) < at + series.step).map(explain);
    return describePoint(series, index, { style: choice.style, said });
  }
}
