// What somebody prefers in this browser, whatever is shown: colours, the zone of times, signals.

const NAME = "data-tracker preferences";
const DEFAULTS = { theme: "system", zone: "utc", sound: false, notifications: false, keys: true };
const listeners = new Set();
let current = read();

// What is drawn on a canvas has its colours from what was preferred then.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);

export function readPreferences() {
  return current;
}

/** Change some of them and tell who draws by them. */
export function changePreferences(changes) {
  current = { ...current, ...changes };
  try {
    localStorage.setItem(NAME, JSON.stringify(current));
  } catch {
    // A browser that keeps nothing has them until the tab is closed.
  }
  applyPreferences();
  tell();
}

/** Call `listener` after each change. Return what ends that. */
export function watchPreferences(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function applyPreferences() {
  document.documentElement.dataset.theme = current.theme;
}

function tell() {
  for (const listener of listeners) listener(current);
}

function read() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(NAME) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}
