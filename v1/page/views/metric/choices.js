// What can be chosen of the view of a metric, and what an address that says less, or something else, comes to.

const DAY = 86400;

export const MEASURES = {
  price: "price", volume: "volume of 24 h", interval_volume: "interval volume", interval_return: "interval return, %",
  change_percentage: "change of 24 h, %", change_absolute: "change of 24 h",
};
export const AMOUNTS = new Set(["volume", "interval_volume"]);

/** How far a chart goes back, in seconds; null is as far as anything is known. */
export const RANGES = { "1h": 3600, "6h": 6 * 3600, "1d": DAY, "1w": 7 * DAY, "1mo": 30 * DAY, "1y": 365 * DAY, all: null };
export const RANGE_NAMES = { "1h": "1 h", "6h": "6 h", "1d": "1 day", "1w": "1 week", "1mo": "1 month", "1y": "1 year", all: "all" };
export const LENGTHS = { "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 4 * 3600, "1d": DAY, "1w": 7 * DAY };
export const SAMPLES = "samples";
export const RANK = "rank"; // drawn is not the measure, but the place of the metric among all by how much it moves

const SHORT = [SAMPLES, "1m", "5m", "15m", "30m", "1h"];
const INTERVALS = { "1h": SHORT, "6h": SHORT, "1d": SHORT, "1w": ["1h", "4h", "1d"], "1mo": ["1h", "4h", "1d"], "1y": ["4h", "1d", "1w"], all: ["1d", "1w"] };
const USUAL = { "1h": "1m", "6h": "5m", "1d": "15m", "1w": "1h", "1mo": "4h", "1y": "1d", all: "1d" };

/**
 * Return what an address asks for: `{ measure, style, range, interval }`, with `refused`, the names in it that are not
 * known or do not fit. `tick` is the seconds between two samples, or null while that is not known.
 */
export function readChoice(query, tick = null) {
  const refused = [];
  const pick = (name, accepted, usual) => {
    const asked = query.get(name);
    if (asked === null || accepted.includes(asked)) return asked ?? usual;
    refused.push({ name, asked, accepted });
    return usual;
  };
  const measure = pick("measure", Object.keys(MEASURES), "price");
  const range = pick("range", listRanges(measure), "1d");
  const style = pick("style", isShort(range) ? [...listStyles(measure), RANK] : listStyles(measure), "line");
  const interval = pick("interval", listIntervals({ measure, range, style }, tick), style !== "candles" && isShort(range) ? SAMPLES : usualLength(range, tick));
  return { measure, style, range, interval, refused };
}

/** Return how far a measure can be shown: the archive keeps prices, with the volume of each hour. */
export function listRanges(measure) {
  return Object.keys(RANGES).filter((range) => measure === "price" || isShort(range));
}

function listStyles(measure) {
  return measure === "price" ? ["line", "candles"] : ["line"];
}

/** Return how long a point may stand for. A candle is a multiple of the seconds between two samples. */
export function listIntervals({ measure, range, style }, tick = null) {
  if (measure !== "price" || style === RANK) return [SAMPLES];
  return INTERVALS[range].filter((name) => (name === SAMPLES ? style === "line" : !tick || LENGTHS[name] % tick === 0));
}

/** Return whether a range lies within the kept day. */
export function isShort(range) {
  return RANGES[range] !== null && RANGES[range] <= DAY;
}

/** Return the next range of a measure that is longer than so many seconds, or null. */
export function findLonger({ measure, range, style }, seconds) {
  const ranges = listRanges(measure).filter((name) => style !== RANK || isShort(name)), longer = ranges.slice(ranges.indexOf(range) + 1);
  return longer.find((name) => RANGES[name] === null || RANGES[name] > seconds) ?? null;
}

function usualLength(range, tick) {
  const fitting = INTERVALS[range].filter((name) => name !== SAMPLES && (!tick || LENGTHS[name] % tick === 0));
  return fitting.includes(USUAL[range]) ? USUAL[range] : fitting[0];
}
