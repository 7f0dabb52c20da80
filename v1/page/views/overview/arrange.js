// Which rows are shown and in which order, as the address says.

import { COLUMNS } from "./columns.js";

export const STATES = ["live", "quiet", "frozen", "stale", "halted", "delisted", "dead"];
const FIRST = "score";

/** Return what the query of the address asks for; `wrong` names what of it cannot be. */
export function readArrangement(query) {
  const text = (name) => query.get(name) ?? "", wrong = [];
  let sort = text("sort") || FIRST, order = text("order"), state = text("state");
  if (!COLUMNS[sort]?.sort) {
    wrong.push(`sort: there is no column “${sort}”; there are ${listSortable().join(", ")}`);
    sort = FIRST;
  }
  if (!["", "asc", "desc"].includes(order)) {
    wrong.push(`order: “${order}” is neither asc nor desc`);
    order = "";
  }
  if (state && !STATES.includes(state)) {
    wrong.push(`state: “${state}” is none of ${STATES.join(", ")}`);
    state = "";
  }
  const pins = query.has("pins") ? text("pins").split(",").filter(Boolean) : null;
  return { q: text("q"), exchange: text("exchange"), quote: text("quote"), state, sort, order: order || COLUMNS[sort].first, pins, wrong };
}

/** Return what of a query is to be kept under a name, as text: no pins, no wall. */
export function writeArrangement(query) {
  const kept = ["q", "exchange", "quote", "state", "sort", "order"].filter((name) => query.get(name));
  return new URLSearchParams(kept.map((name) => [name, query.get(name)])).toString();
}

/** Return the query for a sort by a column: the other way where it is sorted by that already. */
export function turnSort({ sort, order }, column) {
  const turned = sort === column ? (order === "asc" ? "desc" : "asc") : COLUMNS[column].first;
  return { sort: column === FIRST ? null : column, order: turned === COLUMNS[column].first ? null : turned };
}

/** Return the rows to show: the pinned first, each part sorted; what is not known is last, equals are by name. */
export function arrange(rows, wanted, pins) {
  const words = wanted.q.toUpperCase().split(/\s+/).filter(Boolean);
  const fits = (row) => (!wanted.exchange || row.exchange === wanted.exchange) && (!wanted.quote || row.quote === wanted.quote)
    && (!wanted.state || row.state === wanted.state) && words.every((word) => row.metric.toUpperCase().includes(word));
  const { sort } = COLUMNS[wanted.sort], way = wanted.order === "asc" ? 1 : -1;
  const found = [];
  for (const row of rows) if (fits(row)) found.push({ row, key: sort(row), isPinned: pins.has(row.metric) });
  found.sort((one, other) => other.isPinned - one.isPinned || compare(one.key, other.key, way) || (one.row.metric < other.row.metric ? -1 : 1));
  return found.map(({ row }) => row);
}

/** Return the values of a property that there are, each once. */
export function listValues(rows, name) {
  return [...new Set([...rows].map((row) => row[name]))].filter(Boolean).sort();
}

function compare(one, other, way) {
  if (one === null || other === null) return (one === null) - (other === null);
  return one < other ? -way : one > other ? way : 0;
}

function listSortable() {
  return Object.keys(COLUMNS).filter((name) => COLUMNS[name].sort);
}
