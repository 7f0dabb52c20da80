// Why there is no list of a minute, for people: the API writes times as unix seconds.

import { writeTime } from "../../format/times.js";

const SECONDS = /\b1\d{9}\b/g;

/** Return a sentence with its times as people read them. */
export function explainTimes(text) {
  const written = String(text).replace(SECONDS, (at) => writeTime(at));
  return written.charAt(0).toUpperCase() + written.slice(1);
}

/** Return the times of the lists that are nearest to the one that is not there, as texts. */
export function listNearest(error) {
  const [, nearest = ""] = /nearest: (.*)$/.exec(error.message) ?? [];
  return nearest.match(SECONDS) ?? [];
}
