// Every metric as a row, what moves now first, with what is known of it as it comes.

import { Unanswered } from "../../app/api.js";
import { announce, make, makeTrouble, setText } from "../../app/elements.js";
import { readHealth, watchHealth } from "../../app/health.js";
import { listen } from "../../app/live.js";
import { changeQuery, go } from "../../app/navigation.js";
import { measureFilling } from "../../app/reasons.js";
import { bindKey } from "../../app/shortcuts.js";
import { arrange, readArrangement, turnSort, writeArrangement } from "./arrange.js";
import { makeControls } from "./controls.js";
import { makeHead } from "./head.js";
import { Lines } from "./lines.js";
import { Market } from "./market.js";
import { makeNamedViews } from "./named-views.js";
import { NewestAlerts, drawMovers } from "./news.js";
import { RowKeys } from "./row-keys.js";
import { RowWindow } from "./row-window.js";
import { makeRow } from "./row.js";
import { SnapshotReader } from "./snapshot.js";
import { readPins, writePins } from "./storage.js";

const SECOND = 1000;

export const overview = {
  title: () => "What moves now",
  open: (root, place) => new OverviewView(root, place),
};

class OverviewView {
  constructor(root, place) {
    this.market = new Market();
    this.lines = new Lines(() => this.window.refresh());
    this.state = { pins: readPins(), active: null, lines: this.lines };
    this.build(root);
    this.snapshot = new SnapshotReader(this.market, { onRows: () => this.arrange(), onState: (error) => this.explain(error) });
    this.update(place);
    this.alerts = new NewestAlerts(this.news);
    this.stops = [
      listen("tick", (tick) => this.takeTick(tick)), listen("alert", (alert) => this.alerts.take(alert)), listen("gap", () => this.catchUp()),
      // What happened before the connection stood, or while it was down, is not pushed.
      listen("state", ({ state }) => state === "open" && this.alerts.read()),
      watchHealth(() => this.takeHealth()), bindKey("/", "search metrics", () => this.controls.search.focus()),
    ];
    // Ages go on between two ticks.
    const timer = setInterval(() => document.hidden || this.window.refresh(), 5 * SECOND);
    this.stops.push(() => clearInterval(timer));
    this.snapshot.want();
  }

  build(root) {
    const menu = makeNamedViews({ read: () => writeArrangement(this.query), readPins: () => this.state.pins });
    this.controls = makeControls(menu);
    this.movers = make("section.movers", { "aria-label": "Movers" });
    this.news = make("section.news", { "aria-label": "Newest alerts" });
    this.said = make("div", { role: "status" });
    this.head = makeHead((column) => changeQuery(turnSort(this.wanted, column)));
    this.body = make("div.body", { role: "rowgroup" });
    this.empty = make("p.empty.muted", { role: "status" });
    this.grid = make("div.rows", { role: "grid", tabindex: "0", "aria-label": "Metrics" }, this.head.element, this.body);
    root.append(make("h2.unseen", {}, "What moves now"), this.movers, this.news, this.controls.element, this.said, this.empty, this.grid);
    this.window = new RowWindow(this.grid, this.body, () => makeRow(this.state, { pin: (metric) => this.pin(metric) }), { onRange: (first, last) => this.drawn(first, last) });
    this.keys = new RowKeys(this.grid, this.window, this.state, { open: (metric) => go("metric", {}, { metric }), pin: (metric) => this.pin(metric) });
  }

  update({ query }) {
    this.query = query;
    this.wanted = readArrangement(query);
    this.state.pins = this.wanted.pins ? new Set(this.wanted.pins) : readPins();
    this.head.show(this.wanted);
    this.explain(this.snapshot.error);
    this.arrange();
    // Other times of day and other colours are no other rows.
    if (this.shown !== (this.shown = writeArrangement(query))) this.grid.scrollTop = 0;
  }

  /** Ask for what was not pushed. */
  catchUp() {
    this.snapshot.want();
    this.alerts.read();
  }

  close() {
    for (const stop of this.stops) stop();
    this.snapshot.close();
    this.lines.close();
    this.alerts.close();
    this.window.close();
  }

  /** Show the next rows on a wall; return whether there were any. */
  turnPage() {
    const next = this.window.first + this.window.countSeen(), { scrollTop } = this.grid;
    this.grid.scrollTop += this.window.countSeen() * this.window.height;
    return next < this.window.items.length && this.grid.scrollTop > scrollTop;
  }

  takeTick(tick) {
    this.market.takeTick(tick);
    this.arrange();
    this.snapshot.want();
  }

  takeHealth() {
    const { health } = readHealth(), filling = health ? measureFilling(health) : null;
    // What a fill brings comes with no tick of its own.
    if (filling !== this.filling) this.snapshot.want();
    this.filling = filling;
    this.count();
    this.drawMovers();
  }

  arrange() {
    const rows = this.market.rows, items = arrange(rows.values(), this.wanted, this.state.pins);
    this.controls.show(this.wanted, [...rows.values()]);
    this.grid.setAttribute("aria-rowcount", String(items.length + 1));
    this.keys.follow(items);
    this.window.show(items);
    this.count();
    this.drawMovers();
  }

  count() {
    const all = this.market.rows.size, shown = this.window.items.length;
    this.controls.count(shown, all, [this.filling !== null && this.filling !== undefined ? `filling, ${this.filling} %` : null, this.snapshot.isFirst ? "reading" : null].filter(Boolean));
    setText(this.empty, all ? (shown ? "" : "No metric fits. Change the search and the filters, or show all.") : this.explainEmpty());
    this.grid.hidden = !shown;
  }

  explainEmpty() {
    const interval = readHealth().health?.tick.interval;
    if (this.snapshot.isFirst) return "Reading…";
    return `No metric has a sample yet. The worker takes one ${interval ? `every ${interval} s` : "at each tick"}, and they are shown here by themselves; if none comes, Status says why.`;
  }

  drawMovers() {
    drawMovers(this.movers, this.market.rows.values(), Number(readHealth().health?.tick.interval ?? 0));
  }

  drawn(first, last) {
    this.keys.mark();
    this.lines.want(this.window.items.slice(first, last + 1).map(({ metric }) => metric));
  }

  pin(metric) {
    const pins = new Set(this.state.pins), isPinned = !pins.delete(metric);
    if (isPinned) pins.add(metric);
    announce(`${metric} is ${isPinned ? "pinned" : "not pinned any more"}`);
    if (this.wanted.pins) {
      changeQuery({ pins: [...pins].join(",") || "," });
      return;
    }
    writePins((this.state.pins = pins));
    this.arrange();
  }

  /** Say what of the address cannot be, and that the snapshot could not be had; what is shown stays. */
  explain(error) {
    const troubles = this.wanted.wrong.map((text) => makeTrouble(`The address says ${text}.`));
    if (error instanceof Unanswered) {
      troubles.push(makeTrouble(`Changes, ranks and states could not be read: ${error.message}. It is tried again by itself.`, make("button", { type: "button", onclick: () => this.snapshot.want({ now: true }) }, "Try now")));
    }
    this.said.replaceChildren(...troubles);
    if (error) this.count();
  }
}
