// What the overview keeps in this browser: pinned metrics, and views under names.

const PINS = "data-tracker pins", VIEWS = "data-tracker views";

/** Return the names of the pinned metrics. */
export function readPins() {
  return new Set(read(PINS).filter((each) => typeof each === "string"));
}

export function writePins(pins) {
  write(PINS, [...pins]);
}

/** Return the views that were saved, by name: `{ name, query }`. */
export function readViews() {
  return read(VIEWS).filter((each) => typeof each?.name === "string" && typeof each.query === "string");
}

/** Save a view; one of the same name is replaced. Return whether the browser has kept it. */
export function saveView(name, query) {
  const others = readViews().filter((each) => each.name !== name);
  return write(VIEWS, [...others, { name, query }].sort((one, other) => one.name.localeCompare(other.name)));
}

export function deleteView(name) {
  return write(VIEWS, readViews().filter((each) => each.name !== name));
}

function read(key) {
  try {
    const known = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(known) ? known : [];
  } catch {
    return [];
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
