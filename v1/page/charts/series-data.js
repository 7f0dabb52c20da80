// What is drawn of points whose numbers are texts, and how a gap is left open.

const NOTHING = "rgba(0, 0, 0, 0)";
const HOUR = 3600;

/** Return whether a point, `[at, text or null]`, has a number. */
export function isKnown([, text]) {
  return text !== null && text !== undefined;
}

/**
 * Return a line of points, `[at, text or null]` each, oldest first. The library joins what is known across a gap, and
 * colours the way to a point as it colours the point before it: so the last one before a gap has no colour, and a time
 * that holds nothing keeps its place on the axis.
 */
export function makeLine(points, isGap = (point, next) => !isKnown(next)) {
  return points.map((point, index) => {
    const [at, text] = point, next = points[index + 1];
    if (!isKnown(point)) return { time: Number(at) };
    const made = { time: Number(at), value: Number(text) };
    return next && isGap(point, next) ? { ...made, color: NOTHING } : made;
  });
}

/** Return the points that stand alone between gaps: a line of one point would not be seen. */
export function listLone(points) {
  return points.filter((point, index) => isKnown(point) && !isKnown(points[index - 1] ?? [0, null]) && !isKnown(points[index + 1] ?? [0, null]));
}

/** Return the line without the points of `hourly`, the set of ticks of which one price an hour is known. */
export function withoutHourly(points, hourly) {
  return hourly.size ? points.map(([at, text]) => [at, hourly.has(Number(at)) ? null : text]) : points;
}

/** Return the points of `hourly` with the first known one after each, and a gap where that is more than an hour away. */
export function makeHourlyLine(points, hourly) {
  const known = points.filter(isKnown);
  const shown = known.filter(([at], index) => hourly.has(Number(at)) || (index && hourly.has(Number(known[index - 1][0]))));
  return makeLine(shown, ([at], [next]) => !hourly.has(Number(at)) || Number(next) - Number(at) > HOUR);
}

/** Return candles for the library: hollow where they rise, faint where they are not whole; one of null is a gap. */
export function makeCandles(candles, { up, down, faintUp, faintDown }) {
  return candles.map(({ at, open, high, low, close, isWhole }) => {
    if (close === null) return { time: Number(at) };
    const rises = Number(close) >= Number(open);
    const colour = isWhole === false ? (rises ? faintUp : faintDown) : (rises ? up : down);
    return { time: Number(at), open: Number(open), high: Number(high), low: Number(low), close: Number(close), color: rises ? NOTHING : colour, wickColor: colour, borderColor: colour };
  });
}

/** Return columns of points, `[at, text or null, is rising]` each. */
export function makeColumns(points, { up, down }) {
  return points.map(([at, text, isRising]) => (text === null ? { time: Number(at) } : { time: Number(at), value: Number(text), color: isRising ? up : down }));
}

/** Return how many digits after the point the longest of some texts has, 12 at most. */
export function countPlaces(texts) {
  let places = 0;
  for (const text of texts) {
    const [, fraction = "", exponent = "0"] = /^-?\d+(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
    places = Math.max(places, fraction.length - Number(exponent));
  }
  return Math.min(places, 12);
}
