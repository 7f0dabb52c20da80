// Keys that do something on a view. They are silent while somebody types.

const bound = new Map();

/** Call `action` at a key, such as `/` or `ArrowDown`, and list it in the help. Return what ends that. */
export function bindKey(key, help, action) {
  const own = { help, action };
  bound.set(key, own);
  return () => bound.get(key) === own && bound.delete(key);
}

/** Return all keys with what they do. */
export function listKeys() {
  return [...bound].map(([key, { help }]) => ({ key, help }));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input, select, textarea, [contenteditable], dialog")) return;
  const found = bound.get(event.key);
  if (!found) return;
  event.preventDefault();
  found.action(event);
});
