// The controls of the view of a metric; what they say is in the address.

import { make } from "../../app/elements.js";
import { changeQuery } from "../../app/navigation.js";
import { MEASURES, RANGE_NAMES, RANK, SAMPLES, isShort, listIntervals, listRanges } from "./choices.js";

const STYLES = { line: "Line", candles: "Candles", [RANK]: "Rank" };

/** Return the controls for what is shown. A range or style that is chosen has the interval that suits it. */
export function makeControls(choice, tick) {
  const { measure, style, range, interval } = choice;
  const options = (all, chosen) => Object.entries(all).map(([value, name]) => make("option", { value, selected: value === chosen }, name));
  const intervals = Object.fromEntries(listIntervals(choice, tick).map((name) => [name, name === SAMPLES ? (style === RANK ? "15 minutes" : "each sample") : name]));
  const ranges = listRanges(measure);
  return [
    make("label", {}, "Measure ", make("select", { name: "measure", onchange: ({ target }) => changeQuery({ measure: target.value, style: null, interval: null, range: null }) }, options(MEASURES, measure))),
    make("div.choice", { role: "group", "aria-label": "Drawn as" }, Object.entries(STYLES).map(([value, name]) =>
      makeStyle({ value, name, isChosen: style === value, refusal: explainStyle(value, choice) }))),
    make("div.choice", { role: "group", "aria-label": "How far back" }, Object.entries(RANGE_NAMES).map(([value, name]) =>
      make("button", { type: "button", name: `range-${value}`, "aria-pressed": String(range === value), disabled: !ranges.includes(value), title: ranges.includes(value) ? null : "the archive keeps prices, with their volume",
        onclick: () => changeQuery({ range: value, interval: null, ...(style === RANK && !isShort(value) && { style: null }) }) }, name))),
    make("label", {}, "A point is ", make("select", { name: "interval", onchange: ({ target }) => changeQuery({ interval: target.value }) }, options(intervals, interval))),
  ];
}

function makeStyle({ value, name, isChosen, refusal }) {
  return make("button", { type: "button", name: `style-${value}`, "aria-pressed": String(isChosen), disabled: refusal !== null, title: refusal,
    onclick: () => changeQuery({ style: value, interval: null }) }, name);
}

/** Return why something cannot be drawn in a style, or null. */
function explainStyle(style, { measure, range }) {
  if (style === "candles" && measure !== "price") return "there are candles of the price";
  return style === RANK && !isShort(range) ? "ranks are kept for a day" : null;
}

/** Keep the focus on the control that had it, when controls are drawn anew. */
export function replaceControls(bar, controls) {
  const name = bar.contains(document.activeElement) ? document.activeElement.name : null;
  bar.replaceChildren(...controls);
  if (name) bar.querySelector(`[name="${name}"]`)?.focus();
}
