// Which alerts are shown. All of it is in the address: `metric`, `rule`, `severity`, `state`, `since`.

import { make } from "../../app/elements.js";
import { readNow } from "../../app/clock.js";

const SEVERITIES = { "": "any", info: "info", warning: "warning", critical: "critical" };
const STATES = { "": "any", open: "nobody has seen it", seen: "acknowledged" };
const SPANS = { "": "ever", "-1h": "the last hour", "-6h": "6 hours", "-1d": "a day", "-7d": "a week" };
const SECONDS = { h: 3600, d: 86_400 };

/** Return the filters of an address. What is not known there is left out. */
export function readFilters(query) {
  const pick = (name, choices) => (query.get(name) in choices ? query.get(name) : "");
  return {
    metric: query.get("metric") ?? "", rule: query.get("rule") ?? "",
    severity: pick("severity", SEVERITIES), state: pick("state", STATES), since: query.get("since") ?? "",
  };
}

/** Return the question to the API that filters come to. */
export function writeQuestion({ metric, rule, severity, state, since }) {
  return { metric: metric && widen(metric), rule, severity, acknowledged: state && String(state === "seen"), since };
}

/** Return whether an alert that was pushed is one of those that are shown. */
export function isMatching(alert, { metric, rule, severity, state, since }) {
  const pattern = new RegExp(`^${widen(metric || "*").replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`, "i");
  const [, number, unit] = /^-(\d+)([hd])$/.exec(since) ?? [];
  const first = unit ? readNow() - Number(number) * SECONDS[unit] : Number(since) || 0;
  return pattern.test(alert.metric) && (!rule || alert.rule === rule) && (!severity || alert.severity === severity)
    && (!state || (state === "seen") === Boolean(alert.acknowledged)) && Number(alert.at) >= first;
}

/** Return `{ element, show(filters), focus() }`; `change` is called with what of the query is another now. */
export function makeFilters(change) {
  const text = (name, label, hint) => make("label", {}, `${label} `, make("input", { type: "search", name, placeholder: hint, onchange: ({ target }) => change({ [name]: target.value.trim() || null }) }));
  const choice = (name, label, choices) => make("label", {}, `${label} `, make("select", { name, onchange: ({ target }) => change({ [name]: target.value || null }) },
    Object.entries(choices).map(([value, words]) => make("option", { value }, words))));
  const element = make("form", { role: "search", "aria-label": "Which alerts", onsubmit: (event) => event.preventDefault() },
    text("metric", "Metric", "KRAKEN:*"), text("rule", "Rule", "id"), choice("severity", "Severity", SEVERITIES),
    choice("state", "Seen", STATES), choice("since", "Since", SPANS));
  return {
    element,
    show(filters) {
      for (const [name, value] of Object.entries(filters)) {
        const field = element.elements[name];
        if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) field.append(make("option", { value }, value));
        if (field !== document.activeElement) field.value = value;
      }
    },
    focus: () => element.elements.metric.focus(),
  };
}

/** Return a pattern of metrics: a part of a name stands for all that have it. */
function widen(text) {
  return /[:*?]/.test(text) ? text : `*${text}*`;
}
