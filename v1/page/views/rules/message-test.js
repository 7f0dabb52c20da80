// Tests of rules: a message of a rule by its own channels, and what became of it at each.

import { Unanswered, ask, quote, send } from "../../app/api.js";
import { announce, make, makeTrouble } from "../../app/elements.js";

/** Seconds between two looks at what became of a test. It is sent outside of ticks, so no tick tells; after the last nobody looks. */
const PAUSES = [0.5, 1, 1, 2, 3, 5, 8, 10, 15, 15];

const WORDS = {
  queued: ({ channel }) => `${channel}: not sent yet`,
  sent: ({ channel, answer }) => `${channel}: sent; it answered ${answer}`,
  failed: ({ channel, answer }) => `${channel}: not sent, and tried again: ${answer}`,
  waiting: ({ channel, answer }) => `${channel}: waits: ${answer}`,
  refused: ({ channel, answer }) => `${channel}: refused, and not sent again: ${answer}`,
  "given up": ({ channel, answer }) => `${channel}: given up: ${answer}`,
};

/** What became of the tests that were sent from this view: the words stay while the list of rules is drawn anew. */
export class MessageTests {
  constructor() {
    this.said = new Map();
    this.closing = new AbortController();
  }

  /** Return the element that says what became of the test of a rule. What it came to is read aloud once, at the end. */
  find(rule) {
    if (!this.said.has(rule.id)) this.said.set(rule.id, make("div.test-result"));
    return this.said.get(rule.id);
  }

  close() {
    this.closing.abort();
  }

  /** Send a test of a rule, and say what becomes of it until that is settled. */
  async send(rule, button) {
    const said = this.find(rule), path = `rules/${quote(rule.id)}/test`, { signal } = this.closing;
    button.disabled = true;
    said.replaceChildren(make("p.hint", {}, "The test is being sent."));
    try {
      let test = await send("POST", path, undefined, { signal });
      for (const pause of PAUSES) {
        said.replaceChildren(...describe(test));
        if (isSettled(test)) break;
        await wait(pause, signal);
        test = await ask(path, {}, { signal, cache: "no-cache" });
      }
      said.replaceChildren(...describe(test, { isLast: !isSettled(test) }));
      announce(test.deliveries.map(writeDelivery).join("; "));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      said.replaceChildren(makeTrouble(`No test: ${error.message}.`));
    } finally {
      button.disabled = false;
    }
  }
}

function isSettled({ deliveries }) {
  return deliveries.every(({ status }) => !["queued", "failed", "waiting"].includes(status));
}

function describe(test, { isLast = false } = {}) {
  const stopped = test.is_worker_running ? null : make("p.note", {}, "The worker does not run any more: what is not sent yet is sent when it runs again.");
  return [
    make("p.hint", {}, `${test.title}.`),
    make("ul", {}, test.deliveries.map((each) => make("li", { dataset: { status: each.status } }, writeDelivery(each)))),
    ...(stopped ? [stopped] : []),
    ...(isLast ? [make("p.hint", {}, "This does not look any longer; what is not sent yet is tried for a day.")] : []),
  ];
}

function writeDelivery(delivery) {
  return (WORDS[delivery.status] ?? (({ channel, status }) => `${channel}: ${status}`))(delivery);
}

function wait(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
