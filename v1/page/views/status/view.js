// How everything does: what is wrong, since when, what is tried, and what to do; and each part by itself.

import { readClockError, readNow } from "../../app/clock.js";
import { make } from "../../app/elements.js";
import { readHealth, watchHealth } from "../../app/health.js";
import { listen, readConnection } from "../../app/live.js";
import { listReasons } from "../../app/reasons.js";
import { makeGaps } from "./gaps.js";
import { makeOverall, makeParts } from "./parts.js";
import { makeChannels, makeRoles, makeSources, makeWishes } from "./tables.js";

export const status = {
  title: () => "Status",
  open(root) {
    const wrong = make("section", { "aria-label": "What is wrong" }), parts = make("div.grid"), tables = make("div"), gaps = makeGaps();
    root.append(make("h2", {}, "Status"), wrong, parts, tables, gaps.element);
    let drawn = "";
    const draw = () => {
      const { health, lost } = readHealth(), connection = readConnection();
      const reasons = listReasons({ health, lost, connection, clockError: readClockError(), now: Date.now() });
      const facts = { health, lost, connection, now: readNow() };
      keep(wrong, [makeOverall(health, reasons)]);
      keep(parts, health ? makeParts(facts) : []);
      // What is selected, or read by a screen reader, stays while it is the same.
      const told = JSON.stringify([health?.sources, health?.wishes, health?.channels, health?.top]);
      if (!health || told === drawn) return;
      drawn = told;
      tables.replaceChildren(...[makeSources(health), makeWishes(health), makeChannels(health), makeRoles(health)].flat());
    };
    const ends = [watchHealth(draw), listen("tick", draw), listen("state", draw)];
    const timer = setInterval(draw, 1000);
    draw();
    return {
      update: () => { drawn = ""; draw(); },
      close() {
        ends.forEach((end) => end());
        clearInterval(timer);
        gaps.close();
      },
    };
  },
};

/** Put elements into another, each where it differs from the one that is there: what is selected in others stays. */
function keep(place, elements) {
  elements.forEach((each, index) => {
    const current = place.children[index];
    if (!current) place.append(each);
    else if (!current.isEqualNode(each)) current.replaceWith(each);
  });
  while (place.children.length > elements.length) place.lastChild.remove();
}
