// How sensitive a rule is: a table of alerts and messages by its main number and its cooldown.

import { make } from "../../app/elements.js";
import { writeExact } from "../../format/numbers.js";
import { readLength, writeLength } from "./sentence.js";

/** Return a table of a sweep of the API, or null where there is none. The cell of the rule as it is, is marked. */
export function makeSweep(sweep, rule, title) {
  if (!sweep) return null;
  const numbers = [...new Set(sweep.cells.map((cell) => cell[sweep.field]))], cooldowns = [...new Set(sweep.cells.map((cell) => cell.cooldown))];
  const find = (number, cooldown) => sweep.cells.find((cell) => cell[sweep.field] === number && cell.cooldown === cooldown);
  const isOwn = (number, cooldown) => Number(number) === (sweep.field === "window" ? readLength(rule.window) : Number(rule[sweep.field] ?? NaN)) && Number(cooldown) === readLength(rule.cooldown);
  return make("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, make("table.sweep", {},
    make("caption", {}, `${title}: alerts, and messages in brackets`),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, sweep.field), cooldowns.map((cooldown) => make("th.number", { scope: "col" }, Number(cooldown) ? `cooldown ${writeLength(cooldown)}` : "no cooldown")))),
    make("tbody", {}, numbers.map((number) => make("tr", {}, make("th", { scope: "row" }, sweep.field === "window" ? writeLength(number) : writeExact(number)),
      cooldowns.map((cooldown) => makeCell(find(number, cooldown), isOwn(number, cooldown))))))),
    sweep.why ? make("p.hint", {}, `${sweep.why}.`) : null);
}

function makeCell(cell, isOwn) {
  if (!cell) return make("td.number", {}, "–");
  const words = `${writeExact(cell.alerts)} (${writeExact(cell.messages)})`;
  return make("td.number", isOwn ? { title: "as it is in the form" } : {}, isOwn ? make("strong", {}, `▸ ${words}`) : words);
}
