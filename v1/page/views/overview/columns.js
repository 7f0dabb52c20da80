// The columns of the overview: what is drawn in each, and by which number it is sorted.

import { readNow } from "../../app/clock.js";
import { judgeChange, writeAmount, writeExact, writePercent, writePrice, writeRatio, writeShort } from "../../format/numbers.js";
import { writeSpan, writeTime } from "../../format/times.js";

const FAR = 3, ABOVE = 1.5; // times a mean
const STATES = { live: 0, quiet: 1, frozen: 2, stale: 3, halted: 4, delisted: 5, dead: 6 };

/**
 * Each has a `title`, `sort(row)`: a number, a text, or null where nothing is known, and `draw(row)`: `{ text, title,
 * className }`. `first` is the order of the first click. Pin, name and line are drawn by the row itself.
 */
export const COLUMNS = {
  pin: { title: "Pin", first: "desc" },
  name: { title: "Metric", first: "asc", sort: (row) => row.metric },
  price: { title: "Price", first: "desc", sort: (row) => toNumber(row.price), draw: (row) => ({ text: writePrice(row.price), title: explain(row, row.price) }) },
  hour: { title: "1 h", help: "Change of the last hour", first: "desc", sort: (row) => toNumber(row.change_1h), draw: (row) => drawChange(row.change_1h) },
  day: { title: "24 h", help: "Change of 24 hours", first: "desc", sort: (row) => toNumber(row.change_24h), draw: (row) => drawChange(row.change_24h) },
  line: { title: "Day" },
  volume: { title: "Volume", help: "Traded since the sample before", first: "desc", sort: (row) => toNumber(row.volume), draw: (row) => ({ text: writeAmount(row.volume), title: explain(row, row.volume) }) },
  ratio: { title: "× mean", help: "Volume of the interval against its mean of the hour before", first: "desc", sort: (row) => row.ratio, draw: drawRatio },
  score: { title: "Score", help: "How far volume and price are from what is usual", first: "desc", sort: (row) => row.score, draw: drawScore },
  rank: { title: "Rank", help: "Place by the deviation of the price over the day", first: "asc", sort: (row) => toNumber(row.rank), draw: (row) => ({ text: row.rank === null ? "–" : `${row.rank} of ${row.of}`, title: row.stddev === null ? "" : `deviation ${writeExact(row.stddev)}` }) },
  cv: { title: "CV", help: "Coefficient of variation of the price over the day", first: "desc", sort: (row) => toNumber(row.cv), draw: (row) => ({ text: row.cv === null ? "–" : writeShort(row.cv, 3), title: row.cv === null ? "not known" : writeExact(row.cv) }) },
  state: { title: "State", help: "Whether samples come as they should, and how old the newest is", first: "desc", sort: (row) => (row.state === null ? null : STATES[row.state] * 1e10 - (row.at ?? 0)), draw: drawState },
  coverage: { title: "Known", help: "Samples of the day, of those that there could be", first: "asc", sort: (row) => toNumber(row.coverage), draw: (row) => ({ text: row.coverage === null ? "–" : `${Math.floor(100 * Number(row.coverage))} %`, title: row.coverage ?? "not known" }) },
};

/** Return the number of a text, or null where there is none. */
export function toNumber(text) {
  return text === null || text === undefined ? null : Number(text);
}

function drawChange(text) {
  return { text: writePercent(text), title: text === null ? "not known" : `${writeExact(text)} %`, className: judgeChange(text) };
}

function drawRatio({ ratio, mean }) {
  if (ratio === null) return { text: "–", title: "not known" };
  return { text: writeRatio(ratio), title: `${writeExact(String(ratio))} × the mean of ${writeExact(mean)}`, className: ratio >= FAR ? "far" : ratio >= ABOVE ? "above" : "" };
}

function drawScore({ score, move, ratio }) {
  if (score === null) return { text: "–", title: "not known" };
  const words = [ratio === null ? "no volume known" : `volume ${writeRatio(ratio)}`, move === null ? "no change known" : `change ${move.toFixed(2)} × its spread`];
  return { text: score.toFixed(1), title: words.join(", "), className: score >= FAR ? "far" : "" };
}

function drawState({ state, at, source }) {
  if (state === null) return { text: "–", title: "not known" };
  const age = at === null ? "" : writeSpan(readNow() - at);
  return { text: state === "live" ? age : [state, age].filter(Boolean).join(", "), title: `${state}; newest sample ${writeTime(at, { second: true })}${source ? ` from ${source}` : ""}`, className: state };
}

function explain({ at }, text) {
  return text === null ? "not known" : `${writeExact(text)}, ${writeTime(at, { second: true })}`;
}
