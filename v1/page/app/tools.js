// What somebody sets for every view: colours, the zone of times, signals; and the help.

import { make } from "./elements.js";
import { openHelp } from "./help.js";
import { changePreferences, readPreferences } from "./preferences.js";
import { listSignals } from "./signals.js";

const CHOICES = {
  theme: ["Colours", { system: "as the system", light: "light", dark: "dark" }],
  zone: ["Times", { utc: "UTC", local: "local" }],
};

export function startTools() {
  const menu = make("details.menu", {}, make("summary", {}, "Settings"),
    make("div.card", {},
      Object.entries(CHOICES).map(makeChoice),
      listSignals().map(makeSignal),
      make("p.hint", { id: "signal-trouble", role: "status" })));
  const help = make("button", { type: "button", onclick: openHelp }, "Help");
  document.getElementById("tools").replaceChildren(menu, help);
  document.addEventListener("click", ({ target }) => menu.contains(target) || menu.removeAttribute("open"));
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    menu.removeAttribute("open");
    menu.firstChild.focus();
  });
}

function makeChoice([name, [label, options]]) {
  const current = readPreferences()[name];
  return make("label", {}, `${label} `, make("select", { name, onchange: ({ target }) => changePreferences({ [name]: target.value }) },
    Object.entries(options).map(([value, text]) => make("option", { value, selected: current === value }, text))));
}

function makeSignal({ name, label, missing, turn }) {
  const box = make("input", { type: "checkbox", name, checked: readPreferences()[name] && !missing, disabled: Boolean(missing) });
  box.addEventListener("change", async () => {
    const trouble = await turn(box.checked);
    box.checked = readPreferences()[name];
    document.getElementById("signal-trouble").textContent = trouble;
  });
  return make("label", { title: missing || null }, box, ` ${label}`, missing ? make("span.hint", {}, ` (${missing})`) : null);
}
