// Asks again and again how the system does, while somebody looks; every view shows it, and the view of status all of it.

import { askHealth } from "./api.js";
import { noteHealth, noteTick } from "./clock.js";
import { listen } from "./live.js";

const EVERY = 15_000, SOON = 3_000; // milliseconds; soon: while something is about to change
const listeners = new Set();
const known = { health: null, heard: null, lost: null }; // `lost`: since when the API does not answer
let timer = null, asking = null;

export function startHealth() {
  listen("tick", ({ at }) => noteTick(at));
  listen("state", refreshHealth);
  document.addEventListener("visibilitychange", () => document.hidden || refreshHealth());
  addEventListener("online", refreshHealth);
  refreshHealth();
}

/** Return `{ health, heard, lost }`: what was answered last and when, and since when nothing is; in milliseconds. */
export function readHealth() {
  return known;
}

/** Call `listener` after each answer, and when none comes. What is known is told at once. Return what ends that. */
export function watchHealth(listener) {
  listeners.add(listener);
  if (known.health || known.lost) listener(known);
  return () => listeners.delete(listener);
}

/** Ask now, unless that is being done. */
export function refreshHealth() {
  asking ??= read().finally(() => { asking = null; });
  return asking;
}

async function read() {
  clearTimeout(timer);
  const health = await askHealth();
  if (health) {
    noteHealth(health);
    Object.assign(known, { health, heard: Date.now(), lost: null });
  } else {
    known.lost ??= Date.now();
  }
  const isChanging = !health || health.replay?.state === "running" || Object.values(health.sources).some(({ filling }) => filling);
  timer = setTimeout(() => (document.hidden ? wait() : refreshHealth()), isChanging ? SOON : EVERY);
  for (const listener of listeners) listener(known);
}

function wait() {
  timer = setTimeout(() => (document.hidden ? wait() : refreshHealth()), EVERY);
}
