// The keys that there are, in a dialog, and the keys by which views are reached.

import { make } from "./elements.js";
import { go } from "./navigation.js";
import { changePreferences, readPreferences } from "./preferences.js";
import { bindKey, listKeys } from "./shortcuts.js";

const VIEWS = { overview: "the overview", alerts: "alerts", rules: "rules", top: "the top list", status: "status" };

export function startHelp() {
  for (const [view, name] of Object.entries(VIEWS)) bindKey(`g ${view[0]}`, `go to ${name}`, () => go(view));
  bindKey("?", "show this help", openHelp);
}

/** Show the help; escape, its button, or a click beside it closes it. */
export function openHelp() {
  const dialog = make("dialog.help", { "aria-labelledby": "help-title", onclose: () => dialog.remove(), onclick: ({ target }) => target === dialog && dialog.close() },
    make("div", {},
      make("h2", { id: "help-title" }, "Keys"),
      make("dl.keys", {}, listKeys().map(({ key, help }) => [make("dt", {}, key.split(" ").map((each) => make("kbd", {}, each))), make("dd", {}, help)])),
      make("p", {}, make("label", {},
        make("input", { type: "checkbox", checked: readPreferences().keys, onchange: ({ target }) => changePreferences({ keys: target.checked }) }),
        " These keys are switched on")),
      make("p.hint", {}, "They do nothing while you type. Without them everything is reached by the tabulator key."),
      make("button.primary", { type: "button", onclick: () => dialog.close() }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
