// All rules and silences as a file: to keep it, and to put it back, after what it would change was seen.

import { Unanswered, locate, send } from "../../app/api.js";
import { announce, make, makeTrouble } from "../../app/elements.js";

const WORDS = { created: "new", changed: "changed", deleted: "deleted", unchanged: "as they are" };
const LARGEST = 1024 * 1024; // bytes that the API takes

/** Return the element; `applied()` is called when a file was put back, `refusal` is why nothing may be changed, or null. */
export function makeRuleSet({ refusal, applied }) {
  const said = make("div", { role: "status" });
  const input = make("input", { type: "file", id: "rule-set", accept: ".json,application/json", disabled: Boolean(refusal), title: refusal, onchange: () => input.files[0] && preview(input, said, applied) });
  return make("details.card", {}, make("summary", {}, "All rules and silences as a file"),
    make("p.hint", {}, "What was written here and by the API, without the rules of the file of rules. To put it back is to have exactly that: what is not in it is deleted."),
    make("div.bar", {}, make("a", { href: locate("rule-set"), download: "rules.json" }, "Save as a file"), make("label", { for: "rule-set" }, "Put a file back"), input), refusal ? make("p.hint", {}, refusal) : null, said);
}

async function preview(input, said, applied) {
  const [file] = input.files, text = await file.text();
  if (file.size > LARGEST) return said.replaceChildren(makeTrouble(`The file has ${file.size} bytes; the API takes ${LARGEST} at most.`));
  const changes = await put("rule-set?dry_run=true", text, said);
  if (!changes) return undefined;
  const apply = make("button.danger", { type: "button", onclick: async () => {
    apply.disabled = true;
    if (await put("rule-set", text, said)) {
      input.value = "";
      said.replaceChildren(make("p.note", {}, "The file is put back."));
      announce("The file is put back.");
      applied();
    }
  } }, "Put it back");
  const cancel = make("button", { type: "button", onclick: () => { input.value = ""; said.replaceChildren(); input.focus(); } }, "Leave it");
  said.replaceChildren(make("p", {}, `What ${file.name} would change:`), describe("Rules", changes.rules), describe("Silences", changes.silences),
    changes.left_out.length ? make("p.hint", {}, `Silences that are over and left out: ${changes.left_out.join(", ")}.`) : "", make("div.bar", {}, apply, cancel));
  return apply.focus();
}

async function put(path, text, said) {
  try {
    return await send("PUT", path, text);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    const faults = error.errors.map(({ field, value, accepted }) => make("li", {}, `${field}: ${JSON.stringify(value)} is not accepted; accepted: ${accepted}`));
    said.replaceChildren(makeTrouble(`Nothing was changed: ${error.message}.`, make("ul", {}, faults)));
    return null;
  }
}

function describe(title, changes) {
  const parts = Object.entries(WORDS).filter(([name]) => changes[name].length).map(([name, words]) => `${changes[name].length} ${words}: ${changes[name].join(", ")}`);
  return make("p", {}, `${title}: ${parts.join("; ") || "none"}.`);
}
