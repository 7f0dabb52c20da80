// What happens, as it happens: ticks and alerts of all metrics, by one connection of the whole browser.

import { readExactly } from "../format/numbers.js";
import { locate } from "./api.js";
import { readCaller, refreshCaller, watchCaller } from "./caller.js";
import { listKeyHeaders, readKey } from "./session.js";
import { StreamHub } from "./stream-hub.js";

export const STREAM = { events: "tick,alert", measure: "interval_volume" };
const ALIVE = 10_000; // milliseconds
const listeners = { tick: new Set(), alert: new Set(), state: new Set(), gap: new Set() };
const known = { tick: null, state: { state: "connecting", reason: "", since: Date.now() } };
let hold = { join() {}, leave() {}, wake() {} };
let joined = null; // the key that the connection was made with

/** Connect, and connect anew with each other key. Nothing is asked while a key is wanted. */
export function startLive() {
  hold = "SharedWorker" in window ? connectShared() : connectAlone();
  watchCaller(({ state }) => {
    if (state === "wanted") leave();
    else if (readKey() !== joined) join();
  });
  document.addEventListener("visibilitychange", () => document.hidden || hold.wake());
  document.addEventListener("resume", () => hold.wake());
  addEventListener("online", () => hold.wake());
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

/** Return what has become of the connection: `{ state, reason, since }`, `since` in milliseconds. */
export function readConnection() {
  return known.state;
}

function join() {
  if (readCaller().state === "wanted") return;
  joined = readKey();
  if (known.state.state === "refused") takeState({ state: "connecting", reason: "" });
  hold.join(locate("stream", STREAM), listKeyHeaders());
}

function leave() {
  joined = undefined;
  hold.leave();
}

function connectShared() {
  const worker = new SharedWorker(new URL("./live-worker.js", import.meta.url), { type: "module", name: "data-tracker" });
  const { port } = worker;
  const tell = (message) => port.postMessage(message);
  const alive = setInterval(() => tell({ type: "alive" }), ALIVE);
  port.onmessage = ({ data }) => (data.type === "unknown" ? join() : take(data));
  addEventListener("pagehide", () => hold.leave());
  // Out of the browser's memory of pages the worker does not know this one any more.
  addEventListener("pageshow", ({ persisted }) => persisted && join());
  worker.onerror = () => {
    clearInterval(alive);
    hold = connectAlone();
    join();
  };
  return {
    join: (url, headers) => tell({ type: "join", url, headers }),
    leave: () => tell({ type: "leave" }),
    wake: () => tell({ type: "wake" }),
  };
}

function connectAlone() {
  const hub = new StreamHub();
  let leave = () => {};
  return {
    join: (url, headers) => {
      leave();
      leave = hub.join(url, headers, take);
    },
    leave: () => leave(),
    wake: () => hub.wake(),
  };
}

function take(message) {
  if (message.type === "state") takeState(message);
  else if (message.name === "tick") tell("tick", (known.tick = readExactly(message.data)));
  else if (message.name === "alert") tell("alert", readExactly(message.data));
  else if (message.name === "gap" || message.name === "lagging") tell("gap", {});
}

function takeState({ state, reason }) {
  if (state === known.state.state) return;
  known.state = { state, reason, since: Date.now() };
  tell("state", known.state);
  // The stream ends with its key; whether that is so, the API says of the key itself.
  if (state === "refused") refreshCaller();
}

function tell(name, value) {
  for (const listener of listeners[name]) listener(value);
}
