// The line of a metric's day, small: prices of 24 hours, and the newest one.

import { make } from "../../app/elements.js";
import { writePrice } from "../../format/numbers.js";

const SVG = "http://www.w3.org/2000/svg", WIDTH = 96, HEIGHT = 24, EDGE = 2;

/** Return `{ element, draw(prices, newest) }`; `prices` is undefined until it is known. */
export function makeLine() {
  const path = document.createElementNS(SVG, "path"), svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("vector-effect", "non-scaling-stroke");
  svg.append(path);
  const words = make("span.unseen"), element = make("span.spark", {}, svg, words);
  let drawn = null, of = null;
  return {
    element,
    draw(prices, newest) {
      if (prices === of && drawn === newest) return;
      [of, drawn] = [prices, newest];
      const values = prices ? [...prices, newest].map((text) => (text === null ? null : Number(text))) : [];
      path.setAttribute("d", writePath(values));
      svg.setAttribute("class", judge(values));
      words.textContent = describe(prices);
      element.title = words.textContent;
    },
  };
}

/** Return the path of a line; it is broken where nothing is known. */
export function writePath(values) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return "";
  const low = Math.min(...known), high = Math.max(...known), span = high - low || 1, step = WIDTH / Math.max(1, values.length - 1);
  let isBroken = true;
  return values.map((value, index) => {
    if (value === null) {
      isBroken = true;
      return "";
    }
    const y = high === low ? HEIGHT / 2 : EDGE + (1 - (value - low) / span) * (HEIGHT - 2 * EDGE), command = isBroken ? "M" : "L";
    isBroken = false;
    return `${command}${(index * step).toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}

function judge(values) {
  const known = values.filter((value) => value !== null), change = (known.at(-1) ?? 0) - (known[0] ?? 0);
  return change > 0 ? "up" : change < 0 ? "down" : "flat";
}

function describe(prices) {
  const known = (prices ?? []).filter((text) => text !== null);
  if (!known.length) return "";
  const sorted = [...known].sort((one, other) => Number(one) - Number(other));
  return `hours of the day from ${writePrice(sorted[0])} to ${writePrice(sorted.at(-1))}`;
}
