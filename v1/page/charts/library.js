// TradingView's lightweight-charts, loaded when the first chart is drawn.

import { ROOT } from "../app/address.js";

const COLOURS = ["ground", "ink", "muted", "rule", "line", "up", "down", "trouble", "warn", "accent"];
let loading = null;

/** Return the library, `LightweightCharts`. Raises an error where it cannot be loaded. */
export function loadCharts() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("page/lib/lightweight-charts.js", ROOT).href;
    script.onload = () => resolve(window.LightweightCharts);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("the charts could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Return the colours of the page as it is shown now, as `rgb(...)`, for what is drawn on a canvas. */
export function readColours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  // A custom property is the text `light-dark(...)`; only as a colour of something it is one of the two.
  const colours = Object.fromEntries(COLOURS.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color];
  }));
  probe.remove();
  return colours;
}

/** Return a colour of `readColours` that lets so much through, from 0 (all) to 1 (nothing). */
export function fade(colour, opacity) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}
