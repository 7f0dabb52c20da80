// TradingView's lightweight-charts, loaded when the first chart is drawn.

import { ROOT } from "../app/address.js";

let loading = null;

/** Return the library, `LightweightCharts`. Raises an error where it cannot be loaded. */
export function loadCharts() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("page/lib/lightweight-charts.js", ROOT).href;
    script.onload = () => resolve(window.LightweightCharts);
    script.onerror = () => {
      loading = null;
      reject(new Error("the charts could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Return the colours of the page as it is shown now, for what is drawn on a canvas. */
export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "ink", "muted", "rule", "line", "up", "down", "trouble", "warn", "accent"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
