// The key of this session: kept by the browser until its tab is closed, and sent to this API alone.

const NAME = "data-tracker key";
const listeners = new Set(), refusals = new Set();
let key = read();

/** Whether the API answers nobody without a key, as the document says. */
export const IS_GUARDED = document.documentElement.dataset.guarded === "yes";

export function readKey() {
  return key;
}

export function keepKey(given) {
  key = given;
  write();
}

export function forgetKey() {
  key = null;
  write();
}

/** The API refused a question for want of a key that is accepted: a key that was sent with it is forgotten. */
export function noteRefusal(headers) {
  const isOurs = key !== null && headers.Authorization === listKeyHeaders().Authorization;
  if (isOurs) forgetKey();
  for (const listener of refusals) listener(isOurs);
}

/** Return the headers of a question. With the second one a browser knows that its own dialog for keys is not wanted. */
export function listKeyHeaders(given = key) {
  const asked = { "X-Requested-With": "XMLHttpRequest" };
  return given ? { ...asked, Authorization: `Bearer ${encode(given)}` } : asked;
}

/** Call `listener` with each other key, or null where it is forgotten. Return what ends that. */
export function watchKey(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Call `listener` at each refusal; it is told whether a key was refused. Return what ends that. */
export function watchRefusals(listener) {
  refusals.add(listener);
  return () => refusals.delete(listener);
}

/** Return a text as a header may hold it: one character for each byte of it in UTF-8. */
function encode(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function read() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null; // a browser that keeps nothing has the key until the page is loaded anew
  }
}

function write() {
  try {
    if (key === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  } catch {
    // as above
  }
  for (const listener of listeners) listener(key);
}
