// What somebody does about an alert: say that it is seen, or keep its messages back for a while.

import { Unanswered, quote, send } from "../../app/api.js";
import { isAllowed } from "../../app/caller.js";
import { announce, make, makeTrouble, setText } from "../../app/elements.js";
import { readPreferences } from "../../app/preferences.js";
import { readFieldTime } from "../../format/times.js";

const NAME = "data-tracker name";
const SPANS = { "+10m": "10 minutes", "+1h": "an hour", "+6h": "6 hours", "+1d": "a day", "+7d": "a week" };
const SUBJECTS = {
  both: ["this rule on this metric", ({ rule, metric }) => ({ rule, metrics: metric })],
  metric: ["every rule on this metric", ({ metric }) => ({ rule: "*", metrics: metric })],
  rule: ["this rule on every metric", ({ rule }) => ({ rule, metrics: "*" })],
  exchange: ["this whole exchange", ({ metric }) => ({ rule: "*", metrics: `${metric.split(":")[0].toUpperCase()}:*` })],
};

/** Return `{ element, update(alert) }` of the forms below an alert; they stay, with what somebody types, until the alert goes. */
export function makeActions(alert, { onChanged, onSilenced }) {
  const mayNot = make("p.hint", {}, "This key may read alone: it needs the scope rules to acknowledge or silence.");
  const acknowledge = makeAcknowledge(alert, onChanged), quiet = makeQuiet(alert, onChanged), silence = makeSilence(alert, onSilenced);
  const takeBack = makeForm("Take back that it is seen", [], () => takeBackAcknowledgement(alert), onChanged);
  const first = make("div"), later = make("div");
  return {
    element: make("div.alert-actions", {}, mayNot, first, later, silence.element),
    update({ acknowledged, ended_at: endedAt }) {
      mayNot.hidden = isAllowed("rules");
      const { element } = acknowledged ? takeBack : acknowledge;
      if (first.firstChild !== element) first.replaceChildren(element);
      const mayFollow = acknowledged && acknowledged.until === null && mayLast(alert, endedAt);
      if (mayFollow && !later.childElementCount) later.append(quiet.element);
      if (!mayFollow) later.replaceChildren();
      acknowledge.update(mayLast(alert, endedAt));
      takeBack.update();
      quiet.update();
      silence.update();
    },
  };
}

function makeAcknowledge(alert, onChanged) {
  const by = make("input", { name: "by", required: true, maxlength: "100", value: recallName(), autocomplete: "name" });
  const comment = make("input", { name: "comment", maxlength: "500" });
  const lasts = make("input", { type: "checkbox", name: "until" }), choice = make("label", {}, lasts, " No more messages until it is over");
  const form = makeForm("Acknowledge", [make("label", {}, "Your name ", by), make("label", {}, "Comment ", comment), choice], () =>
    acknowledge(alert, { by: by.value.trim(), comment: comment.value.trim(), until: lasts.checked && !choice.hidden ? "over" : null }), onChanged);
  return {
    element: form.element,
    update(isLasting) {
      choice.hidden = !isLasting;
      form.update();
    },
  };
}

/** Return the form by which messages about an alert that is acknowledged already are kept back until it is over. */
function makeQuiet(alert, onChanged) {
  const by = make("input", { name: "by", required: true, maxlength: "100", value: recallName(), autocomplete: "name" });
  return makeForm("No more messages until it is over", [make("label", {}, "Your name ", by)], () => acknowledge(alert, { by: by.value.trim(), until: "over" }), onChanged);
}

async function acknowledge(alert, document) {
  const changed = await send("POST", `alerts/${quote(alert.id)}/acknowledge`, document);
  keepName(document.by);
  announce(document.until ? "Acknowledged: no more messages until it is over" : "Acknowledged");
  return changed;
}

async function takeBackAcknowledgement(alert) {
  const changed = await send("DELETE", `alerts/${quote(alert.id)}/acknowledge`);
  announce("Taken back: nobody has seen it");
  return changed;
}

/** Return whether what an alert tells of may still go on. */
function mayLast({ event }, endedAt) {
  return endedAt === null && event !== "resolved" && event !== "leaves";
}

function makeSilence(alert, onSilenced) {
  const subject = make("select", { name: "subject" }, Object.entries(SUBJECTS).map(([value, [words]]) => make("option", { value }, words)));
  const span = make("select", { name: "span" }, Object.entries(SPANS).map(([value, words]) => make("option", { value }, words)), make("option", { value: "" }, "until ..."));
  const end = make("input", { name: "end", type: "datetime-local", hidden: true });
  const zone = make("span.muted");
  const choose = () => {
    end.required = span.value === "";
    end.hidden = zone.hidden = !end.required;
    setText(zone, readPreferences().zone === "utc" ? "UTC" : "local time");
    end.setAttribute("aria-label", `End (${zone.textContent})`);
  };
  const comment = make("input", { name: "comment", maxlength: "200" });
  span.addEventListener("change", choose);
  const form = makeForm("Silence", [make("label", {}, "Silence ", subject), make("label", {}, "for ", span), end, zone, make("label", {}, "Why ", comment)], async () => {
    await send("POST", "silences", { ...SUBJECTS[subject.value][1](alert), to: span.value || readFieldTime(end.value), comment: comment.value.trim() });
    announce("Silenced");
    span.value = Object.keys(SPANS)[0];
    choose();
    comment.value = "";
  }, onSilenced);
  return {
    element: form.element,
    update() {
      form.update();
      choose();
    },
  };
}

/**
 * Return `{ element, update() }` of a form that says what is wrong below its fields, and keeps what was typed. `done` is
 * called with what `act` returned.
 */
function makeForm(verb, fields, act, done) {
  let isBusy = false;
  const said = make("div");
  const button = make("button", { type: "submit" }, verb);
  const update = () => {
    button.disabled = !isAllowed("rules");
    // Disabled, it would lose the focus to nothing.
    button.setAttribute("aria-disabled", String(isBusy || button.disabled));
  };
  const form = make("form", { "aria-label": verb, onsubmit: async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    update();
    try {
      const result = await act();
      said.replaceChildren();
      done(result);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      said.replaceChildren(makeTrouble(`${error.message}.`));
    } finally {
      isBusy = false;
      update();
    }
  } }, fields, button, said);
  return { element: form, update };
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
