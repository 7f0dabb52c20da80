// Says on every view what is wrong, and how old the newest tick is.

import { askHealth } from "./api.js";
import { make, setText } from "./elements.js";
import { listen } from "./live.js";
import { writeSpan } from "../format/times.js";

const EVERY = 15_000; // milliseconds
let health = null, tick = null, connection = { state: "connecting", reason: "", since: Date.now() };

export function startBanner() {
  listen("tick", (newest) => { tick = newest; draw(); });
  listen("state", (state) => { connection = state; refresh(); });
  setInterval(refresh, EVERY);
  setInterval(draw, 1000);
  refresh();
}

async function refresh() {
  health = await askHealth();
  draw();
}

function draw() {
  setText(document.getElementById("tick"), tick ? `last tick ${writeSpan(Date.now() / 1000 - Number(tick.at))} ago` : "no tick yet");
  const banner = document.getElementById("banner"), reasons = listReasons();
  if ([...banner.children].map((item) => item.textContent).join("\n") === reasons.join("\n")) return;
  banner.replaceChildren(...reasons.map((reason) => make("p", {}, reason)));
}

function listReasons() {
  if (!health) return ["The API does not answer. What is shown is what it said last."];
  return health.status === "ready" ? [] : health.reasons ?? [];
}
