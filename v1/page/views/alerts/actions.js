// What somebody does about an alert: say that it is seen, or keep its messages back for a while.

import { Unanswered, quote, send } from "../../app/api.js";
import { isAllowed } from "../../app/caller.js";
import { announce, make, makeTrouble } from "../../app/elements.js";

const NAME = "data-tracker name";
const SPANS = { "+10m": "10 minutes", "+1h": "an hour", "+6h": "6 hours", "+1d": "a day", "+7d": "a week" };
const SUBJECTS = {
  both: ["this rule on this metric", ({ rule, metric }) => ({ rule, metrics: metric })],
  metric: ["every rule on this metric", ({ metric }) => ({ rule: "*", metrics: metric })],
  rule: ["this rule on every metric", ({ rule }) => ({ rule, metrics: "*" })],
  exchange: ["this whole exchange", ({ metric }) => ({ rule: "*", metrics: `${metric.split(":")[0].toUpperCase()}:*` })],
};

/** Return the forms below an alert. */
export function makeActions(alert, { onChanged, onSilenced }) {
  const mayNot = isAllowed("rules") ? null : make("p.hint", {}, "This key may read alone: it needs the scope rules to acknowledge or silence.");
  return make("div.alert-actions", {}, mayNot, alert.acknowledged ? null : makeAcknowledge(alert, onChanged), makeSilence(alert, onSilenced));
}

function makeAcknowledge(alert, onChanged) {
  const by = make("input", { name: "by", required: true, maxlength: "100", value: recallName(), autocomplete: "name" });
  const comment = make("input", { name: "comment", maxlength: "500" });
  return makeForm("Acknowledge", [make("label", {}, "Your name ", by), make("label", {}, "Comment ", comment)], async () => {
    const changed = await send("POST", `alerts/${quote(alert.id)}/acknowledge`, { by: by.value.trim(), comment: comment.value.trim() });
    keepName(by.value.trim());
    announce("Acknowledged");
    document.activeElement?.blur();
    onChanged(changed);
  });
}

function makeSilence(alert, onSilenced) {
  const subject = make("select", { name: "subject" }, Object.entries(SUBJECTS).map(([value, [words]]) => make("option", { value }, words)));
  const span = make("select", { name: "span" }, Object.entries(SPANS).map(([value, words]) => make("option", { value }, words)), make("option", { value: "" }, "until ..."));
  const end = make("input", { name: "end", type: "datetime-local", "aria-label": "End", hidden: true });
  const comment = make("input", { name: "comment", maxlength: "200" });
  span.addEventListener("change", () => { end.hidden = span.value !== ""; });
  return makeForm("Silence", [make("label", {}, "Silence ", subject), make("label", {}, "for ", span), end, make("label", {}, "Why ", comment)], async () => {
    const to = span.value || String(Math.floor(new Date(end.value) / 1000) || "");
    await send("POST", "silences", { ...SUBJECTS[subject.value][1](alert), to: /^\d+$/.test(to) ? Number(to) : to, comment: comment.value.trim() });
    announce("Silenced");
    document.activeElement?.blur();
    onSilenced();
  });
}

/** Return a form that says what is wrong below its fields, and keeps what was typed. */
function makeForm(verb, fields, act) {
  const said = make("div");
  const button = make("button", { type: "submit", disabled: !isAllowed("rules") }, verb);
  const form = make("form", { "aria-label": verb, onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await act();
      said.replaceChildren();
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      said.replaceChildren(makeTrouble(`${error.message}.`));
    } finally {
      button.disabled = !isAllowed("rules");
    }
  } }, fields, button, said);
  return form;
}

function recallName() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

function keepName(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {
    // A browser that keeps nothing asks again.
  }
}
