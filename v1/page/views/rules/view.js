// Rules: what there is, in sentences; a form of each kind with a trial on the past; and all of it as a file.

import { isAllowed, readCaller, watchCaller } from "../../app/caller.js";
import { Unanswered, ask, quote, send } from "../../app/api.js";
import { announce, make, makeTrouble } from "../../app/elements.js";
import { bindKey } from "../../app/shortcuts.js";
import { changeQuery } from "../../app/navigation.js";
import { makeEditor } from "./editor.js";
import { KINDS } from "./kinds.js";
import { makeRules, writeRule } from "./list.js";
import { MessageTests } from "./message-test.js";
import { makeRuleSet } from "./rule-set.js";

const MOST = 1000;

export const rules = {
  title: () => "Rules",
  open: (root, place) => new RulesView(root, place),
};

class RulesView {
  constructor(root, place) {
    this.search = make("input", { type: "search", name: "q", "aria-label": "Search rules", placeholder: "Search rules", oninput: () => changeQuery({ q: this.search.value || null }) });
    this.add = make("button.primary", { type: "button", onclick: () => changeQuery({ new: "ratio", rule: null }, { replace: false }) }, "New rule");
    this.said = make("div", { role: "status" });
    this.editor = make("div");
    this.list = make("div");
    this.file = make("div");
    root.append(make("h2", {}, "Rules"), make("div.bar", {}, this.add, this.search), this.said, this.editor, this.list, this.file);
    this.tests = new MessageTests();
    this.stops = [bindKey("n", "New rule", () => isAllowed("rules") && this.add.click()), bindKey("/", "Search rules", () => this.search.focus()), watchCaller(() => this.drawAll())];
    this.update(place);
    this.read();
  }

  update({ query }) {
    const read = (name) => query.get(name);
    this.query = { q: read("q") ?? "", rule: read("rule"), kind: read("rule") === null && read("new") !== null ? (Object.hasOwn(KINDS, read("new")) ? read("new") : "ratio") : null };
    if (this.search.value !== this.query.q) this.search.value = this.query.q;
    this.drawList();
    this.drawEditor();
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.shown?.close();
    this.tests.close();
    this.asking?.abort();
    clearTimeout(this.retry);
  }

  async read() {
    this.asking?.abort();
    clearTimeout(this.retry);
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      let cursor = null;
      const found = [];
      do {
        const page = await ask("rules", { limit: MOST, cursor }, { signal, cache: "no-cache" });
        found.push(...page.rules);
        cursor = page.next;
        this.problem = page.problem;
      } while (cursor);
      this.rules = found;
      this.said.replaceChildren(...(this.problem ? [make("p.warning", {}, `The file of rules is not read: ${this.problem}`)] : []));
      this.drawAll();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      this.said.replaceChildren(makeTrouble(`The rules cannot be shown: ${error.message}.`));
      this.retry = setTimeout(() => this.read(), error.retry * 1000);
    }
  }

  drawAll() {
    const refusal = explainRefusal();
    this.add.disabled = Boolean(refusal);
    this.add.title = refusal ?? "";
    this.drawList();
    this.drawEditor();
    this.drawFile(refusal);
  }

  /** Show the part with the file. One that is shown already stays, with the file that was chosen and what was said of it. */
  drawFile(refusal) {
    if (this.file.firstChild && this.fileRefusal === refusal) return;
    this.fileRefusal = refusal;
    this.file.replaceChildren(makeRuleSet({ refusal, applied: () => this.read() }));
  }

  drawList() {
    if (!this.rules) return;
    const wanted = this.query.q.toLowerCase();
    const found = this.rules.filter((rule) => [rule.id, rule.name, rule.metrics, rule.kind].some((text) => text.toLowerCase().includes(wanted)));
    this.list.replaceChildren(...makeRules(found, { refusal: explainRefusal(), act: (name, rule, button) => this.act(name, rule, button), tests: this.tests }));
  }

  /** Show the form that the address names. One that is shown already stays, with all that was typed. */
  drawEditor() {
    const { rule: id, kind } = this.query, key = id !== null ? `rule ${id}` : kind ? "new" : null;
    if (key === (this.shown?.key ?? null) || (id !== null && !this.rules)) return;
    this.shown?.close();
    this.shown = null;
    if (key === null) return this.editor.replaceChildren();
    const rule = id === null ? null : this.rules.find((each) => each.id === id);
    if (id !== null && !rule) return this.editor.replaceChildren(makeTrouble(`There is no rule ${id}.`, make("button", { type: "button", onclick: () => this.leave() }, "Show all rules")));
    this.shown = { key, ...makeEditor({ rule, kind, refusal: explainRefusal, saved: (words) => this.finish(words), leave: () => this.leave() }) };
    this.editor.replaceChildren(this.shown.element);
    return this.shown.focus();
  }

  leave() {
    changeQuery({ rule: null, new: null }, { replace: false });
    this.add.focus();
  }

  async finish(words) {
    announce(words);
    this.leave();
    await this.read();
    this.said.replaceChildren(make("p.note", {}, words));
  }

  async act(name, rule, button) {
    const told = rule.name || rule.id;
    if (name === "delete" && !confirm(`Delete the rule ${told}? What it has told so far stays. A default rule that was changed is switched off instead.`)) return;
    button.disabled = true;
    try {
      if (name === "delete") await send("DELETE", `rules/${quote(rule.id)}`);
      else await send("PUT", `rules/${quote(rule.id)}`, writeRule(rule, { enabled: !rule.enabled }));
      await this.read();
      announce(name === "delete" ? `${told} is deleted` : `${told} is ${rule.enabled ? "off" : "on"}`);
      (document.querySelector(`[data-rule="${CSS.escape(rule.id)}"] button`) ?? this.add).focus();
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      button.disabled = false;
      this.said.replaceChildren(makeTrouble(`${told} is as it was: ${error.message}.`));
    }
  }
}

/** Return why nothing may be changed, or null. */
function explainRefusal() {
  return isAllowed("rules") ? null : `The key of ${readCaller().name ?? "nobody"} may read only: to change rules takes one of the scope rules.`;
}
