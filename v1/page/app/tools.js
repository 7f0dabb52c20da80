// What somebody sets for every view: colours and the zone of times.

import { make } from "./elements.js";
import { changePreferences, readPreferences } from "./preferences.js";

const CHOICES = {
  theme: ["Colours", { system: "as the system", light: "light", dark: "dark" }],
  zone: ["Times", { utc: "UTC", local: "local" }],
};

export function startTools() {
  document.getElementById("tools").replaceChildren(...Object.entries(CHOICES).map(([name, [label, options]]) =>
    make("label", {}, `${label} `, make("select", { name, onchange: ({ target }) => changePreferences({ [name]: target.value }) },
      Object.entries(options).map(([value, text]) => make("option", { value, selected: readPreferences()[name] === value }, text))))));
}
