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
    this.cards = new Map(); // what is drawn of each alert, by id
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
    if (JSON.stringify(wanted) === JSON.stringify(this.wanted)) {
      this.silences.draw();
      return this.draw();
    }
    this.wanted = wanted;
    this.isRead = false;
    this.alerts = this.alerts.slice(0, PAGE);
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
    const { signal } = this.asking, question = writeQuestion(this.wanted);
    // Asked again, the older ones that are shown are not taken from who reads them.
    const limit = cursor ? PAGE : Math.min(MOST, Math.max(PAGE, this.alerts.length));
    this.json.href = locate("alerts", { ...question, limit: PAGE });
    try {
      const answer = await ask("alerts", { ...question, limit, cursor }, { signal, cache: "no-cache" });
      if (!cursor && this.isRead) announceNew(this.alerts, answer.alerts);
      this.isRead = true;
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

  /** Draw each alert in its place. A card that is shown already is not moved: it may have the focus. */
  draw() {
    const shown = this.cards;
    this.cards = new Map(this.alerts.map((alert) => [alert.id, shown.get(alert.id) ?? this.makeCard(alert)]));
    const elements = [...this.cards.values()].map(({ element }) => element), wanted = new Set(elements);
    for (const child of [...this.list.children]) if (!wanted.has(child)) child.remove();
    elements.forEach((element, place) => element === this.list.children[place] || this.list.insertBefore(element, this.list.children[place] ?? null));
    for (const alert of this.alerts) this.cards.get(alert.id).update(alert, this.silences.find(alert));
    this.more.hidden = !this.next;
    if (!this.alerts.length && !this.said.childElementCount) this.list.replaceChildren(make("li.muted", {}, this.explainNone()));
  }

  /** Return why nothing is listed, and what may be done. */
  explainNone() {
    if (this.next) return "None of the newest alerts is like this; older ones may be.";
    if (Object.values(this.wanted).some(Boolean)) return "No alert is like this.";
    const rules = make("a", { href: writeAddress("rules") }, "the rules");
    return ["No rule has said anything yet. What one says is here the moment it does; ", rules, " show what is watched, and what they would have said of the past."];
  }

  makeCard(alert) {
    return makeCard(alert, { onChanged: (changed) => this.take(changed), onSilenced: () => this.silences.read() });
  }
}

/** Have read aloud what came while nothing was pushed. */
function announceNew(before, now) {
  const known = new Set(before.map(({ id }) => id)), newest = Math.max(0, ...before.map(({ at }) => Number(at)));
  const missed = now.filter(({ id, at }) => !known.has(id) && Number(at) >= newest);
  if (missed.length) announce(missed.length === 1 ? missed[0].title : `${missed.length} new alerts`);
}
