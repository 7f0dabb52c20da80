// Asks for the lines of rows that are seen, many at once, and only once scrolling has stopped.

import { Unanswered, ask } from "../../app/api.js";

const PAUSE = 120; // milliseconds
const FRESH = 300_000; // milliseconds; a line has a price for each hour, and the newest one is drawn from ticks
const MOST = 100, MOST_CHARACTERS = 3_500, MOST_KEPT = 3_000;
const SIGNS = /[\s,*?[\]]/;

/** Lines by metric: `get` returns the prices of the day, or undefined. */
export class Lines {
  constructor(onLines) {
    Object.assign(this, { onLines, known: new Map(), wanted: [], timer: null, asking: null });
  }

  get(metric) {
    return this.known.get(metric)?.prices;
  }

  /** Have the lines of some metrics be there soon. */
  want(metrics) {
    const now = Date.now();
    // A name with a sign of the list's own cannot be asked for.
    this.wanted = metrics.filter((metric) => !(now - this.known.get(metric)?.at < FRESH) && !SIGNS.test(metric));
    clearTimeout(this.timer);
    if (this.wanted.length && !this.asking) this.timer = setTimeout(() => this.read(), PAUSE);
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  async read() {
    const metrics = takeSome(this.wanted), { signal } = (this.asking = new AbortController());
    try {
      const { rows } = await ask("snapshot", { sparkline: 24, metrics: metrics.join(","), limit: MOST }, { signal, longest: 30_000 });
      this.keep(metrics, rows);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Unanswered)) throw error;
      // Asked again when it is scrolled, or at a tick. One that is no metric any more would refuse all of them.
      if (error.status === 404 || error.status === 422) this.keep(metrics, []);
      else this.wanted = [];
    }
    this.asking = null;
    if (this.wanted.length) this.want(this.wanted);
  }

  keep(metrics, rows) {
    const at = Date.now();
    if (this.known.size > MOST_KEPT) this.known.clear();
    for (const metric of metrics) this.known.set(metric, { at, prices: this.known.get(metric)?.prices });
    for (const { metric, sparkline } of rows) this.known.set(metric, { at, prices: sparkline });
    this.onLines();
  }
}

/** Return as many as one question may name. */
function takeSome(metrics) {
  let characters = 0;
  return metrics.filter((metric, index) => index < MOST && (characters += encodeURIComponent(metric).length + 1) < MOST_CHARACTERS);
}
