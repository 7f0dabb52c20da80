// Runs once in a browser, however many tabs are open, and holds their one connection (HTTP/1.1 allows six in all).

import { StreamHub } from "./stream-hub.js";

const ALIVE = 10_000; // milliseconds between two signs of life of a tab; one that is closed gives none
const hub = new StreamHub();
const tabs = new Map();

self.onconnect = ({ ports: [port] }) => {
  const tab = { leave: null, heard: Date.now() };
  tabs.set(port, tab);
  port.onmessage = ({ data }) => {
    tab.heard = Date.now();
    if (data.type === "join") {
      tab.leave?.();
      tab.leave = hub.join(data.url, data.headers, (message) => port.postMessage(message));
    } else if (data.type === "leave") {
      drop(port);
    }
  };
};

function drop(port) {
  tabs.get(port)?.leave?.();
  tabs.delete(port);
}

setInterval(() => {
  // A tab in the background may be slowed down to one timer a minute.
  for (const [port, tab] of tabs) if (Date.now() - tab.heard > 12 * ALIVE) drop(port);
}, ALIVE);
