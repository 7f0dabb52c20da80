// The mean of the hour before each sample, which is what the rules of a ratio compare with.

import { isKnown } from "../../charts/series-data.js";

const HOUR = 3600;
export const FACTOR = 3; // of the rules that there are by default

/**
 * Return the mean of [at - 1 h, at) at each point, as `[at, mean or null]`. Before `from` nothing is known: a mean is
 * null until an hour lies behind it, and where there is no sample. It is drawn, not told: the mean that is told is the one that the API answers.
 */
export function makeHourMeans(points, from) {
  let first = 0, sum = 0, count = 0;
  return points.map(([at], index) => {
    if (index && isKnown(points[index - 1])) {
      sum += Number(points[index - 1][1]);
      count += 1;
    }
    for (; Number(points[first][0]) < Number(at) - HOUR; first++) {
      if (!isKnown(points[first])) continue;
      sum -= Number(points[first][1]);
      count -= 1;
    }
    return [at, count && isKnown(points[index]) && Number(at) - HOUR >= from ? sum / count : null];
  });
}

/**
 * Return the two lines of a band: the mean, and so many times it. Where `isFree` the second one does not stretch the
 * axis: three times a price is far above it.
 */
export function makeBand(points, from, { isBelow = false, isFree = false }) {
  const means = makeHourMeans(points, from);
  return [
    { name: `mean ${isBelow}`, isBelow, isDashed: false, points: means },
    { name: `factor ${isBelow}`, isBelow, isDashed: true, isFree, points: means.map(([at, mean]) => [at, mean === null ? null : FACTOR * mean]) },
  ];
}
