// What a rule means, in a plain sentence made of its fields.

import { writeExact } from "../../format/numbers.js";
import { writeSpan } from "../../format/times.js";
import { KINDS } from "./kinds.js";

const MEASURES = KINDS.ratio.fields[0].options;
const WAYS = { both: "moves", up: "rises", down: "falls" };
const SIDES = { both: "above or below", up: "above", down: "below" };
const EVENTS = { both: "enters or leaves", enters: "enters", leaves: "leaves" };

/** Return what a rule of the API tells, and how often it may. */
export function explainRule(rule) {
  const held = Number(rule.for) ? `, for ${writeLength(rule.for)}` : "";
  const cooldown = Number(rule.cooldown) ? `At most once in ${writeLength(rule.cooldown)} for each metric` : "Each time";
  const step = Number(rule.cooldown) && Number(rule.step) ? `, sooner when it is ${writeExact(rule.step)} × as far` : "";
  return `Tells when ${describe(rule)}${held}. ${cooldown}${step}.${describeMute(rule)}`;
}

function describe(rule) {
  const of = rule.metrics === "*" ? "any metric" : rule.metrics, measure = `the ${MEASURES[rule.measure] ?? rule.measure} of ${of}`;
  const window = writeLength(rule.window ?? 0);
  const kinds = {
    ratio: () => `${measure} is more than ${writeExact(rule.factor)} × its mean of the ${window} before`,
    threshold: () => `${measure} is ${rule.above === null ? `below ${writeExact(rule.below)}` : `above ${writeExact(rule.above)}`}`,
    change: () => `${measure} ${WAYS[rule.direction]} by more than ${writeExact(rule.percent)} % ${rule.since === "start" ? "from the first value" : "from the lowest or highest value"} of the ${window} before`,
    deviation: () => `${measure} is more than ${writeExact(rule.score)} standard deviations ${SIDES[rule.direction]} its mean of the day before`,
    rank: () => `${of} ${EVENTS[rule.event]} the first ${rule.top} places by the ${rule.by === "cv" ? "coefficient of variation" : "standard deviation"} of the ${MEASURES[rule.measure] ?? rule.measure}`,
    stale: () => `${of} has had no sample for ${rule.intervals} ticks`,
    frozen: () => `the price of ${of} stands still for ${window} though volume trades, or the provider's own time does`,
  };
  return kinds[rule.kind]?.() ?? `a rule of the kind ${rule.kind} holds for ${of}`;
}

function describeMute({ mute }) {
  return mute ? ` Not sent from ${mute.start.slice(0, 5)} to ${mute.end.slice(0, 5)} ${mute.zone}.` : "";
}

/** Return the seconds of a length as it is typed: 90, 90s, 15m, 1h, 1d; NaN where it is none. */
export function readLength(written) {
  const [, count, unit = "s"] = /^(\d+)([smhd]?)$/.exec(String(written)) ?? [];
  return count === undefined ? NaN : Number(count) * { "": 1, s: 1, m: 60, h: 3600, d: 86400 }[unit];
}

/** Return a length in seconds in its largest whole unit: 90 min, 1 h. */
export function writeLength(seconds) {
  const count = Number(seconds);
  const [name, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, each]) => count && count % each === 0) ?? [];
  return name ? `${count / size} ${name}` : writeSpan(count);
}
