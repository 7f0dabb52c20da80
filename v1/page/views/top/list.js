// Draws a top list: its two parts with their ages, and a row for each coin.

import { make } from "../../app/elements.js";
import { writeAmount, writeExact, writePrice } from "../../format/numbers.js";
import { writeSpan, writeTime } from "../../format/times.js";

const PARTS = { prices: "Prices", ranks: "Ranks and volumes" };

/** Draw a list that was asked for `at`; null: now. */
export function drawList(parts, table, list, at) {
  parts.replaceChildren(makeSummary(list, at), ...Object.entries(PARTS).map(([name, title]) => makePart(title, list[name], at)));
  table.replaceChildren(make("table", {}, make("caption.unseen", {}, `Top list of ${writeTime(list.at)}`),
    make("thead", {}, make("tr", {}, make("th.number", { scope: "col" }, "Rank"), make("th", { scope: "col" }, "Symbol"), make("th", { scope: "col" }, "Name"),
      make("th.number", { scope: "col" }, "Price, USD"), make("th.number", { scope: "col" }, "Volume 24 h, USD"), make("th", { scope: "col" }, "Price of"))),
    make("tbody", {}, list.coins.map((coin) => makeRow(coin)))));
}

function makeSummary(list, at) {
  const unpriced = Number(list.unpriced);
  return make("section.card", {}, make("h3", {}, `List of ${writeTime(list.at)}`),
    make("p", {}, `${writeExact(list.of)} coins, ${unpriced ? `${writeExact(list.unpriced)} of them without a price` : "each with a price"}; ${list.coins.length} shown.`),
    make("p.muted", {}, at === null ? "It follows the newest list." : "It stays at this minute."));
}

function makePart(title, part, at) {
  const left = Object.entries(part.left_out).map(([reason, count]) => `${reason}: ${count}`).join(", ");
  return make("section.card", {}, make("h3", {}, `${title}: ${part.source}`),
    make("p", {}, `${writeSpan(part.age)} old ${at === null ? "now" : "at that time"}, asked every ${writeSpan(part.interval)}. `,
      part.late ? make("strong.late", {}, "Late: a newer one should be there.") : null),
    make("p.muted", {}, part.provider_time === null ? "The provider does not say when it made it." : `The provider says it is of ${writeTime(part.provider_time, { second: true })}.`),
    left ? make("p.muted", {}, `Left out: ${left}.`) : null);
}

function makeRow(coin) {
  return make("tr", {}, make("td.number", {}, coin.rank), make("th", { scope: "row" }, coin.symbol), make("td.name", {}, coin.name),
    make("td.number", { title: writeTitle(coin.price_usd) }, writePrice(coin.price_usd)),
    make("td.number", { title: writeTitle(coin.volume_24h_usd) }, writeAmount(coin.volume_24h_usd)),
    make("td.muted", {}, writeTime(coin.price_time)));
}

function writeTitle(text) {
  return text === null ? "not known" : writeExact(text);
}
