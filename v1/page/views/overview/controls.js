// What chooses rows: the search, the filters, and how many of all are shown.

import { make, setText } from "../../app/elements.js";
import { changeQuery } from "../../app/navigation.js";
import { writeExact } from "../../format/numbers.js";
import { STATES, listValues } from "./arrange.js";

const FILTERS = { exchange: "Exchange", quote: "Quote", state: "State" };

/** Return `{ element, search, show(wanted, rows), count(shown, all, words) }`. */
export function makeControls(menu) {
  const search = make("input", { type: "search", name: "q", placeholder: "BTC, KRAKEN:…", autocomplete: "off", spellcheck: "false", oninput: () => changeQuery({ q: search.value || null }) });
  search.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && !search.value) search.blur();
  });
  const selects = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, make("select", { name, onchange: ({ target }) => changeQuery({ [name]: target.value || null }) })]));
  const count = make("span.muted.count", { role: "status" });
  const clear = make("button", { type: "button", hidden: true, onclick: () => { changeQuery({ q: null, exchange: null, quote: null, state: null }); search.focus(); } }, "Show all");
  const element = make("div.bar", { role: "search", "aria-label": "Metrics" }, make("label", {}, "Search ", search),
    Object.entries(FILTERS).map(([name, title]) => make("label", {}, `${title} `, selects[name])), clear, menu, count);
  const drawn = {};
  return {
    element,
    search,
    show(wanted, rows) {
      if (search.value !== wanted.q) search.value = wanted.q;
      for (const name of Object.keys(FILTERS)) {
        const values = name === "state" ? STATES : listValues(rows, name);
        // One of a shared link may have no metric here; it is shown as chosen all the same.
        const all = wanted[name] && !values.includes(wanted[name]) ? [...values, wanted[name]] : values;
        if (drawn[name] !== (drawn[name] = all.join())) selects[name].replaceChildren(make("option", { value: "" }, "all"), ...all.map((value) => make("option", { value }, value)));
        selects[name].value = wanted[name];
      }
      clear.hidden = !["q", "exchange", "quote", "state"].some((name) => wanted[name]);
    },
    count(shown, all, words) {
      setText(count, [`${writeExact(String(shown))} of ${writeExact(String(all))} shown`, ...words].join(", "));
    },
  };
}
