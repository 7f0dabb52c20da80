// The largest coins with their prices: now, as they change, or at a minute of the past.

import { Unanswered, ask, locate } from "../../app/api.js";
import { readNow } from "../../app/clock.js";
import { make, makeTrouble, setText } from "../../app/elements.js";
import { listen } from "../../app/live.js";
import { changeQuery } from "../../app/navigation.js";
import { explainTimes, listNearest } from "./missing.js";
import { drawList } from "./list.js";
import { makePicker } from "./picker.js";

const LIMITS = ["100", "500", "2000"];
const COLUMNS = "rank,symbol,name,id,price_usd,volume_24h_usd,price_time,volume_time";

export const top = {
  title: () => "Top list",
  open: (root, place) => new TopView(root, place),
};

class TopView {
  constructor(root, place) {
    this.picker = makePicker((at) => changeQuery({ at }));
    this.limit = make("select", { name: "limit", onchange: ({ target }) => changeQuery({ limit: target.value === LIMITS[0] ? null : target.value }) },
      LIMITS.map((value) => make("option", { value }, value)));
    this.csv = make("a", { download: "top.csv" }, "CSV");
    this.json = make("a", { target: "_blank" }, "JSON");
    this.said = make("div", { role: "status" });
    this.parts = make("div.grid");
    this.table = make("div.scroll", { tabindex: "0", role: "region", "aria-label": "Coins" });
    root.append(make("h2", {}, "Top list"), make("div.bar", {}, this.picker.element, make("label", {}, "Coins ", this.limit), this.csv, this.json), this.said, this.parts, this.table);
    this.update(place);
    this.stop = listen("tick", () => this.follow());
  }

  update({ query }) {
    this.query = { at: query.get("at"), limit: LIMITS.includes(query.get("limit")) ? query.get("limit") : LIMITS[0] };
    this.picker.show(this.query.at);
    this.limit.value = this.query.limit;
    this.read();
  }

  close() {
    this.stop();
    clearTimeout(this.retry);
    this.asking?.abort();
  }

  /** Ask again in another minute: no list comes more often. */
  follow() {
    if (this.query.at === null && Math.floor(readNow() / 60) !== this.minute) this.read();
  }

  async read() {
    this.asking?.abort();
    clearTimeout(this.retry);
    this.asking = new AbortController();
    this.minute = Math.floor(readNow() / 60);
    const { signal } = this.asking, asked = { limit: this.query.limit, datetime: this.query.at };
    this.csv.href = locate("top.csv", { ...asked, columns: COLUMNS, time: "iso" });
    this.json.href = locate("top", asked);
    try {
      this.draw(await ask("top", asked, { signal }));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      this.explain(error);
    }
  }

  draw(list) {
    this.shown = list;
    this.said.replaceChildren();
    drawList(this.parts, this.table, list, this.query.at);
    setText(this.said, "");
  }

  /** Say why there is no list, and where one is. What is shown stays while it is still the answer. */
  explain(error) {
    const isPast = error.status === 404;
    if (isPast || !this.shown) this.table.replaceChildren(), this.parts.replaceChildren();
    const nearest = listNearest(error).map((at) => make("button", { type: "button", onclick: () => changeQuery({ at }) }, `Show ${explainTimes(at)}`));
    const now = this.query.at === null ? [] : [make("button", { type: "button", onclick: () => changeQuery({ at: null }) }, "Show now")];
    this.said.replaceChildren(makeTrouble(`${explainTimes(error.message)}.`, make("div.bar", {}, nearest, now)));
    if (!isPast) this.retry = setTimeout(() => this.read(), error.retry * 1000);
  }
}
