// Asks for what a chart shows: the samples of the kept day, or candles, which go on into the archive without a seam.

import { ask, locate, quote } from "../../app/api.js";
import { LENGTHS, RANGES, RANK, SAMPLES, isShort } from "./choices.js";

const DAY = 86400, MINUTE = 60, MOST = 9_900;

/** Return what is known of a metric now. Raises `Unanswered`. */
export function askDetail(metric, options) {
  return ask(`metrics/${quote(metric)}`, {}, { cache: "no-cache", ...options });
}

/** Return the seconds between two samples. */
export function readTick(detail) {
  return detail ? DAY / Number(detail.day.expected) : null;
}

/** Return how far apart points are that samples and a provider's candles of a minute both meet. */
export function findStep(tick) {
  let step = tick;
  while (step % MINUTE) step += tick;
  return step;
}

/**
 * Return the question behind a chart: `{ path, query }`, as its CSV, its JSON and `curl` ask it, too. `newest` is the
 * tick up to which it goes. An hour is shown sample by sample, with the hour before it, of which its means are.
 */
export function makeQuestion(metric, { measure, range, interval, style }, tick, newest) {
  if (style === RANK) return { path: `metrics/${quote(metric)}/rank-history`, query: { measure, from: newest - DAY } };
  if (interval !== SAMPLES) {
    const length = LENGTHS[interval], span = Math.min(RANGES[range] ?? Infinity, MOST * length);
    return { path: `metrics/${quote(metric)}/candles`, query: { interval, from: isShort(range) ? newest - DAY : newest - span } };
  }
  const isFine = range === "1h" && tick % MINUTE !== 0;
  const query = isFine ? { measure, step: tick, from: newest - 2 * RANGES["1h"] } : { measure, step: findStep(tick) };
  return { path: `metrics/${quote(metric)}/history`, query };
}

/** Return the address of a question in a format, `csv` or none for JSON. */
export function locateQuestion({ path, query }, format = "") {
  return locate(format ? `${path}.${format}` : path, format ? { ...query, time: "iso" } : query);
}

/**
 * Return a series: `{ points, candles, volume, hourly, from, step }`, oldest first, numbers as texts, null where there
 * is no sample. `after` asks only for what is from then on. Raises `Unanswered`.
 */
export async function askSeries(question, choice, { after = null, signal } = {}) {
  const asked = after === null ? question.query : { ...question.query, from: after };
  const options = { signal, cache: "no-cache", longest: 30_000 };
  if (choice.style === RANK) return askRanks(question.path, asked, options);
  return choice.interval === SAMPLES ? askSamples(question.path, asked, options) : askCandles(question.path, asked, options);
}

/** Return places as a series, with how many metrics were ranked at each tick; where the worker was away is a gap. */
async function askRanks(path, query, options) {
  const { places, from, step } = await ask(path, query, options), length = Number(step);
  const points = places.flatMap(({ at, rank }, index) => {
    const before = index ? Number(places[index - 1].at) : Number(at);
    return Number(at) - before >= 2 * length ? [[String(before + length), null], [at, rank]] : [[at, rank]];
  });
  return { points, candles: null, step: length, from: Number(from), hourly: new Set(), volume: [], of: new Map(places.map(({ at, of }) => [at, of])) };
}

async function askSamples(path, query, options) {
  const read = (measure) => ask(path, { ...query, measure, fill: "null" }, options);
  const hasVolume = query.measure !== "interval_volume";
  const [main, volume] = await Promise.all([read(query.measure), hasVolume ? read("interval_volume") : null]);
  const values = new Map(main.points);
  const known = volume?.points.some(([, text]) => text !== null) ?? false;
  return {
    points: main.points, candles: null, step: Number(query.step), from: Number(main.kept_from),
    hourly: new Set(main.hourly.map(Number)),
    volume: known ? volume.points.map(([at, text], index) => [at, text, isRising(values, volume.points, index)]) : [],
  };
}

async function askCandles(path, query, options) {
  const answer = await ask(path, query, options), step = LENGTHS[answer.interval];
  const candles = fillGaps(answer.candles.map((candle) => ({ ...candle, at: candle.start })), step);
  return {
    points: candles.map(({ at, close }) => [at, close]), candles, step, from: Number(answer.from), hourly: new Set(),
    volume: candles.some(({ volume }) => volume !== null) ? candles.map(({ at, volume, open, close }) => [at, volume, Number(close) >= Number(open)]) : [],
  };
}

/** Return series that are one: what is newer takes the place of what was there. */
export function join(old, newer) {
  const first = newer.points[0]?.[0];
  if (first === undefined) return old;
  const append = (before, after) => [...before.filter(([at]) => Number(at) < Number(first)), ...after];
  return {
    ...old,
    points: append(old.points, newer.points),
    candles: old.candles && [...old.candles.filter(({ at }) => Number(at) < Number(first)), ...newer.candles],
    volume: newer.volume.length ? append(old.volume, newer.volume) : old.volume,
    hourly: new Set([...old.hourly, ...newer.hourly]),
    of: old.of && new Map([...old.of, ...newer.of]),
  };
}

/** Return candles with one of null for each that is missing between two. */
function fillGaps(candles, step) {
  const filled = [];
  for (const candle of candles) {
    const last = filled.at(-1);
    for (let at = Number(last?.at ?? candle.at) + step; at < Number(candle.at); at += step) {
      filled.push({ at: String(at), open: null, high: null, low: null, close: null, volume: null, samples: "0", coverage: "0", isWhole: true });
    }
    filled.push({ ...candle, isWhole: candle.complete || Number(candle.coverage) >= 1 });
  }
  return filled;
}

function isRising(values, points, index) {
  const now = values.get(points[index][0]), before = index ? values.get(points[index - 1][0]) : null;
  return !now || !before || Number(now) >= Number(before);
}
