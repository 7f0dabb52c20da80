// What rules have said: a live list with its words and what became of each message, and what is silenced.

import { writeAddress } from "../../app/address.js";
import { Unanswered, ask, locate } from "../../app/api.js";
import { watchCaller } from "../../app/caller.js";
import { announce, make, makeTrouble } from "../../app/elements.js";
import { listen } from "../../app/live.js";
import { changeQuery } from "../../app/navigation.js";
import { bindKey } from "../../app/shortcuts.js";
import { makeCard } from "./card.js";
import { isMatching, makeFilters, readFilters, writeQuestion } from "./filters.js";
import { SilenceList } from "./silences.js";

const PAGE = 50; // alerts of one answer
const MOST = 500; // alerts that are shown at once

export const alerts = {
  title: () => "Alerts",
  open: (root, place) => new AlertsView(root, place),
};

class AlertsView {
  constructor(root, place) {
    this.alerts = [];
    this.open = new Set(); // ids of alerts whose details are shown
    this.filters = makeFilters((changes) => changeQuery(changes));
    this.json = make("a", { target: "_blank" }, "JSON");
    this.said = make("div", { role: "status" });
    this.list = make("ol.alert-list", { "aria-label": "Alerts, newest first" });
    this.more = make("button", { type: "button", onclick: () => this.read(this.next) }, "Show older ones");
    this.silences = new SilenceList(() => this.draw());
    root.append(make("h2", {}, "Alerts"), make("div.bar", {}, this.filters.element, this.json), this.said, this.list, this.more, this.silences.element);
    this.ends = [
      listen("alert", (alert) => this.take(alert)),
      listen("gap", () => this.read()),
      // What happened before the connection stood, or while it was down, is not pushed.
      listen("state", ({ state }) => state === "open" && this.wanted && this.read()),
      watchCaller(() => this.draw()),
      bindKey("/", "Go to the filters", () => this.filters.focus()),
    ];
    this.update(place);
    this.silences.read();
  }

  update({ query }) {
    const wanted = readFilters(query);
    this.filters.show(wanted);
    if (JSON.stringify(wanted) === JSON.stringify(this.wanted)) return this.draw();
    this.wanted = wanted;
    this.read();
  }

  close() {
    this.ends.forEach((end) => end());
    clearTimeout(this.retry);
    this.asking?.abort();
    this.silences.close();
  }

  /** Ask for the newest alerts, or for those behind a cursor, which are put after what is shown. */
  async read(cursor = null) {
    this.asking?.abort();
    clearTimeout(this.retry);
    this.asking = new AbortController();
    const { signal } = this.asking, question = { ...writeQuestion(this.wanted), limit: PAGE };
    this.json.href = locate("alerts", question);
    try {
      const answer = await ask("alerts", { ...question, cursor }, { signal, cache: "no-cache" });
      this.alerts = cursor ? [...this.alerts, ...answer.alerts] : answer.alerts;
      this.next = answer.next;
      this.said.replaceChildren();
      this.draw();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      this.explain(error, cursor);
    }
  }

  explain(error, cursor) {
    const isWrong = error.status === 422;
    const clear = make("button", { type: "button", onclick: () => changeQuery({ metric: null, rule: null, severity: null, state: null, since: null }) }, "Show all alerts");
    this.said.replaceChildren(makeTrouble(isWrong ? `This is not understood: ${error.message}.` : `No alerts: ${error.message}. It is asked again.`, isWrong ? clear : null));
    if (!isWrong) this.retry = setTimeout(() => this.read(cursor), error.retry * 1000);
  }

  /** Put an alert that was pushed in its place; one that is known already has changed. */
  take(alert) {
    const place = this.alerts.findIndex(({ id }) => id === alert.id);
    if (place < 0 && !isMatching(alert, this.wanted)) return;
    if (place < 0) {
      this.alerts = [alert, ...this.alerts].slice(0, MOST);
      announce(alert.title);
    } else {
      // What is pushed may have no attempts to send yet.
      const deliveries = alert.deliveries.length ? alert.deliveries : this.alerts[place].deliveries;
      this.alerts[place] = { ...this.alerts[place], ...alert, deliveries };
    }
    this.draw();
  }

  draw() {
    if (this.list.contains(document.activeElement?.closest?.("form"))) return; // somebody is typing
    const kept = new Map([...this.list.children].map((item) => [item.dataset.id, item]));
    const items = this.alerts.map((alert) => {
      const version = JSON.stringify([alert, this.silences.find(alert), this.open.has(alert.id)]);
      const item = kept.get(alert.id);
      return item?.version === version ? item : this.makeItem(alert, version);
    });
    const focused = document.activeElement?.closest?.("[data-id]")?.dataset.id;
    this.list.replaceChildren(...items);
    if (focused && document.activeElement === document.body) this.list.querySelector(`[data-id="${CSS.escape(focused)}"] summary`)?.focus();
    this.more.hidden = !this.next;
    if (!this.alerts.length && !this.said.childElementCount) {
      this.list.replaceChildren(make("li.muted", {}, this.explainNone()));
    }
  }

  /** Return why nothing is listed, and what may be done. */
  explainNone() {
    if (this.next) return "None of the newest alerts is like this; older ones may be.";
    if (Object.values(this.wanted).some(Boolean)) return "No alert is like this.";
    const rules = make("a", { href: writeAddress("rules") }, "the rules");
    return ["No rule has said anything yet. What one says is here the moment it does; ", rules, " show what is watched, and what they would have said of the past."];
  }

  makeItem(alert, version) {
    const item = makeCard(alert, {
      silence: this.silences.find(alert),
      isOpen: this.open.has(alert.id),
      onOpen: (isOpen) => this.open[isOpen ? "add" : "delete"](alert.id),
      onChanged: (changed) => this.take(changed),
      onSilenced: () => this.silences.read(),
    });
    item.version = version;
    return item;
  }
}
