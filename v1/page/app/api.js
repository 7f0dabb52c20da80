// Asks the API. What is between this page and its numbers is one kind of error, with words for a person.

import { readExactly } from "../format/numbers.js";
import { API, ROOT } from "./address.js";
import { listKeyHeaders, noteRefusal } from "./session.js";

const LONGEST = 10_000; // milliseconds that an answer may take

/** No answer, or one that refuses. `retry` is when to ask again, in seconds; `errors` names the fields that are wrong. */
export class Unanswered extends Error {
  constructor(message, { status = 0, retry = 5, errors = [] } = {}) {
    super(message);
    this.status = status;
    this.retry = retry;
    this.errors = errors;
  }
}

/** Return the address of a question, such as `ranks` or `metrics/KRAKEN:BTCUSD/history`. */
export function locate(path, query = {}) {
  const url = new URL(path, API);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

/** Return a metric's name as a part of a path. */
export function quote(name) {
  return encodeURIComponent(name);
}

/** Return the answer, numbers as their text. Raises `Unanswered`. */
export async function ask(path, query = {}, options = {}) {
  return readExactly(await askText(path, query, options));
}

/**
 * Return the text of the answer. `options` are `signal`, `cache`, `longest` in milliseconds, and `key`, to ask with
 * another key than that of the session. Raises `Unanswered`.
 */
export async function askText(path, query = {}, options = {}) {
  return (await request(locate(path, query), { cache: options.cache ?? "default" }, options)).text;
}

/** Send a change, `POST`, `PUT` or `DELETE`, with a document; return the answer, or null where it is empty. */
export async function send(method, path, body = undefined, options = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const written = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
  const { text } = await request(locate(path), { method, headers, body: written }, options);
  return text ? readExactly(text) : null;
}

/** Return how the system does; null where that cannot be had. It is answered with 503, too; a proxy has other answers. */
export async function askHealth() {
  try {
    const answer = await fetch(new URL("health/ready", ROOT), { cache: "no-store", signal: AbortSignal.timeout(LONGEST) });
    const health = readExactly(await answer.text());
    return health.tick ? health : null;
  } catch {
    return null;
  }
}

async function request(url, init, { signal, longest = LONGEST, key = undefined }) {
  const ends = AbortSignal.timeout(longest), keyHeaders = listKeyHeaders(key);
  let answer, text;
  try {
    answer = await fetch(url, {
      ...init,
      headers: { ...init.headers, ...keyHeaders },
      signal: signal ? AbortSignal.any([signal, ends]) : ends,
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unanswered(ends.aborted ? `the API did not answer in ${longest / 1000} seconds` : "the API does not answer");
  }
  if (answer.ok) return { answer, text };
  if (answer.status === 401 && key === undefined) noteRefusal(keyHeaders);
  const problem = readProblem(text);
  throw new Unanswered(problem.detail ?? `the API answered ${answer.status}`, {
    status: answer.status,
    retry: Number(answer.headers.get("Retry-After") ?? 5),
    errors: problem.errors ?? [],
  });
}

function readProblem(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
