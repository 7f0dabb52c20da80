// What is silenced now, by what, until when; each can be ended at once.

import { Unanswered, ask, quote, send } from "../../app/api.js";
import { isAllowed } from "../../app/caller.js";
import { readNow } from "../../app/clock.js";
import { make, makeTrouble } from "../../app/elements.js";
import { writeSpan, writeTime } from "../../format/times.js";

const EVERY = 30_000; // milliseconds
const MOST = 1000;

export class SilenceList {
  /** `changed` is called when other alerts may be silenced now. */
  constructor(changed) {
    this.changed = changed;
    this.silences = [];
    this.said = make("div", { role: "status" });
    this.list = make("ul.silences");
    this.element = make("section", { "aria-label": "Silences" }, make("h3", {}, "Silences"), this.said, this.list);
    this.timer = setInterval(() => this.read(), EVERY);
  }

  close() {
    clearInterval(this.timer);
    this.isClosed = true;
  }

  /** Return the silence that keeps the messages of an alert back now, or null. */
  find({ rule, metric }) {
    return this.silences.find((each) => each.state === "active" && isLike(rule, each.rule) && isLike(metric, each.metrics)) ?? null;
  }

  async read() {
    try {
      const { silences } = await ask("silences", { limit: MOST }, { cache: "no-cache" });
      if (this.isClosed) return;
      this.silences = silences.filter(({ state }) => state !== "ended");
      this.said.replaceChildren();
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      this.said.replaceChildren(makeTrouble(`The silences are not known: ${error.message}.`));
    }
    this.draw();
    this.changed();
  }

  draw() {
    if (!this.silences.length) {
      this.list.replaceChildren(make("li.muted", {}, "Nothing is silenced."));
      return;
    }
    this.list.replaceChildren(...this.silences.map((silence) => make("li", {},
      make("strong", {}, `${silence.rule === "*" ? "every rule" : silence.rule} on ${silence.metrics === "*" ? "every metric" : silence.metrics}`),
      silence.state === "pending" ? ` from ${writeTime(silence.from)}` : "", ` until ${writeTime(silence.to)}`,
      silence.state === "active" ? make("span.muted", {}, ` (${writeSpan(Number(silence.to) - readNow())} more)`) : null,
      silence.comment ? `: ${silence.comment} ` : " ",
      make("button", { type: "button", disabled: !isAllowed("rules"), "aria-label": `End the silence ${silence.id} now`, onclick: () => this.end(silence.id) }, "End now"))));
  }

  async end(id) {
    try {
      await send("DELETE", `silences/${quote(id)}`);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      if (error.status !== 404) {
        this.said.replaceChildren(makeTrouble(`It was not ended: ${error.message}.`));
        return;
      }
    }
    await this.read();
  }
}

/** Return whether a name is like a pattern of `*` and `?`, whatever its case. */
function isLike(name, pattern) {
  const written = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${written}$`, "i").test(name);
}
