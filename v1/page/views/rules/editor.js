// One rule in a form: try it on the past, then save it. What was typed is kept until it is saved, also when it is left.

import { Unanswered, quote, send } from "../../app/api.js";
import { make } from "../../app/elements.js";
import { RuleForm, readValues } from "./form.js";
import { Trial } from "./trial.js";

const drafts = new Map(); // by the id of a rule, "" for a new one: what was typed and not saved

/**
 * Return `{ element, focus(), close() }` of a rule, or of a new one of a kind. `refusal()` says why nothing may be saved,
 * or is null; `saved(words)` and `leave()` are called when that was done.
 */
export function makeEditor({ rule, kind, refusal, saved, leave }) {
  const name = rule?.id ?? "", trial = new Trial(), isOfFile = rule?.origin === "file";
  const form = new RuleForm(drafts.get(name) ?? (rule ? readValues(rule) : { kind }), { isNew: !rule, change: () => { drafts.set(name, form.values); trial.age(); } });
  const why = isOfFile ? "It is of the file of rules: change it there. It may be tried here." : refusal();
  const save = make("button", { type: "button", disabled: Boolean(why), title: why, onclick: () => write() }, "Save");
  const test = make("button.primary", { type: "submit" }, "Try it on the past day");
  const discard = make("button", { type: "button", onclick: () => { drafts.delete(name); leave(); } }, "Discard");
  const element = make("form.card.rule", { novalidate: true, "aria-label": rule ? `Rule ${name}` : "New rule", onsubmit: (event) => { event.preventDefault(); trial.run(form); } },
    make("h3", {}, rule ? `Rule ${rule.name || name}` : "New rule"), form.element, why ? make("p.note", {}, why) : null, make("div.bar", {}, test, save, discard), trial.element);

  async function write() {
    form.clear();
    save.disabled = true;
    try {
      const made = rule ? await send("PUT", `rules/${quote(name)}`, form.write()) : await send("POST", "rules", form.write());
      drafts.delete(name);
      saved(`The rule ${made.name || made.id} is saved; it is judged from the next tick on.`);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      save.disabled = false;
      form.complain(error);
    }
  }

  return { element, focus: () => element.querySelector("input:not([readonly]), select").focus(), close: () => trial.stop() };
}
