// What is known of a metric now, in words and exact digits.

import { make } from "../../app/elements.js";
import { judgeChange, writeAmount, writeExact, writePercent, writePrice, writeRatio, writeShort } from "../../format/numbers.js";
import { writeSpan, writeTime } from "../../format/times.js";
import { MEASURES } from "./choices.js";

const STATES = {
  live: ["live", "samples come as they should"],
  stale: ["stale", "no sample came with the newest ticks; the source may be down, or does not list it any more"],
  quiet: ["quiet", "the provider's time moves, and nothing is traded"],
  frozen: ["frozen", "samples come, and the price, or the provider's own time, stands still"],
  halted: ["halted", "the provider says that the market does not trade now"],
  delisted: ["delisted", "the provider no longer lists it; its samples stay, and it has no rank"],
  dead: ["dead", "its source lists this market as dead"],
};

/** Return the head of the view: price and change of 24 hours. */
export function makeHeadline({ measures: { price, change_percentage: change } }) {
  return [
    make("span.price", { title: writeExact(price.value) }, writePrice(price.value)),
    make(`span.${judgeChange(change.value)}`, { title: `${writeExact(change.value)} % in 24 hours` }, writePercent(change.value)),
    make("span.muted", {}, "in 24 h"),
  ];
}

/** Return since when and why a metric is in its state, where that was noted. */
function tellReason({ state_since: since, state_reason: reason }) {
  return since === null ? "" : `; since ${writeTime(since, { second: true })}: ${reason}`;
}

/** Return a list of facts. `places` are the ranks of the measure, by `stddev` and by `cv`, null where it has none. */
export function makeFacts(detail, measure, places) {
  const shown = detail.measures[measure], [state, why] = STATES[detail.state] ?? [detail.state, ""];
  const { interval_volume: traded, interval_return: moved } = detail.measures;
  const facts = [
    ["State", make("span.tag", { dataset: { state } }, state), ` ${why}${tellReason(detail)}`],
    ["Newest sample", `${writeTime(detail.at, { second: true })}, ${writeSpan(detail.age)} old`],
    ["Provider's own time", detail.provider_time === null ? "the provider does not say" : `${writeTime(detail.provider_time, { second: true })}, ${compare(detail)}`],
    ["Source", detail.received_time === null ? detail.source : `${detail.source}, its answer was here at ${writeTime(Math.floor(detail.received_time), { second: true })}`],
    ["The day", `${writeExact(detail.day.samples)} of ${writeExact(detail.day.expected)} samples, ${percent(detail.day.coverage)} %`],
    ["Interval volume", number(traded.value, writeAmount), " against its hour mean: ", ratio(traded)],
    ["Interval return", make(`span.${judgeChange(moved.value)}`, { title: exact(moved.value) }, writePercent(moved.value, 3))],
    [`Hour mean of ${MEASURES[measure]}`, number(shown.hour_mean, writeShort), ` of ${shown.hour_samples} samples`],
    ["Standard deviation of the day", number(shown.stddev, writeShort), `, coefficient of variation ${writeShort(shown.cv, 4)}`],
    [`Rank by ${MEASURES[measure]}`, `${place(places.stddev)} by deviation, ${place(places.cv)} by coefficient of variation`],
  ];
  return facts.map(([name, ...words]) => make("div", {}, make("dt", {}, name), make("dd", {}, words)));
}

function number(text, write) {
  return make("span", { title: exact(text) }, write(text));
}

function exact(text) {
  return text === null ? "not known" : writeExact(text);
}

function place(rank) {
  return rank ? `${rank.rank} of ${rank.of}` : "not ranked";
}

function ratio({ value, hour_mean: mean }) {
  return value !== null && mean !== null && Number(mean) > 0 ? writeRatio(String(Number(value) / Number(mean))) : "not known";
}

function percent(coverage) {
  return String(Math.floor(1000 * Number(coverage)) / 10);
}

function compare({ at, provider_time: own }) {
  const behind = Number(at) - Number(own);
  return behind < 0 ? `${writeSpan(-behind)} after the tick` : `${writeSpan(behind)} before the tick`;
}
