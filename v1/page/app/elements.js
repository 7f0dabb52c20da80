// Makes elements. Text is only ever set as text, so nothing that a provider or a person wrote is read as HTML.

/**
 * Return an element. `spec` is a tag with classes (`button.primary`); a property that starts with `on` is a listener,
 * `dataset` an object; one of null, undefined or false is left out; any other is an attribute. Children are elements,
 * texts, or lists of them; null and false are left out.
 */
export function make(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set a text where it differs: a screen reader reads each change aloud. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Have a screen reader read a text aloud. */
export function announce(text) {
  setText(document.getElementById("announcement"), text);
}

/** Return a sentence in trouble's colour, with what may be done about it. */
export function makeTrouble(message, ...actions) {
  return make("div.trouble", { role: "alert" }, make("p", {}, message), actions);
}
