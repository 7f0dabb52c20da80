// The parts of the system that there are several of, each as a table.

import { make } from "../../app/elements.js";
import { writeSpan, writeTime } from "../../format/times.js";
import { makeState } from "./parts.js";

export function makeSources({ sources }) {
  const rows = Object.entries(sources).map(([name, source]) => [
    name, makeState(source.state), describeSince(source), source.metrics, describeDead(source), describeFilling(source.filling),
    describeCounts(source.rejects), describeTrouble(source), describeMissing(source.missing),
  ]);
  return makeTable("Sources", ["source", "state", "since", "metrics", "dead markets", "past day", "left out since the start", "what is wrong and what to do", "wished for and not given"], rows,
    "No source has reported yet: is the worker running?");
}

export function makeWishes({ wishes }) {
  const rows = Object.entries(wishes).map(([name, reason]) => [name, reason]);
  return rows.length ? makeTable("Metrics that nobody gives", ["in TRACKER_METRICS", "why"], rows) : [];
}

export function makeChannels({ channels }) {
  const rows = Object.entries(channels).map(([name, { kind, failures, until }]) => [
    name, kind, makeState(until === null ? "ok" : "paused"), Number(failures) ? `${failures} in a row` : "none",
    until === null ? "" : `it sends nothing until ${writeTime(until, { second: true })}; alerts wait and are sent then`,
  ]);
  return makeTable("Channels of alerts", ["channel", "kind", "state", "failures", "what is wrong"], rows, "Alerts are sent nowhere: no channel is set. They are on the page all the same.");
}

export function makeRoles({ top }) {
  const rows = Object.entries(top).map(([role, state]) => [
    role, makeState(state.state), state.source ?? "", state.reason ?? "", describePace(state), describeBudget(state),
    state.list_at === null ? "" : `${writeTime(state.list_at)}, ${writeSpan(state.age)} old`,
    state.until === null ? "" : writeTime(state.until, { second: true }), describeCounts(state.faults ?? {}),
  ]);
  return makeTable("Top list", ["role", "state", "provider", "why", "asked every", "budget of the month", "newest list", "asks nothing before", "lists that did not come this month"], rows, "No role of the top list has reported: it is made where the keys of its providers are set.");
}

function makeTable(title, columns, rows, empty = "") {
  if (!rows.length) return [make("h3", {}, title), make("p.muted", {}, empty)];
  // A column without a word in it only takes room.
  const used = columns.map((_, index) => rows.some((row) => row[index] instanceof Node || (row[index] ?? "") !== ""));
  const table = make("table.status-table", {}, make("caption.unseen", {}, title),
    make("thead", {}, make("tr", {}, columns.filter((_, index) => used[index]).map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.filter((_, index) => used[index]).map((cell, index) => make(index ? "td" : "th", index ? {} : { scope: "row" }, cell))))));
  return [make("h3", {}, title), make("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, table)];
}

function describeSince({ since }) {
  return since === null ? "" : writeTime(since, { second: true });
}

function describeDead({ dead }) {
  return Number(dead) ? dead : "";
}

function describeFilling(filling) {
  return filling ? `${filling.done} of ${filling.of} filled` : "";
}

function describeTrouble({ state, reason, advice, retry_at: retry }) {
  if (state === "ok" && !reason) return "";
  const again = retry === null ? "asked again at the next tick" : `asked again at ${writeTime(retry, { second: true })}`;
  return [reason ?? "it does not say why", state === "ok" ? null : again, advice].filter(Boolean).join("; ");
}

function describeMissing(missing) {
  return Object.entries(missing).map(([name, reason]) => `${name}: ${reason}`).join("; ");
}

function describeCounts(counts) {
  return Object.entries(counts).map(([reason, count]) => `${reason}: ${count}`).join(", ");
}

function describePace({ interval, planned }) {
  if (interval === null) return "";
  return planned !== null && planned !== interval ? `${writeSpan(interval)}, planned ${writeSpan(planned)}` : writeSpan(interval);
}

function describeBudget({ used, limit, unit, resets }) {
  if (used === null || limit === null) return "";
  const percent = Number(limit) ? `, ${Math.round((100 * Number(used)) / Number(limit))} %` : "";
  return `${used} of ${limit} ${unit ?? ""}${percent}${resets === null ? "" : `; anew ${writeTime(resets)}`}`;
}
