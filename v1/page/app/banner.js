// Says on every view what is wrong, and how old the newest tick is.

import { readClockError, readNow } from "./clock.js";
import { make, setText } from "./elements.js";
import { readHealth, watchHealth } from "./health.js";
import { listen, readConnection, readNewestTick } from "./live.js";
import { listReasons } from "./reasons.js";
import { writeSpan, writeTime } from "../format/times.js";
import { watchPreferences } from "./preferences.js";

const WORDS = { trouble: "Trouble: ", warning: "Warning: ", note: "Note: " };

export function startBanner() {
  listen("tick", draw);
  listen("state", draw);
  watchHealth(draw);
  watchPreferences(draw);
  setInterval(draw, 1000);
  draw();
}

function draw() {
  drawAge();
  const { health, lost } = readHealth();
  const reasons = listReasons({ health, lost, connection: readConnection(), clockError: readClockError(), now: Date.now() });
  const banner = document.getElementById("banner");
  reasons.forEach(({ level, text }, index) => {
    const line = banner.children[index] ?? banner.appendChild(make("p", {}, make("b"), make("span")));
    line.className = level;
    setText(line.firstChild, WORDS[level]);
    setText(line.lastChild, text);
  });
  while (banner.children.length > reasons.length) banner.lastChild.remove();
}

function drawAge() {
  const element = document.getElementById("tick"), at = readNewestTick()?.at ?? readHealth().health?.tick.at ?? null;
  if (at === null) {
    setText(element, "no tick yet");
    return;
  }
  const age = readNow() - Number(at);
  setText(element, age < -1 ? `last tick ${writeSpan(-age)} ahead of the clock` : `last tick ${writeSpan(age)} ago`);
  element.title = writeTime(at, { second: true });
}
