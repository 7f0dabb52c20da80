// Runs once in a browser, however many tabs are open, and holds their one connection (HTTP/1.1 allows six in all).

import { StreamHub } from "./stream-hub.js";

const ALIVE = 10_000; // milliseconds between two signs of life of a tab; one that is closed gives none
const hub = new StreamHub();
const tabs = new Map();

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => take(port, data);
};

function take(port, { type, url, headers }) {
  const tab = tabs.get(port);
  if (tab) tab.heard = Date.now();
  if (type === "join") {
    tab?.leave();
    tabs.set(port, { leave: hub.join(url, headers, (message) => port.postMessage(message)), heard: Date.now() });
  } else if (type === "leave") {
    drop(port);
  } else if (type === "wake") {
    hub.wake();
  }
  // A tab that was put to sleep for long is not known any more.
  if (!tab && (type === "alive" || type === "wake")) port.postMessage({ type: "unknown" });
}

function drop(port) {
  tabs.get(port)?.leave();
  tabs.delete(port);
}

let checked = Date.now();
setInterval(() => {
  const now = Date.now();
  // A tab in the background may be slowed down to one timer a minute; and while the machine slept nobody spoke.
  if (now - checked > 3 * ALIVE) hub.wake();
  else for (const [port, tab] of tabs) if (now - tab.heard > 12 * ALIVE) drop(port);
  checked = now;
}, ALIVE);
