// The key of this session: kept by the browser until its tab is closed, and sent to this API alone.

const NAME = "data-tracker key";
const listeners = new Set();

export function readKey() {
  return sessionStorage.getItem(NAME);
}

export function keepKey(key) {
  sessionStorage.setItem(NAME, key);
  tell();
}

/** Forget the key: it is refused, or somebody signs out. */
export function forgetKey() {
  sessionStorage.removeItem(NAME);
  tell();
}

export function listKeyHeaders() {
  const key = readKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Call `listener` when a key is kept, forgotten or refused. Return what ends that. */
export function watchKey(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener(readKey());
}
