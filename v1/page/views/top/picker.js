// Picks a minute: now, one that is put in, or the one before or after.

import { readNow } from "../../app/clock.js";
import { make } from "../../app/elements.js";
import { readPreferences } from "../../app/preferences.js";
import { readFieldTime } from "../../format/times.js";

const MINUTE = 60;

/** Return `{ element, show(at) }`; `choose` gets unix seconds as a text, or null for now. */
export function makePicker(choose) {
  let shown = null;
  const input = make("input", { type: "datetime-local", name: "at", onchange: () => input.value && choose(String(readFieldTime(input.value))) });
  const zone = make("span.muted");
  const now = make("button", { type: "button", onclick: () => choose(null) }, "Now");
  const step = (minutes) => () => choose(String((shown ?? floor(readNow())) + minutes * MINUTE));
  const element = make("div.bar", { role: "group", "aria-label": "Time of the list" }, now,
    make("button", { type: "button", "aria-label": "A minute earlier", onclick: step(-1) }, "− 1 min"),
    make("label", {}, "At ", input), zone,
    make("button", { type: "button", "aria-label": "A minute later", onclick: step(1) }, "+ 1 min"));
  return {
    element,
    show(at) {
      shown = at === null ? null : floor(Number(at)) || null;
      now.setAttribute("aria-pressed", String(at === null));
      zone.textContent = readPreferences().zone === "utc" ? "UTC" : "local time";
      input.value = shown === null ? "" : writeValue(shown);
    },
  };
}

function floor(at) {
  return Math.floor(at / MINUTE) * MINUTE;
}

/** Return a time as the input has it, in the zone that is preferred. */
function writeValue(at) {
  const date = new Date(at * 1000);
  const shifted = readPreferences().zone === "utc" ? date : new Date(date - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
