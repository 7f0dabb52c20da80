// Views under names: a menu that saves the one that is shown, and goes to, renames, shares and deletes the others.

import { writeAddress } from "../../app/address.js";
import { announce, make, setText } from "../../app/elements.js";
import { deleteView, readViews, saveView } from "./storage.js";

const NOT_KEPT = "This browser keeps nothing; save the link instead.";

/** Return the menu. `read()` returns the query that is shown, as text; `readPins()` what is pinned. */
export function makeNamedViews({ read, readPins }) {
  const list = make("ul.named"), said = make("p.hint", { role: "status" });
  const input = make("input", { name: "view", maxlength: "60", required: true, autocomplete: "off" });
  const form = make("form", { onsubmit: save }, make("label", {}, "Name ", input), make("button", { type: "submit" }, "Save this view"));
  const copy = make("button", { type: "button", onclick: copyLink }, "Copy the link, with pins");
  const menu = make("details.menu", { ontoggle: () => menu.open && draw() }, make("summary", {}, "Views"), make("div.card", {}, list, form, copy, said));
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    menu.open = false;
    menu.firstChild.focus();
  });
  return menu;

  function draw() {
    list.replaceChildren(make("li", {}, makeLink("What moves now", "")), ...readViews().map((each) => makeItem(each)));
  }

  function makeItem({ name, query }) {
    const item = make("li", {}, makeLink(name, query),
      make("button", { type: "button", "aria-label": `Rename ${name}`, onclick: () => rename(item, name, query) }, "Rename"),
      make("button", { type: "button", "aria-label": `Delete ${name}`, onclick: () => say(deleteView(name), `“${name}” is deleted.`) }, "Delete"));
    return item;
  }

  function makeLink(name, query) {
    return make("a", { href: writeAddress("overview", Object.fromEntries(new URLSearchParams(query))), onclick: () => { menu.open = false; } }, name);
  }

  function save(event) {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    if (say(saveView(name, read()), `“${name}” is saved in this browser.`)) input.value = "";
  }

  /** Have another name put in where the name stands. One that is another view's already is refused. */
  function rename(item, name, query) {
    const field = make("input", { value: name, maxlength: "60", required: true, "aria-label": `New name of ${name}` });
    const taken = () => field.value.trim() !== name && readViews().some((each) => each.name === field.value.trim());
    const change = (event) => {
      event.preventDefault();
      const chosen = field.value.trim();
      if (taken()) {
        setText(said, `There is a view “${chosen}” already; choose another name.`);
      } else if (chosen) {
        const isKept = deleteView(name) && saveView(chosen, query);
        say(isKept, `“${name}” is now “${chosen}”.`);
      }
    };
    item.replaceChildren(make("form", { onsubmit: change }, field, make("button", { type: "submit" }, "Rename")));
    field.focus();
    field.select();
  }

  async function copyLink() {
    const link = writeAddress("overview", { ...Object.fromEntries(new URLSearchParams(read())), pins: [...readPins()].join(",") });
    try {
      await navigator.clipboard.writeText(link);
      setText(said, "The link is copied.");
    } catch {
      setText(said, link);
    }
  }

  function say(isKept, words) {
    setText(said, isKept ? words : NOT_KEPT);
    announce(isKept ? words : NOT_KEPT);
    draw();
    return isKept;
  }
}
