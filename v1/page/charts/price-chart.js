// A chart of a price, or of any other number, over time, with what happened to it. It is told what it shows; each
// `set...` may be called again with more, and what is the same already is left as it is, with the zoom.

import { watchPreferences } from "../app/preferences.js";
import { fade, loadCharts, readColours } from "./library.js";
import { makeAmountFormat, makeOptions, makePriceFormat } from "./options.js";
import { countPlaces, isKnown, listLone, makeCandles, makeColumns, makeHourlyLine, makeLine, withoutHourly } from "./series-data.js";

const VOLUME_PANE = 1;

export class PriceChart {
  /** Return a promise of a chart in an element, which has a height of its own. Raises an error where it cannot be loaded. */
  static async open(element) {
    return new PriceChart(element, await loadCharts());
  }

  constructor(element, library) {
    this.element = element;
    this.library = library;
    this.colours = readColours();
    this.series = new Map(); // by name: { api, shown }
    this.told = {}; // what each `set...` was told last, to draw it again in other colours
    this.chart = library.createChart(element, makeOptions(library, this.colours));
    const scheme = matchMedia("(prefers-color-scheme: dark)"), redraw = () => this.redraw();
    scheme.addEventListener("change", redraw);
    const unwatch = watchPreferences(redraw);
    this.stop = () => {
      scheme.removeEventListener("change", redraw);
      unwatch();
    };
  }

  /** Show candles, `{ at, open, high, low, close, isWhole }`, oldest first, numbers as texts; `close` of null is a gap. */
  setCandles(candles) {
    this.told.setCandles = [candles];
    this.chart.priceScale("right").applyOptions({ invertScale: false });
    const { up, down } = this.colours;
    const format = makePriceFormat(countPlaces(candles.slice(-200).flatMap(({ open, close }) => [open, close]).filter(Boolean)));
    this.show("candles", "CandlestickSeries", 0, { priceFormat: format, priceLineVisible: false },
      makeCandles(candles, { up, down, faintUp: fade(up, 0.5), faintDown: fade(down, 0.5) }));
  }

  /**
   * Show a line of points, `[at, text or null]`, oldest first; null is a gap. Those of `hourly`, a set of ticks, stand
   * for an hour each: they are rings, with dashes between. `isAmount` writes the axis as amounts: 1.2 M. `isRank` has 1 on top.
   */
  setLine(points, { hourly = new Set(), isAmount = false, isRank = false } = {}) {
    this.told.setLine = [points, { hourly, isAmount, isRank }];
    const minutes = withoutHourly(points, hourly), { line, muted } = this.colours;
    const format = isAmount ? makeAmountFormat() : makePriceFormat(countPlaces(points.slice(-500).map(([, text]) => text).filter(Boolean)));
    const common = { priceFormat: format, priceLineVisible: false, lineWidth: 2 };
    this.show("line", "LineSeries", 0, { ...common, color: line }, makeLine(minutes));
    this.show("lone", "LineSeries", 0, { ...common, color: line, lineVisible: false, pointMarkersVisible: true, pointMarkersRadius: 1.5, lastValueVisible: false, crosshairMarkerVisible: false },
      makeLine(listLone(minutes)));
    this.show("hourly", "LineSeries", 0, { ...common, color: muted, lineWidth: 1, lineStyle: this.library.LineStyle.Dashed, pointMarkersVisible: true, pointMarkersRadius: 2.5, lastValueVisible: false, crosshairMarkerVisible: false },
      makeHourlyLine(points, hourly));
    this.chart.priceScale("right").applyOptions({ invertScale: isRank, scaleMargins: { top: 0.08, bottom: isAmount ? 0.01 : 0.08 } });
  }

  /** Show columns below, `[at, text or null, is rising]`, oldest first; none of them takes the pane away. */
  setVolume(points) {
    this.told.setVolume = [points];
    const { up, down } = this.colours;
    this.show("volume", "HistogramSeries", VOLUME_PANE, { priceFormat: makeAmountFormat(), priceLineVisible: false, lastValueVisible: false },
      makeColumns(points, { up: fade(up, 0.55), down: fade(down, 0.55) }));
    const [main, below] = this.chart.panes();
    main.setStretchFactor(3.5);
    below?.setStretchFactor(1);
  }

  /**
   * Show computed lines: `{ name, isBelow, isDashed, isFree, points }`. `isBelow` is in the pane of the volume; one that
   * `isFree` does not stretch the axis, and is seen where it comes near what is shown.
   */
  setBands(bands) {
    this.told.setBands = [bands];
    const names = new Set(bands.map(({ name }) => `band ${name}`));
    for (const name of [...this.series.keys()]) if (name.startsWith("band ") && !names.has(name)) this.drop(name);
    for (const { name, isBelow, isDashed, isFree, points } of bands) {
      const style = isDashed ? this.library.LineStyle.LargeDashed : this.library.LineStyle.Dotted;
      this.show(`band ${name}`, "LineSeries", isBelow ? VOLUME_PANE : 0,
        { color: this.colours.warn, lineWidth: isDashed ? 1 : 2, lineStyle: style, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false,
          ...(isFree && { autoscaleInfoProvider: () => null }) },
        makeLine(points));
    }
  }

  /** Show a bar at the lower edge, `[at, height as text or null]`; an empty one takes it away. */
  setSlots(points) {
    this.told.setSlots = [points];
    const known = points.some(isKnown) ? points : [];
    this.show("slots", "HistogramSeries", 0, { color: fade(this.colours.muted, 0.7), priceScaleId: "slots", priceLineVisible: false, lastValueVisible: false, autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }) },
      known.map(([at, text]) => (text === null ? { time: Number(at) } : { time: Number(at), value: Number(text) })));
    if (known.length) this.chart.priceScale("slots").applyOptions({ scaleMargins: { top: 0.975, bottom: 0 } });
  }

  /** Show markers on what is drawn, `{ at, text, severity }`; one between two times stands at the earlier one; each severity has a shape. */
  setMarkers(markers) {
    this.told.setMarkers = [markers];
    const main = this.readMain();
    if (!main) return;
    if (this.marks?.of !== main.api) {
      this.marks?.plugin.detach();
      this.marks = { of: main.api, plugin: this.library.createSeriesMarkers(main.api, []) };
    }
    const { trouble, warn, accent } = this.colours;
    const looks = { critical: { shape: "arrowDown", color: trouble }, warning: { shape: "circle", color: warn } };
    this.marks.plugin.setMarkers(markers.map(({ at, text, severity }) => ({
      time: findTime(main.shown, Number(at)), position: "aboveBar", size: 1.5, text: text ?? "", ...(looks[severity] ?? { shape: "square", color: accent }),
    })).filter(({ time }) => time !== null).sort((one, other) => one.time - other.time));
  }

  /** Take a kind of what is shown away: `candles`, `line` or `volume`. */
  remove(kind) {
    const names = { candles: ["candles"], line: ["line", "lone", "hourly"], volume: ["volume"] }[kind];
    names.forEach((name) => this.drop(name));
    delete this.told[{ candles: "setCandles", line: "setLine", volume: "setVolume" }[kind]];
  }

  /** Show so many seconds up to the newest point; all there is without them. */
  showLast(seconds = null) {
    const times = this.readMain()?.shown ?? [], last = times.at(-1)?.time;
    if (last === undefined) return;
    if (seconds === null || last - seconds <= times[0].time) this.chart.timeScale().fitContent();
    else this.chart.timeScale().setVisibleRange({ from: last - seconds, to: last });
  }

  /** Return the series that is read: `{ api, shown }`, or undefined while nothing is shown. */
  readMain() {
    return this.series.get("candles") ?? this.series.get("line");
  }

  destroy() {
    this.stop();
    this.chart.remove();
    this.series.clear();
  }

  redraw() {
    this.colours = readColours();
    this.chart.applyOptions(makeOptions(this.library, this.colours));
    for (const entry of this.series.values()) entry.shown = null;
    for (const [name, told] of Object.entries({ ...this.told })) this[name](...told);
  }

  /** Draw a series: only what was added, where it goes on from what is drawn; nothing takes it away. */
  show(name, kind, pane, options, data) {
    if (!data.length) {
      this.drop(name);
      return;
    }
    const { series } = this;
    if (!series.has(name)) series.set(name, { api: this.chart.addSeries(this.library[kind], options, pane), shown: null });
    else series.get(name).api.applyOptions(options);
    const entry = series.get(name), from = entry.shown ? findChange(entry.shown, data) : -1;
    if (from < 0) entry.api.setData(data);
    else for (const item of data.slice(from)) entry.api.update(item);
    entry.shown = data;
  }

  drop(name) {
    const entry = this.series.get(name);
    if (!entry) return;
    if (this.marks?.of === entry.api) this.marks = null;
    this.chart.removeSeries(entry.api);
    this.series.delete(name);
  }
}

/** Return from which item on new data has to be drawn, or -1 where all of it has to: only the last one may be changed. */
function findChange(shown, data) {
  const last = shown.length - 1;
  if (last < 0 || data.length < shown.length || data[0].time !== shown[0].time) return -1;
  for (let index = 0; index < last; index++) if (!isSame(shown[index], data[index])) return -1;
  return data[last].time !== shown[last].time ? -1 : data.length === shown.length && isSame(shown[last], data[last]) ? data.length : last;
}

function isSame(one, other) {
  return one.time === other.time && one.value === other.value && one.close === other.close && one.high === other.high
    && one.low === other.low && one.color === other.color && one.borderColor === other.borderColor;
}

/** Return the time of the last item at or before `at`, or null. */
function findTime(items, at) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].time <= at) low = middle + 1;
    else high = middle;
  }
  return low ? items[low - 1].time : null;
}
