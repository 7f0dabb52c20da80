// What a chart says in words: its summary for a screen reader, single points, and what its lines and gaps mean.

import { isKnown } from "../../charts/series-data.js";
import { writeExact, writeShort } from "../../format/numbers.js";
import { writeTime } from "../../format/times.js";
import { MEASURES, RANGE_NAMES, RANK, SAMPLES } from "./choices.js";
import { FACTOR } from "./means.js";
import { describeSlot, findRun } from "./slots.js";

const WHOSE = {
  exchange: ["the exchange's own candle"], sampled: ["of sampled prices"], mixed: ["partly the exchange's own, partly of sampled prices"],
};

/** Return the summary of a chart. */
export function summarize(metric, { measure, interval, style }, series) {
  if (style === RANK) return summarizeRanks(metric, measure, series);
  const known = series.points.filter(isKnown), values = known.map(([, text]) => Number(text));
  const name = interval === SAMPLES ? `${metric}, ${MEASURES[measure]}` : `${metric}, ${MEASURES[measure]} by ${interval}`;
  if (!known.length) return `${name}: no samples`;
  const hours = series.hourly.size ? `, ${series.hourly.size} of them one for an hour` : "";
  const filled = known.filter(([at]) => findRun(series.slots, Number(at))?.state === "filled").length;
  const after = filled ? `; ${filled} filled afterwards` : "";
  const noun = interval === SAMPLES ? "samples" : "candles", low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  return `${name}: ${known.length} ${noun}${hours}, ${series.points.length - known.length} missing, from ${writeShort(String(low))} to ${writeShort(String(high))}${after}`;
}

/** Return what a point says: its time and its number in all digits, and what else is known of that time. */
export function describePoint(series, index, { style, said = [] }) {
  const at = index ?? series.points.length - 1, [time, text] = series.points[at] ?? [];
  if (time === undefined || !series.points.some(isKnown)) return style === RANK ? "no rank is kept of the time that is shown" : "no samples in the time that is shown";
  const words = series.candles ? describeCandle(series, at, style) : [style === RANK ? describeRank(series, time, text) : text === null ? "no sample" : writeExact(text)];
  const hourly = series.hourly.has(Number(time)) ? ["the one price known of this hour"] : [];
  const traded = series.volume[at]?.[1];
  const volume = traded === null || traded === undefined ? [] : [`volume ${writeExact(traded)}`];
  const slot = describeSlot(series.slots, Number(time));
  return `${writeTime(time, { second: Number(time) % 60 !== 0 })}: ${[...words, ...hourly, ...volume, ...slot].join(", ")}${said.map((each) => `; ${each}`).join("")}`;
}

/** Return sentences about what is drawn. */
export function explainChart({ measure, interval, range, style }, series, { hasBand, hasOlder }) {
  if (style === RANK) return [`The place of this metric among all by how much the ${MEASURES[measure].replace(", %", "")} moved over 24 hours (standard deviation), at one tick of each quarter of an hour; 1, on top, moves most. Gaps are times without a rank.`, `Shown: ${RANGE_NAMES[range]}.`];
  const unit = interval === SAMPLES ? "" : style === "candles" ? `A candle is ${interval} long; hollow ones rise, filled ones fall. ` : `A point is the last price of ${interval}, a column their volume. `;
  const isVolumeBand = measure === "interval_volume" || series.volume.length > 0;
  return [
    series.hourly.size ? `Dashed: ${series.hourly.size} hours of which one price is known, that of their end; the source keeps no minutes that old.` : null,
    hasBand && isVolumeBand
      ? `Dotted: the mean of the hour before each point. Long dashes: ${FACTOR} × that mean; an interval volume above them is more than ${FACTOR} × what is usual for the hour, which is what the rules of the kind ratio tell.`
      : hasBand ? `Dotted: the mean of the hour before each point; ${FACTOR} × it is drawn in long dashes where it comes near.` : null,
    `${unit}Gaps are times without a sample.${style === "candles" && series.candles.some(({ isWhole }) => !isWhole) ? " Faint candles are not whole: part of their time is not known, or not over." : ""}`,
    style === "candles" ? explainKinds(series.candles) : null,
    `Shown: ${RANGE_NAMES[range]}.${hasOlder ? " Zoom out or go left beyond the first point for more of the past." : ""}`,
  ].filter(Boolean);
}

function summarizeRanks(metric, measure, series) {
  const known = series.points.filter(isKnown), places = known.map(([, text]) => Number(text)), name = `${metric}, rank by ${MEASURES[measure]}`;
  if (!known.length) return `${name}: no rank is kept`;
  return `${name}: ${known.length} places, from ${places.reduce((a, b) => Math.min(a, b))} to ${places.reduce((a, b) => Math.max(a, b))}, now ${describeRank(series, ...known.at(-1))}`;
}

function describeRank(series, time, text) {
  return text === null ? "no rank" : `rank ${text} of ${series.of.get(time)}`;
}

function describeCandle(series, at, style) {
  const { open, high, low, close, samples, coverage } = series.candles[at];
  if (close === null) return ["no sample"];
  const part = Number(coverage) >= 1 ? "" : `, ${Math.floor(100 * Number(coverage))} % of its time known`;
  const kind = style === "candles" ? WHOSE[series.candles[at].kind] ?? [] : [];
  const numbers = style === "candles" ? `open ${writeExact(open)}, high ${writeExact(high)}, low ${writeExact(low)}, close ${writeExact(close)}` : writeExact(close);
  return [`${numbers}, ${samples} ${samples === "1" ? "sample" : "samples"}${part}`, ...kind];
}

/** Return whose highs and lows are drawn, a sentence; null where nothing is. */
function explainKinds(candles) {
  const known = candles.filter(({ kind }) => kind), told = known.filter(({ kind }) => kind === "exchange").length;
  if (!known.length) return null;
  if (told === known.length) return "All are the exchange's own candles: highs and lows of every trade.";
  const own = "highs and lows of sampled prices, between which the exchange may have traded higher or lower";
  return told ? `${told} of ${known.length} are the exchange's own candles, with highs and lows of every trade; the others have ${own}.` : `Not the exchange's own candles: ${own}.`;
}
