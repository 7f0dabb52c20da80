// The list of rules: what each tells, where it is written, and what may be done with it.

import { writeAddress } from "../../app/address.js";
import { make } from "../../app/elements.js";
import { explainRule } from "./sentence.js";

const ORIGINS = { default: "default", api: "yours", file: "file" };
const OF_FILE = "This rule is of the file of rules (TRACKER_RULES): change it there, and the worker reads it again.";

/**
 * Return an item for each rule. `refusal` is why nothing may be changed, or null; `act(name, rule, button)` is called
 * with `switch` or `delete`; `tests` are the `MessageTests` of the view.
 */
export function makeRules(rules, { refusal, act, tests }) {
  if (!rules.length) return [make("p.muted", {}, "No rule matches.")];
  return [make("ol.rules", {}, rules.map((rule) => makeRule(rule, { refusal, act, tests })))];
}

function makeRule(rule, { refusal: mayNot, act, tests }) {
  const refusal = mayNot ?? (rule.origin === "file" ? OF_FILE : null);
  const lock = (reason) => (reason ? { disabled: true, title: reason } : {}), locked = lock(refusal), name = rule.name || rule.id;
  return make("li.card", { dataset: { rule: rule.id } },
    make("div.head", {}, make("h3", {}, name), name === rule.id ? null : make("code", {}, rule.id),
      make("span.tag", { dataset: { severity: rule.severity } }, rule.severity), make("span.tag", {}, rule.enabled ? "on" : "off"), make("span.tag", {}, ORIGINS[rule.origin] ?? rule.origin)),
    make("p", {}, explainRule(rule)),
    make("p.hint", {}, `Watches ${rule.matches} ${rule.matches === "1" ? "metric" : "metrics"}; ${rule.channels.length ? `told by ${rule.channels.join(", ")}` : "told by every channel"}.`, rule.note ? make("strong", {}, ` ${rule.note}.`) : null),
    rule.origin === "file" ? make("p.note", {}, OF_FILE) : null,
    make("div.bar", {},
      make("a", { href: writeAddress("rules", { rule: rule.id }), "aria-label": `Open ${name}` }, refusal ? "Open and try" : "Edit and try"),
      make("a", { href: writeAddress("alerts", { rule: rule.id }), "aria-label": `Alerts of ${name}` }, "Its alerts"),
      make("button", { type: "button", "aria-label": `Switch ${rule.enabled ? "off" : "on"} ${name}`, ...locked, onclick: ({ target }) => act("switch", rule, target) }, rule.enabled ? "Switch off" : "Switch on"),
      make("button", { type: "button", "aria-label": `Send a test of ${name}`, ...lock(mayNot), onclick: ({ target }) => tests.send(rule, target) }, "Send a test"),
      rule.origin === "api" ? make("button.danger", { type: "button", "aria-label": `Delete ${name}`, ...locked, onclick: ({ target }) => act("delete", rule, target) }, "Delete") : null),
    tests.find(rule));
}

/** Return the document of a rule of the API as JSON, with other values for some fields; numbers keep their digits. */
export function writeRule(rule, changes = {}) {
  const { origin: _origin, matches: _matches, note: _note, ...fields } = rule, whole = { ...fields, ...changes };
  const numbers = new Set(["window", "min_samples", "factor", "above", "below", "percent", "score", "top", "intervals", "for", "cooldown", "step"]);
  const written = Object.entries(whole).filter(([, value]) => value !== null).map(([name, value]) => `${JSON.stringify(name)}:${numbers.has(name) ? value : JSON.stringify(value)}`);
  return `{${written.join(",")}}`;
}
