// One row of the overview. It is given another metric whenever that is scrolled to, and changes only what differs.

import { writeAddress } from "../../app/address.js";
import { make } from "../../app/elements.js";
import { COLUMNS } from "./columns.js";
import { makeLine } from "./line.js";

const DRAWN = Object.entries(COLUMNS).filter(([, { draw }]) => draw);

/** Return `{ element, draw(row, index) }`; `state` says what is pinned and active, and has the lines of the day. */
export function makeRow(state, { pin }) {
  let shown = null;
  const button = make("button.pin", { type: "button", tabindex: "-1", onclick: () => pin(shown.metric) });
  const exchange = make("span.exchange"), pair = make("span"), link = make("a", { tabindex: "-1" }, exchange, pair), line = makeLine();
  const cells = Object.fromEntries(Object.keys(COLUMNS).map((name) => [name, make(`div.${name}`, { role: "gridcell" })]));
  cells.pin.append(button);
  cells.name.append(link);
  cells.line.append(line.element);
  const element = make("div.row", { role: "row" }, Object.values(cells));
  const put = makeSetter();
  return {
    element,
    draw(row, index) {
      shown = row;
      const isPinned = state.pins.has(row.metric), isActive = row.metric === state.active;
      put(element, "id", `row-${index}`);
      put(element, "aria-rowindex", String(index + 2));
      put(element, "className", `row${isActive ? " active" : ""}${isPinned ? " pinned" : ""}`);
      put(element, "aria-selected", String(isActive));
      put(button, "text", isPinned ? "★" : "☆");
      put(button, "aria-label", `${isPinned ? "Unpin" : "Pin"} ${row.metric}`);
      put(button, "aria-pressed", String(isPinned));
      put(exchange, "text", row.metric.slice(0, row.metric.length - row.pair.length));
      put(pair, "text", row.pair);
      put(link, "aria-label", row.metric);
      put(link, "title", row.metric);
      put(link, "href", writeAddress("metric", {}, row.metric));
      for (const [name, { draw }] of DRAWN) {
        const { text, title = "", className = "" } = draw(row);
        put(cells[name], "text", text);
        put(cells[name], "title", title);
        put(cells[name], "className", `${name} ${className}`);
      }
      line.draw(state.lines.get(row.metric), row.price);
    },
  };
}

/** Return what sets a text, a class or an attribute where it differs from what it has set before. */
function makeSetter() {
  const known = new Map();
  return (element, name, value) => {
    let own = known.get(element);
    if (!own) known.set(element, (own = {}));
    if (own[name] === value) return;
    own[name] = value;
    if (name === "text") element.textContent = value;
    else if (name === "className") element.className = value;
    else element.setAttribute(name, value);
  };
}
