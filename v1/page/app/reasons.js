// What a person has to know before trusting what is shown, in words.

import { writeSpan, writeTime } from "../format/times.js";

const PATIENCE = 5; // seconds that a live connection may be lost before that is told

/**
 * Return what is wrong, worst first, each as `{ level, text }`; a level is `trouble`, `warning` or `note`. `lost` is since
 * when the API does not answer, `connection` what became of the live one, `now` the time; all in milliseconds.
 */
export function listReasons({ health, lost, connection, clockError, now }) {
  if (lost) {
    const shown = health ? "What is shown is what it said before." : "There is nothing to show before it does.";
    return [{ level: "trouble", text: `The API does not answer since ${writeTime(lost / 1000, { second: true })}. ${shown} It is asked again every few seconds; see whether it runs.` }];
  }
  if (!health) return [];
  const level = health.status === "unready" ? "trouble" : "warning";
  return [
    ...health.reasons.map((reason) => ({ level, text: capitalise(reason) })),
    ...describeConnection(connection, now),
    ...describeClock(clockError),
    ...describeMarket(health),
    ...describeFilling(health),
  ];
}

/** Return how far the fill of the past day is, in percent, or null where none is going on. */
export function measureFilling(health) {
  const fills = Object.values(health.sources).map(({ filling }) => filling).filter(Boolean);
  const sum = (name) => fills.reduce((total, fill) => total + Number(fill[name]), 0);
  return fills.length ? Math.floor(100 * sum("done") / Math.max(1, sum("of"))) : null;
}

/** Return whether the market is made up by the worker. */
export function isSimulated(health) {
  return Object.keys(health.sources).includes("simulated");
}

function describeConnection({ state, reason, since }, now) {
  if (!["closed", "connecting"].includes(state) || now - since < PATIENCE * 1000) return [];
  const why = reason ? ` (${reason})` : "";
  return [{ level: "warning", text: `The live connection is lost${why} for ${writeSpan((now - since) / 1000)}. It is tried again; until then numbers here may be old.` }];
}

function describeClock(error) {
  if (error === null) return [];
  const text = `The clock of this device is ${writeSpan(Math.abs(error))} ${error > 0 ? "ahead of" : "behind"} the server's. Ages are counted by the server's; set the one that is wrong.`;
  return [{ level: "warning", text }];
}

function describeMarket(health) {
  if (health.replay) {
    const text = capitalise(health.replay.text);
    return health.reasons.some((reason) => capitalise(reason) === text) ? [] : [{ level: "note", text: `${text}.` }];
  }
  return isSimulated(health) ? [{ level: "note", text: "The market is simulated: no number here is a real one." }] : [];
}

function describeFilling(health) {
  const percent = measureFilling(health);
  return percent === null ? [] : [{ level: "note", text: `Filling the past day: ${percent} %.` }];
}

function capitalise(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
