// What became of each slot of the day: which samples were filled afterwards or came late, and why others are missing.

import { ask, quote } from "../../app/api.js";

const REASONS = {
  waited: "written late, because the store did not take it in time",
  candles: "filled afterwards from the source's candles",
  archive: "filled afterwards from the archive",
  unknown: "filled afterwards, or not: the record of how it came is lost",
  not_asked: "no source was asked for it",
  not_running: "no worker ran",
  behind: "left out, because commits took longer than the interval",
  clock: "left out, because the machine's clock was wrong",
  dropped: "read, and lost while the store was away",
  no_answer: "the source did not answer",
  refused: "the source refused to answer",
  invalid_response: "the source's answer could not be read",
  rejected: "the reading could not be so and was left out",
  not_given: "the source answered without it",
};

/** Return the runs of slots that are not as they should be, `{ from, until, state, reason }`. Raises `Unanswered`. */
export async function askSlots(metric, options) {
  const { runs } = await ask(`metrics/${quote(metric)}/gaps`, {}, { cache: "no-cache", ...options });
  return runs.filter(({ state }) => state !== "ok").map((run) => ({ ...run, from: Number(run.from), until: Number(run.until) }));
}

/** Return the run that a tick lies in, or undefined where its slot is as it should be. */
export function findRun(runs, at) {
  return runs.find(({ from, until }) => from <= at && at <= until);
}

/** Return what a slot says beside its number: nothing where it is as it should be, or nothing says why it is not. */
export function describeSlot(runs, at) {
  const run = findRun(runs, at);
  return run && run.reason in REASONS ? [REASONS[run.reason]] : [];
}

/** Return the points, `[at, is filled]`, for the bar below a line: 1 filled, 0.5 late, null neither. */
export function makeSlotBar(points, runs) {
  const heights = { filled: "1", late: "0.5" };
  return points.map(([at, text]) => [at, text === null ? null : heights[findRun(runs, Number(at))?.state] ?? null]);
}

/** Return the sentence about the bar, or null where there is none. */
export function explainSlots(points, runs) {
  const count = (state) => points.filter(([at, text]) => text !== null && findRun(runs, Number(at))?.state === state).length;
  const filled = count("filled"), late = count("late");
  const parts = [filled ? `${filled} samples that were filled afterwards (high)` : "", late ? `${late} that were written late (low)` : ""].filter(Boolean);
  return parts.length ? `Bar at the lower edge: ${parts.join(", ")}; each point says why.` : null;
}
