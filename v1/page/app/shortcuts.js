// Keys that do something on a view. They are silent while somebody types, and where they are switched off.

import { readPreferences } from "./preferences.js";

const SOON = 1500; // milliseconds in which the second of two keys follows the first
const bound = new Map(); // of each key what it does, the newest last: a view's own goes before the frame's
let first = null; // the first of two keys, and when it was pressed

/** Call `action` at a key, such as `/` or `ArrowDown`, or at two, `g o`, and list it in the help. Return what ends that. */
export function bindKey(key, help, action) {
  const own = { help, action };
  bound.set(key, [...(bound.get(key) ?? []), own]);
  return () => {
    const others = bound.get(key).filter((each) => each !== own);
    if (others.length) bound.set(key, others);
    else bound.delete(key);
  };
}

/** Return all keys with what they do. */
export function listKeys() {
  return [...bound].map(([key, actions]) => ({ key, help: actions.at(-1).help }));
}

document.addEventListener("keydown", (event) => {
  if (!readPreferences().keys || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable], dialog")) return;
  const pair = first && Date.now() - first.at < SOON ? bound.get(`${first.key} ${event.key}`) : null;
  const found = (pair ?? bound.get(event.key))?.at(-1);
  first = [...bound.keys()].some((key) => key.startsWith(`${event.key} `)) && !found ? { key: event.key, at: Date.now() } : null;
  if (!found) return;
  event.preventDefault();
  found.action(event);
});
