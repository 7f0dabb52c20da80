// The titles of the columns: each of those that can be sorted by is a button.

import { make } from "../../app/elements.js";
import { COLUMNS } from "./columns.js";

/** Return `{ element, show(wanted) }`; `choose` gets the name of a column. */
export function makeHead(choose) {
  const cells = Object.entries(COLUMNS).map(([name, { title, help, sort }]) => [name, make(`div.${name}`, { role: "columnheader", title: help },
    sort ? make("button", { type: "button", onclick: () => choose(name) }, title) : make("span", { class: name === "pin" ? "unseen" : "" }, title))]);
  return {
    element: make("div.head", { role: "rowgroup" }, make("div.row", { role: "row", "aria-rowindex": "1" }, cells.map(([, cell]) => cell))),
    show(wanted) {
      for (const [name, cell] of cells) {
        if (name === wanted.sort) cell.setAttribute("aria-sort", wanted.order === "asc" ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
      }
    },
  };
}
