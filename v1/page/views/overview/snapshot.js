// Reads the snapshot after ticks, one at a time, with a pause in between that grows with what it took.

import { Unanswered, askText } from "../../app/api.js";
import { FIELDS } from "./market.js";

const MOST = 10_000; // metrics of one answer
const SHARE = 10; // an answer that took a second is asked for again after ten, but never later than MOST_PAUSE
const MOST_PAUSE = 20_000; // milliseconds
const LONGEST = 60_000;

/** `onRows` is called when rows are there, `onState` with what is wrong, or null. `isFirst`: nothing was read yet. */
export class SnapshotReader {
  constructor(market, { onRows, onState }) {
    Object.assign(this, { market, onRows, onState, isFirst: true, isWanted: false, isOver: false, error: null, free: 0, timer: null, asking: null });
  }

  /** Have it read soon; `now` does not wait for a pause to end. */
  want({ now = false } = {}) {
    if (now) this.free = 0;
    this.isWanted = true;
    if (this.asking || this.isOver) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), Math.max(0, this.free - performance.now()));
  }

  close() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  async read() {
    this.isWanted = false;
    this.asking = new AbortController();
    const began = performance.now();
    let pause = 0;
    try {
      await this.readPages();
      if (this.isOver) return;
      this.tell(null);
      this.isFirst = false;
      this.onRows();
    } catch (error) {
      if (this.isOver) return;
      if (!(error instanceof Unanswered)) throw error;
      this.tell(error);
      pause = error.retry * 1000;
      this.isWanted = true;
    } finally {
      this.asking = null;
    }
    this.free = performance.now() + Math.max(pause, Math.min(MOST_PAUSE, SHARE * (performance.now() - began)));
    if (this.isWanted) this.want();
  }

  async readPages() {
    const names = new Set();
    for (let cursor = null, isMore = true; isMore && !this.isOver;) {
      const query = { fields: FIELDS.join(","), limit: MOST, cursor };
      const text = await askText("snapshot.csv", query, { signal: this.asking.signal, cache: "no-cache", longest: LONGEST });
      const seen = await this.market.takeTable(text, () => this.isOver);
      for (const name of seen) names.add(name);
      isMore = seen.size >= MOST;
      cursor = [...seen].at(-1);
    }
    if (!this.isOver) this.market.keepOnly(names);
  }

  tell(error) {
    this.error = error;
    this.onState(error);
  }
}
