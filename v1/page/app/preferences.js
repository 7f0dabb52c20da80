// What somebody prefers in this browser, whatever is shown: colours, the zone of times, signals.

const NAME = "data-tracker preferences";
const DEFAULTS = { theme: "system", zone: "utc", sound: false, notifications: false };
const listeners = new Set();
let current = read();

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
  for (const listener of listeners) listener(current);
}

/** Call `listener` after each change. Return what ends that. */
export function watchPreferences(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function applyPreferences() {
  document.documentElement.dataset.theme = current.theme;
}

function read() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(NAME) ?? "{}") };
  } catch {
    return { ...DEFAULTS };
  }
}
