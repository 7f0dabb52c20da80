// Times as people read them, UTC or the zone of this browser. The API knows unix seconds alone.

import { readPreferences } from "../app/preferences.js";

/** Return a time as `2021-05-19 12:59`, with ` UTC` where it is that. */
export function writeTime(seconds, { date = true, zone = true, second = false } = {}) {
  if (seconds === null || seconds === undefined || seconds === "") return "–";
  const isUtc = readPreferences().zone === "utc", at = new Date(Number(seconds) * 1000);
  const shifted = isUtc ? at : new Date(at - at.getTimezoneOffset() * 60_000);
  const text = shifted.toISOString().slice(date ? 0 : 11, second ? 19 : 16).replace("T", " ");
  return zone && isUtc ? `${text} UTC` : text;
}

/** Return the unix seconds of what a field of a date and a time holds (`2021-05-19T12:59`), in the zone that times are shown in. */
export function readFieldTime(value) {
  return Math.floor(new Date(readPreferences().zone === "utc" ? `${value}Z` : value) / 1000);
}

/** Return how long something lasts or is ago: 12 s, 5 min, 3 h, 4 d. */
export function writeSpan(seconds) {
  const span = Math.max(0, Math.round(Number(seconds)));
  if (span < 120) return `${span} s`;
  if (span < 7200) return `${Math.floor(span / 60)} min`;
  return span < 172_800 ? `${Math.floor(span / 3600)} h` : `${Math.floor(span / 86_400)} d`;
}
