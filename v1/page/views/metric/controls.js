// The controls of the view of a metric; what they say is in the address.

import { make } from "../../app/elements.js";
import { changeQuery } from "../../app/navigation.js";
import { MEASURES, RANGE_NAMES, SAMPLES, listIntervals, listRanges } from "./choices.js";

const STYLES = { line: "Line", candles: "Candles" };

/** Return the controls for what is shown. A range or style that is chosen has the interval that suits it. */
export function makeControls(choice, tick) {
  const { measure, style, range, interval } = choice;
  const options = (all, chosen) => Object.entries(all).map(([value, name]) => make("option", { value, selected: value === chosen }, name));
  const intervals = Object.fromEntries(listIntervals(choice, tick).map((name) => [name, name === SAMPLES ? "each sample" : name]));
  const ranges = listRanges(measure);
  return [
    make("label", {}, "Measure ", make("select", { name: "measure", onchange: ({ target }) => changeQuery({ measure: target.value, style: null, interval: null, range: null }) }, options(MEASURES, measure))),
    make("div.choice", { role: "group", "aria-label": "Drawn as" }, Object.entries(STYLES).map(([value, name]) =>
      make("button", { type: "button", name: `style-${value}`, "aria-pressed": String(style === value), disabled: value === "candles" && measure !== "price", title: value === "candles" && measure !== "price" ? "there are candles of the price" : null,
        onclick: () => changeQuery({ style: value, interval: null }) }, name))),
    make("div.choice", { role: "group", "aria-label": "How far back" }, Object.entries(RANGE_NAMES).map(([value, name]) =>
      make("button", { type: "button", name: `range-${value}`, "aria-pressed": String(range === value), disabled: !ranges.includes(value), title: ranges.includes(value) ? null : "the archive keeps prices, with their volume",
        onclick: () => changeQuery({ range: value, interval: null }) }, name))),
    make("label", {}, "A point is ", make("select", { name: "interval", onchange: ({ target }) => changeQuery({ interval: target.value }) }, options(intervals, interval))),
  ];
}

/** Keep the focus on the control that had it, when controls are drawn anew. */
export function replaceControls(bar, controls) {
  const name = bar.contains(document.activeElement) ? document.activeElement.name : null;
  bar.replaceChildren(...controls);
  if (name) bar.querySelector(`[name="${name}"]`)?.focus();
}
