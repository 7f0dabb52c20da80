// Who asks, as the API sees it, and what may be done: views leave out, or explain, what this key may not do.

import { ask } from "./api.js";
import { IS_GUARDED, forgetKey, watchKey, watchRefusals } from "./session.js";

const SCOPES = ["read", "rules", "admin"]; // each may do what those before it may
const EVERYBODY = { state: "open", name: null, scope: "admin", until: null, reason: "" };
const listeners = new Set();
let caller = IS_GUARDED ? { state: "unknown", name: null, scope: null, until: null, reason: "" } : EVERYBODY;

/**
 * Return `{ state, name, scope, until, reason }`. A state is `open` (no keys are needed), `known` (a key is accepted),
 * `wanted` (a key is needed; `reason` says what became of the last one) or `unknown` (the API was not asked yet).
 */
export function readCaller() {
  return caller;
}

/** Return whether something that needs a scope, `read`, `rules` or `admin`, may be done. */
export function isAllowed(scope) {
  return SCOPES.indexOf(caller.scope) >= SCOPES.indexOf(scope);
}

/** Call `listener` with each change. Return what ends that. */
export function watchCaller(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Find out who asks. Where the API does not answer, nothing is known, and views say what is wrong. */
export async function startCaller() {
  if (!IS_GUARDED) return;
  watchRefusals((isKeyRefused) => change({ ...caller, state: "wanted", scope: null, name: null, reason: explainRefusal(isKeyRefused) }));
  watchKey((key) => key && refreshCaller());
  await refreshCaller();
}

export async function refreshCaller() {
  if (!IS_GUARDED) return;
  try {
    change({ state: "known", reason: "", ...(await ask("whoami", {}, { cache: "no-store" })) });
  } catch {
    // A refusal is told by the session; anything else by whoever asks next.
  }
}

/** Return who a key belongs to, without keeping it. Raises `Unanswered`. */
export function tryKey(key) {
  return ask("whoami", {}, { cache: "no-store", key });
}

export function signOut() {
  forgetKey();
  change({ state: "wanted", name: null, scope: null, until: null, reason: "You are signed out." });
}

function explainRefusal(isKeyRefused) {
  if (!isKeyRefused) return caller.state === "wanted" ? caller.reason : "";
  const isOver = caller.until !== null && Number(caller.until) <= Date.now() / 1000;
  return isOver ? "The key has ended. Ask for another one." : "The key is not accepted any more: it has ended, or it was revoked. Ask for another one.";
}

function change(next) {
  caller = next;
  for (const listener of listeners) listener(caller);
}
