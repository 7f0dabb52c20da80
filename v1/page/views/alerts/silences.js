// What is silenced now, by what, until when; each can be ended at once.

import { Unanswered, ask, quote, send } from "../../app/api.js";
import { isAllowed } from "../../app/caller.js";
import { readNow } from "../../app/clock.js";
import { announce, make, makeTrouble } from "../../app/elements.js";
import { listen } from "../../app/live.js";
import { writeSpan, writeTime } from "../../format/times.js";

const MOST = 1000;

export class SilenceList {
  /** `changed` is called when other alerts may be silenced now. */
  constructor(changed) {
    this.changed = changed;
    this.silences = [];
    this.said = make("div", { role: "status" });
    this.list = make("ul.silences");
    this.head = make("h3", { tabindex: "-1" }, "Silences");
    this.element = make("section", { "aria-label": "Silences" }, this.head, this.said, this.list);
    // Of silences nothing is pushed: somebody else's are seen with the next tick.
    this.end = listen("tick", () => this.read());
  }

  close() {
    this.end();
    this.asking?.abort();
  }

  /** Return the silence that keeps the messages of an alert back now, or null. */
  find({ rule, metric }) {
    return this.silences.find((each) => each.state === "active" && isLike(rule, each.rule) && isLike(metric, each.metrics)) ?? null;
  }

  async read() {
    // An answer that was asked for before a silence was written or ended must not come last.
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const { silences } = await ask("silences", { limit: MOST }, { signal, cache: "no-cache" });
      this.silences = silences.filter(({ state }) => state !== "ended");
      this.said.replaceChildren();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      this.said.replaceChildren(makeTrouble(`The silences are not known: ${error.message}.`));
    }
    this.draw();
    this.changed();
  }

  /** Draw the list anew. The button that has the focus has it afterwards, or the next one where its silence is over. */
  draw() {
    const place = [...this.list.querySelectorAll("button")].indexOf(document.activeElement), { id } = document.activeElement?.dataset ?? {};
    if (this.silences.length) this.drawSilences();
    else this.list.replaceChildren(make("li.muted", {}, "Nothing is silenced."));
    if (place < 0) return;
    const buttons = [...this.list.querySelectorAll("button")];
    (buttons.find((button) => button.dataset.id === id) ?? buttons[Math.min(place, buttons.length - 1)] ?? this.head).focus();
  }

  drawSilences() {
    this.list.replaceChildren(...this.silences.map((silence) => make("li", {},
      make("strong", {}, `${silence.rule === "*" ? "every rule" : silence.rule} on ${silence.metrics === "*" ? "every metric" : silence.metrics}`),
      silence.state === "pending" ? ` from ${writeTime(silence.from)}` : "", ` until ${writeTime(silence.to)}`,
      silence.state === "active" ? make("span.muted", {}, ` (${writeSpan(Number(silence.to) - readNow())} more)`) : null,
      silence.comment ? `: ${silence.comment} ` : " ",
      make("button", { type: "button", disabled: !isAllowed("rules"), "aria-label": `End the silence ${silence.id} now`, dataset: { id: silence.id }, onclick: () => this.endSilence(silence.id) }, "End now"))));
  }

  async endSilence(id) {
    try {
      await send("DELETE", `silences/${quote(id)}`);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      if (error.status !== 404) {
        this.said.replaceChildren(makeTrouble(`It was not ended: ${error.message}.`));
        return;
      }
    }
    announce("The silence has ended");
    await this.read();
  }
}

/** Return whether a name is like a pattern of `*` and `?`, whatever its case. */
function isLike(name, pattern) {
  const written = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${written}$`, "i").test(name);
}
