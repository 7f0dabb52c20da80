// The parts of the system that there is one of, each as a card.

import { make } from "../../app/elements.js";
import { readNewestTick } from "../../app/live.js";
import { isSimulated, measureFilling } from "../../app/reasons.js";
import { writeSpan, writeTime } from "../../format/times.js";

const OVERALL = {
  ready: "Everything is as it should be.",
  degraded: "Ticks are committed and answers can be relied on, with these exceptions:",
  unready: "Answers cannot be relied on:",
};
const CONNECTIONS = { open: "open", connecting: "connecting", closed: "lost, and tried again", away: "open; the store is away", refused: "refused: the key is not accepted" };

/** Return what is wrong in words, or that nothing is. */
export function makeOverall(health, reasons) {
  if (!reasons.length) return make("p.overall", {}, health ? OVERALL.ready : "Asking the API how it does …");
  const heading = !health || reasons[0].text.startsWith("The API") ? "The API does not answer:" : OVERALL[health.status === "ready" ? "ready" : health.status];
  return make("div", {}, make("p.overall", {}, heading), make("ul.reasons", {}, reasons.map(({ level, text }) => make(`li.${level}`, {}, text))));
}

/** Return the cards. */
export function makeParts({ health, lost, connection, now }) {
  return [makeTicks(health, now), makeStore(health, lost), makeConnection(connection), makeArchive(health)];
}

function makeTicks({ tick, sources, replay }, now) {
  const percent = measureFilling({ sources }), newest = readNewestTick();
  const at = newest?.at ?? tick.at, market = replay ? replay.text : isSimulated({ sources }) ? "simulated" : "live";
  return makeCard("Ticks", at === null ? "waiting" : "ok", {
    "newest tick": at === null ? "none yet: is the worker running?" : writeTime(at, { second: true }),
    age: at === null ? null : describeAge(now - Number(at)),
    "one every": writeSpan(tick.interval),
    "metrics in it": newest ? String(newest.metrics.length) : null,
    market,
    "past day": percent === null ? null : `${percent} % filled`,
  });
}

function makeStore({ store, now }, lost) {
  return makeCard("API and Redis", lost ? "away" : store === "ok" ? "ok" : "failing", {
    API: lost ? `does not answer since ${writeTime(lost / 1000, { second: true })}` : "answers",
    Redis: store === "ok" ? "answers" : store,
    "clock of the API": writeTime(now, { second: true }),
    "clock of this device": writeTime(Date.now() / 1000, { second: true }),
  });
}

function makeConnection({ state, reason, since }) {
  return makeCard("Live connection", state === "open" ? "ok" : state, {
    state: CONNECTIONS[state] ?? state,
    why: reason || null,
    since: writeTime(since / 1000, { second: true }),
    shared: "SharedWorker" in window ? "by all tabs of this browser" : "no: this browser cannot",
  });
}

function makeArchive({ archive }) {
  if (!archive) return makeCard("Archive", "waiting", { state: "the worker has said nothing of it yet" });
  return makeCard("Archive", archive.state, {
    "newest hour": archive.newest === null ? "none yet" : writeTime(archive.newest),
    since: archive.since === null ? null : writeTime(archive.since, { second: true }),
    why: archive.reason,
    "tried again": archive.retry_at === null ? null : writeTime(archive.retry_at, { second: true }),
    "what to do": archive.advice,
    "put in order": describeOrdering(archive.ordering),
  });
}

/** Return what is said of a partition of the archive that is rewritten in the order of its key; null: nothing is. */
function describeOrdering(ordering) {
  if (!ordering) return null;
  return ordering.reason === null ? `${ordering.partition} since ${writeTime(ordering.since)}` : `fails: ${ordering.reason}`;
}

/** Return a card of facts; one that is null is left out. */
function makeCard(title, state, facts) {
  const told = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined);
  return make("section.card", {}, make("h3", {}, title, " ", makeState(state)),
    make("dl.facts", {}, told.map(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])));
}

/** Return a state as a tag: a sign and a word, since colours are not seen by everybody. */
export function makeState(state) {
  const kind = state === "ok" ? "good" : ["off", "waiting", "connecting"].includes(state) ? "idle" : "bad";
  return make(`span.tag.${kind}`, {}, `${{ good: "✓", idle: "○", bad: "!" }[kind]} ${state}`);
}

function describeAge(age) {
  return age < -1 ? `lies ${writeSpan(-age)} in the future: a clock is, or was, wrong` : writeSpan(age);
}
