// All metrics as they are known now: of ticks at once, and the rest of it from the snapshot. Numbers stay texts.

import { readName } from "./names.js";

const SLICE = 2_000; // lines of a table that are read before the browser may draw again
// What is asked of the snapshot, and what of a row it is; a tick tells the latter, too, and may be newer.
const KEPT = {
  "state": "state", "source": "source", "price.change_1h": "change_1h", "price.change_24h": "change_24h", "price.rank": "rank", "price.of": "of",
  "price.cv": "cv", "price.coverage": "coverage", "price.stddev": "stddev", "interval_return.stddev": "spread",
};
const TICKED = { "price.value": "price", "interval_volume.value": "volume", "interval_volume.hour_mean": "mean", "interval_return.value": "return" };
export const FIELDS = ["metric", "at", ...Object.keys(KEPT), ...Object.keys(TICKED)];
const UNKNOWN = Object.fromEntries(["at", "ratio", "move", "score", ...Object.values(KEPT), ...Object.values(TICKED)].map((name) => [name, null]));

/** The rows of the overview, by name. */
export class Market {
  constructor() {
    this.rows = new Map();
    this.at = null; // the newest tick
  }

  /** Take in a tick of the stream. */
  takeTick({ at, metrics }) {
    if (this.at !== null && Number(at) < this.at) return;
    this.at = Number(at);
    for (const each of metrics) {
      const row = this.find(each.metric);
      if (row.at !== null && Number(each.at) < row.at) continue;
      Object.assign(row, { at: Number(each.at), price: each.price, volume: each.interval_volume, mean: each.hour_mean, return: each.interval_return });
      const isBack = row.state === "stale" && row.at === this.at, isTraded = row.state === "quiet" && Number(row.volume) > 0;
      if (row.state === null || isBack || isTraded) row.state = "live";
    }
    this.judge();
  }

  /** Take in a snapshot as CSV, a slice at a time; `isOver` tells that nobody wants it any more. */
  async takeTable(text, isOver) {
    const lines = text.split("\n"), columns = splitLine(lines[0]), seen = new Set();
    for (let from = 1; from < lines.length; from += SLICE) {
      if (from > 1) await new Promise((resume) => setTimeout(resume));
      if (isOver()) return seen;
      for (const line of lines.slice(from, from + SLICE)) {
        if (line) seen.add(this.takeLine(columns, splitLine(line, columns.length)));
      }
    }
    this.judge();
    return seen;
  }

  /** Leave out what is no metric of the day any more. */
  keepOnly(names) {
    for (const name of this.rows.keys()) if (!names.has(name)) this.rows.delete(name);
  }

  takeLine(columns, cells) {
    const row = this.find(cells[columns.indexOf("metric")]), written = cells[columns.indexOf("at")], at = written ? Number(written) : null;
    const isNewest = at !== null && (row.at === null || at >= row.at);
    if (isNewest) row.at = at;
    columns.forEach((column, index) => {
      const name = KEPT[column] ?? (isNewest ? TICKED[column] : undefined);
      if (name) row[name] = cells[index] || null;
    });
    if (at !== null) this.at = Math.max(this.at ?? 0, at);
    return row.metric;
  }

  find(metric) {
    let row = this.rows.get(metric);
    if (!row) this.rows.set(metric, (row = { metric, ...readName(metric), ...UNKNOWN }));
    return row;
  }

  /** Work out how far each metric is from what is usual for it. */
  judge() {
    for (const row of this.rows.values()) {
      row.ratio = divide(row.volume, row.mean);
      row.move = row.return === null ? null : Math.abs(divide(row.return, row.spread) ?? 0);
      row.score = row.at !== null && row.at === this.at ? measureScore(row) : null;
    }
  }
}

/**
 * Return how much a metric moves: 0 where neither volume nor price does, 1 in an interval as most are, and high only
 * where both are far above what is usual. Null where neither is known.
 */
export function measureScore({ ratio, move }) {
  if (ratio === null && move === null) return null;
  return Math.sqrt((1 + Math.max(0, ratio ?? 0)) * (1 + (move ?? 0))) - 1;
}

function divide(text, by) {
  if (text === null || text === undefined || by === null || by === undefined) return null;
  const value = Number(text) / Number(by);
  return Number(by) > 0 && Number.isFinite(value) ? value : null;
}

/** Return the cells of a line of CSV. `count` is how many there are: where commas are as many, none is within a cell. */
export function splitLine(line, count = 0) {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  const cells = text.split(",");
  if (cells.length === count && !text.includes('""')) return cells.map((cell) => (cell.startsWith('"') ? cell.slice(1, -1) : cell));
  return [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(([, quoted, plain]) => (quoted === undefined ? plain : quoted.replaceAll('""', '"')));
}
