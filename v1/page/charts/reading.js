// Reads single points of a chart, by the pointer or by keys, as exact words; what is read is marked on the chart.

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60, Home: -Infinity, End: Infinity };
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };

export class Reading {
  /** `describe(index)` returns the words of a point, index null those of the newest; `tell(words)` shows them. */
  constructor(drawn, describe, tell) {
    this.drawn = drawn;
    this.describe = describe;
    this.tell = tell;
    this.index = null;
    this.times = [];
    this.move = ({ time, sourceEvent }) => (time === undefined ? sourceEvent && this.choose(null) : sourceEvent && this.choose(this.find(time), false));
    this.press = (event) => this.take(event);
    this.leave = () => this.choose(null);
    drawn.chart.subscribeCrosshairMove(this.move);
    drawn.element.addEventListener("keydown", this.press);
    drawn.element.addEventListener("pointerleave", this.leave);
  }

  /** Take in the times that there are, oldest first. The point that was being read stays where it is. */
  show(times) {
    const time = this.index === null ? null : this.times[this.index];
    this.times = times;
    this.choose(time === null ? null : this.find(time));
  }

  /** Read the point at a tick, or the one before it, and bring it into sight. */
  point(at) {
    const later = this.times.findIndex((time) => time > at);
    this.choose(later < 0 ? this.times.length - 1 : Math.max(0, later - 1));
  }

  close() {
    this.drawn.element.removeEventListener("keydown", this.press);
    this.drawn.element.removeEventListener("pointerleave", this.leave);
  }

  take(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.times.length) return;
    if (event.key in ZOOMS) this.zoom(ZOOMS[event.key]);
    else if (event.key in STEPS) this.choose((this.index ?? this.times.length - 1) + STEPS[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  zoom(factor) {
    const scale = this.drawn.chart.timeScale(), seen = scale.getVisibleLogicalRange();
    if (!seen) return;
    const middle = this.index ?? seen.to, part = (middle - seen.from) / (seen.to - seen.from), width = Math.max(5, (seen.to - seen.from) * factor);
    scale.setVisibleLogicalRange({ from: middle - part * width, to: middle + (1 - part) * width });
  }

  choose(index, isMarked = true) {
    const last = this.times.length - 1;
    this.index = index === null || last < 0 ? null : Math.min(last, Math.max(0, index));
    this.tell(this.describe(this.index));
    if (isMarked) this.mark();
  }

  mark() {
    const { chart } = this.drawn, main = this.drawn.readMain();
    if (this.index === null || !main) {
      chart.clearCrosshairPosition();
      return;
    }
    const scale = chart.timeScale(), seen = scale.getVisibleLogicalRange(), width = seen ? seen.to - seen.from : 0;
    if (seen && this.index < seen.from) scale.setVisibleLogicalRange({ from: this.index, to: this.index + width });
    if (seen && this.index > seen.to) scale.setVisibleLogicalRange({ from: this.index - width, to: this.index });
    const item = main.shown[this.index], value = item?.value ?? item?.close;
    if (value === undefined) chart.clearCrosshairPosition();
    else chart.setCrosshairPosition(value, this.times[this.index], main.api);
  }

  find(time) {
    const index = this.times.indexOf(time);
    return index < 0 ? null : index;
  }
}
