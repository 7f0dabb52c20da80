// Asks the API. What is between this page and its numbers is said in one kind of error.

import { read } from "./numbers.js";

// Paths are relative in the page, so that it works below whatever path a proxy serves it.
const absolute = (path) => new URL(path, document.baseURI).pathname;
const API = absolute(document.documentElement.dataset.api);
const HEALTH = absolute(document.documentElement.dataset.health);
const PATIENCE = 10_000; // milliseconds

/** No answer, or one that says no. `retry` is when to ask again, in seconds. */
export class Unanswered extends Error {
  constructor(message, status, retry = 5) {
    super(message);
    this.status = status;
    this.retry = retry;
  }
}

export function address(path, query = {}) {
  return `${API}${path}?${new URLSearchParams(query)}`;
}

/** Gives the answer, and for how many seconds it was good when it came: out of `cache` that may be a while ago. */
export async function ask(path, query = {}, cache = "default") {
  let answer, text;
  try {
    answer = await fetch(address(path, query), { cache, signal: AbortSignal.timeout(PATIENCE) });
    text = await answer.text();
  } catch {
    throw new Unanswered("the API does not answer", 0);
  }
  if (!answer.ok) {
    throw new Unanswered(reason(text) ?? `the API said ${answer.status}`, answer.status, Number(answer.headers.get("Retry-After") ?? 5));
  }
  const [, seconds = "5"] = /max-age=(\d+)/.exec(answer.headers.get("Cache-Control") ?? "") ?? [];
  const age = Number(answer.headers.get("Age") ?? 0); // where a cache on the way had it
  return { body: read(text), good: Math.max(Number(seconds) - age, 0) };
}

/** Gives what is wrong and how far the day is filled; null where that cannot be had. It answers 503, too. */
export async function health() {
  try {
    const answer = await fetch(HEALTH, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    return read(await answer.text());
  } catch {
    return null;
  }
}

function reason(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return undefined;
  }
}
