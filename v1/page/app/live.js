// What happens, as it happens: ticks and alerts of all metrics, by one connection of the whole browser.

import { readExactly } from "../format/numbers.js";
import { locate } from "./api.js";
import { listKeyHeaders, watchKey } from "./session.js";
import { StreamHub } from "./stream-hub.js";

export const STREAM = { events: "tick,alert", measure: "interval_volume" };
const ALIVE = 10_000; // milliseconds
const listeners = { tick: new Set(), alert: new Set(), state: new Set(), gap: new Set() };
const known = { tick: null, state: { state: "connecting", reason: "", since: Date.now() } };
let join = () => {};

/** Connect, and connect anew with each other key. */
export function startLive() {
  const connect = "SharedWorker" in window ? connectShared() : connectAlone();
  join = () => connect(locate("stream", STREAM), listKeyHeaders());
  watchKey(join);
  join();
}

/**
 * Call `listener` at each event: `tick` with `{ at, metrics: [...], missing: [...] }`, `alert` with the alert, `state`
 * with `{ state, reason, since }` of the connection, `gap` when events may have been missed. What is known already comes
 * at once. Numbers are texts. Return what ends that.
 */
export function listen(name, listener) {
  listeners[name].add(listener);
  if (known[name]) listener(known[name]);
  return () => listeners[name].delete(listener);
}

/** Return the newest tick, or null before the first. */
export function readNewestTick() {
  return known.tick;
}

function connectShared() {
  const { port } = new SharedWorker(new URL("./live-worker.js", import.meta.url), { type: "module", name: "data-tracker" });
  port.onmessage = ({ data }) => take(data);
  addEventListener("pagehide", () => port.postMessage({ type: "leave" }));
  // Out of the browser's memory of pages the worker does not know this one any more.
  addEventListener("pageshow", ({ persisted }) => persisted && join());
  setInterval(() => port.postMessage({ type: "alive" }), ALIVE);
  return (url, headers) => port.postMessage({ type: "join", url, headers });
}

function connectAlone() {
  const hub = new StreamHub();
  let leave = () => {};
  return (url, headers) => {
    leave();
    leave = hub.join(url, headers, take);
  };
}

function take(message) {
  if (message.type === "state") {
    if (message.state !== known.state.state) known.state = { state: message.state, reason: message.reason, since: Date.now() };
    tell("state", known.state);
  } else if (message.name === "tick") {
    known.tick = readExactly(message.data);
    tell("tick", known.tick);
  } else if (message.name === "alert") {
    tell("alert", readExactly(message.data));
  } else if (message.name === "gap" || message.name === "lagging") {
    tell("gap", {});
  } else if (message.name === "away" || message.name === "back") {
    take({ type: "state", state: message.name === "away" ? "away" : "open", reason: message.name === "away" ? readExactly(message.data).reason : "" });
  }
}

function tell(name, value) {
  for (const listener of listeners[name]) listener(value);
}
