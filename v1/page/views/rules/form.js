// A form of a rule: fields of its kind, with what is wrong beside the field. What was typed stays when the kind changes.

import { make } from "../../app/elements.js";
import { KINDS, listFields } from "./kinds.js";

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d{1,3})?$/i;

export class RuleForm {
  /** `values` are texts by field; `isNew` says whether the id may be chosen; `change()` is called when something is typed. */
  constructor(values, { isNew, change }) {
    this.values = { kind: "ratio", ...values };
    this.isNew = isNew;
    this.trouble = make("div", { role: "alert" });
    this.fields = make("div.fields");
    this.kind = make("select", { name: "kind", id: "rule-kind", onchange: () => { this.values.kind = this.kind.value; this.draw(); change(); } },
      Object.entries(KINDS).map(([value, { label }]) => make("option", { value, selected: value === this.values.kind }, label)));
    this.element = make("div.rule-fields", { oninput: ({ target }) => { this.take(target); change(); } },
      make("p.field", {}, make("label", { for: "rule-kind" }, "Kind"), this.kind), this.fields, this.trouble);
    this.draw();
  }

  /** Return the document of what is typed, as JSON: numbers keep their digits. What is empty is left out; `others` are fields with other texts. */
  write(others = {}) {
    const { kind } = this.values, parts = [["kind", JSON.stringify(kind)]], mute = [];
    for (const field of listFields(kind)) {
      const value = others[field.name] ?? this.read(field), [group, part] = field.name.split(".");
      if (field.isFlag) parts.push([field.name, String(value)]);
      else if (value === "") continue;
      else if (part) mute.push([part, JSON.stringify(value)]);
      else parts.push([group, writeValue(field, value)]);
    }
    if (mute.length) parts.push(["mute", writeObject(mute)]);
    return writeObject(parts);
  }

  /** Show what the API does not accept: each at its field, the rest below. The first field that is wrong has the focus. */
  complain(error) {
    this.clear();
    const rest = [];
    for (const { field, value, accepted } of error.errors) {
      const name = String(field).replace(/^rules\.0\.?/, ""), input = this.inputs.get(name) ?? this.inputs.get(name.split(".")[0]) ?? this.inputs.get(`${name}.start`);
      const words = `${value === null || value === undefined ? "" : `${JSON.stringify(value)} is not accepted; `}accepted: ${accepted}`;
      if (!input) rest.push(`${field}: ${words}`);
      else {
        input.setAttribute("aria-invalid", "true");
        document.getElementById(`${input.id}-wrong`).textContent = words;
      }
    }
    const wrong = this.fields.querySelector("[aria-invalid]");
    if (rest.length || !wrong) this.trouble.replaceChildren(make("p.trouble", {}, `Not accepted: ${rest.join("; ") || error.message}.`));
    wrong?.focus();
  }

  clear() {
    this.trouble.replaceChildren();
    for (const input of this.inputs.values()) {
      input.removeAttribute("aria-invalid");
      document.getElementById(`${input.id}-wrong`).textContent = "";
    }
  }

  take({ name, type, value, checked }) {
    if (name && name !== "kind") this.values[name] = type === "checkbox" ? checked : value;
  }

  read({ name, usual = "", isFlag }) {
    const value = this.values[name] ?? (isFlag ? Boolean(usual) : usual);
    return isFlag ? value : String(value).trim();
  }

  draw() {
    this.inputs = new Map();
    this.fields.replaceChildren(...listFields(this.values.kind).map((field) => this.makeField(field)));
    this.trouble.replaceChildren();
  }

  makeField(field) {
    const { name, label, help, unit, options, isFlag, isNeeded } = field, id = `rule-${name.replace(".", "-")}`;
    const current = this.values[name] ?? field.usual ?? (options ? Object.keys(options)[0] : "");
    const common = { id, name, "aria-describedby": `${id}-help ${id}-wrong` };
    const input = options ? make("select", common, Object.entries(options).map(([value, text]) => make("option", { value, selected: value === String(current) }, text)))
      : isFlag ? make("input", { ...common, type: "checkbox", checked: Boolean(current) })
        : make("input", { ...common, type: "text", value: current, autocomplete: "off", spellcheck: "false", required: isNeeded, readonly: name === "id" && !this.isNew });
    this.inputs.set(name, input);
    return make("p.field", {}, make("label", { for: id }, label), input, make("span.hint", { id: `${id}-help` }, [unit, help].filter(Boolean).join(". ")), make("span.wrong", { id: `${id}-wrong` }));
  }
}

/** Return the values of a form of a rule as the API shows it. */
export function readValues(rule) {
  const values = {};
  for (const field of listFields(rule.kind)) {
    const [group, part] = field.name.split("."), value = part ? rule[group]?.[part] : rule[group];
    if (value !== null && value !== undefined) values[field.name] = field.isList ? value.join(", ") : value;
  }
  return { ...values, kind: rule.kind };
}

function writeValue(field, value) {
  if (field.isList) return JSON.stringify(value.split(",").map((each) => each.trim()).filter(Boolean));
  const isText = ["id", "name", "metrics"].includes(field.name) || field.options;
  return !isText && NUMBER.test(value) ? value : JSON.stringify(value);
}

function writeObject(parts) {
  return `{${parts.map(([name, written]) => `${JSON.stringify(name)}:${written}`).join(",")}}`;
}
