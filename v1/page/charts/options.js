// How charts look and write: colours of the page, times in the zone that is preferred, prices in the market's digits.

import { writeAmount, writePrice } from "../format/numbers.js";
import { writeTime } from "../format/times.js";
import { fade } from "./library.js";

const DAY = 86400;

/** Return the options of a chart. `library` is lightweight-charts. */
export function makeOptions(library, colours) {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const line = { color: colours.muted, labelBackgroundColor: colours.muted, style: library.LineStyle.Dashed };
  return {
    autoSize: true,
    layout: {
      attributionLogo: false, // it brings an inline style, which the policy of the page refuses; the footer has the notice
      background: { type: library.ColorType.Solid, color: colours.ground },
      textColor: colours.muted,
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 12,
      panes: { separatorColor: colours.rule, separatorHoverColor: fade(colours.accent, 0.2) },
    },
    grid: { vertLines: { color: fade(colours.rule, 0.6) }, horzLines: { color: fade(colours.rule, 0.6) } },
    rightPriceScale: { borderColor: colours.rule },
    timeScale: { borderColor: colours.rule, timeVisible: true, secondsVisible: false, minBarSpacing: 0.05, rightOffsetPixels: 16, lockVisibleTimeRangeOnResize: true, tickMarkFormatter: writeTickMark },
    crosshair: { mode: library.CrosshairMode.Magnet, vertLine: line, horzLine: line },
    localization: { timeFormatter: (seconds) => writeTime(seconds, { second: seconds % 60 !== 0 }) },
    kineticScroll: { mouse: false, touch: !isCalm },
    handleScroll: { vertTouchDrag: false },
  };
}

/** Return how prices of so many digits after the point are written on the axis. */
export function makePriceFormat(places) {
  return { type: "custom", minMove: 10 ** -places, formatter: (value) => writePrice(value.toFixed(places)) };
}

/** Return how amounts are written on the axis. */
export function makeAmountFormat() {
  return { type: "custom", minMove: 1e-8, formatter: (value) => writeAmount(String(value)) };
}

/** Return a time on the axis: midnight is a date, the first of a month a month; in the zone that is preferred. */
function writeTickMark(seconds, kind) {
  const text = writeTime(seconds, { zone: false }), [date, time] = text.split(" ");
  if (kind === 0) return date.slice(0, 4);
  if (kind === 1) return date.slice(0, 7);
  return kind === 2 || seconds % DAY === 0 ? date.slice(5) : time;
}
