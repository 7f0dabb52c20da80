// One series on a canvas: gaps are gaps. A pointer or the arrow keys read single points.

import { clock, plain, short } from "./numbers.js";

const HOUR = 3600;
const LEFT = 8, RIGHT = 8, TOP = 12, BOTTOM = 22; // pixels around the curve
const HALF_LABEL = 16;

export class Chart {
  constructor(canvas, reading) {
    this.canvas = canvas;
    this.reading = reading;
    this.points = [];
    this.hourly = new Set();
    this.at = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.choose(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Shows points, [tick, text or null] each, oldest first; null is a gap. Of `hourly` ticks one price an hour is known. */
  show(name, points, hourly = new Set()) {
    this.hourly = hourly;
    this.points = points.map(([tick, text]) => [Number(tick), text]);
    const known = this.known();
    const values = known.map(([, text]) => Number(text));
    this.low = Math.min(...values);
    this.high = Math.max(...values);
    const gaps = this.points.length - known.length;
    const hours = hourly.size ? `, ${hourly.size} of them one for an hour` : "";
    this.canvas.setAttribute("aria-label", known.length
      ? `${name}: ${known.length} samples${hours}, ${gaps} missing, from ${short(this.low)} to ${short(this.high)}`
      : `${name}: no samples`);
    this.choose(null);
  }

  known() {
    return this.points.filter(([, text]) => text !== null);
  }

  x(tick) {
    const first = this.points[0][0], last = this.points.at(-1)[0];
    return LEFT + (this.canvas.clientWidth - LEFT - RIGHT) * (last > first ? (tick - first) / (last - first) : 0.5);
  }

  y(text) {
    const height = this.canvas.clientHeight - TOP - BOTTOM;
    return TOP + height * (this.high > this.low ? (this.high - Number(text)) / (this.high - this.low) : 0.5);
  }

  draw() {
    const { canvas } = this, scale = devicePixelRatio || 1, style = getComputedStyle(canvas);
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = `12px ${style.fontFamily}`;
    if (!this.known().length) return;
    this.drawHours(pen, style);
    this.drawHourly(pen, style.getPropertyValue("--quiet"));
    this.drawCurve(pen, style.getPropertyValue("--line"));
    pen.fillStyle = style.getPropertyValue("--quiet");
    pen.fillText(short(this.high), LEFT, TOP - 2);
    pen.fillText(short(this.low), LEFT, canvas.clientHeight - BOTTOM + 2);
  }

  drawHours(pen, style) {
    const first = this.points[0][0], last = this.points.at(-1)[0], bottom = this.canvas.clientHeight - BOTTOM;
    const every = HOUR * (this.canvas.clientWidth < 500 ? 6 : 3);
    pen.strokeStyle = style.getPropertyValue("--rule");
    pen.fillStyle = style.getPropertyValue("--quiet");
    pen.textAlign = "center";
    for (let tick = Math.ceil(first / every) * every; tick <= last; tick += every) {
      pen.beginPath();
      pen.moveTo(this.x(tick), TOP);
      pen.lineTo(this.x(tick), bottom);
      pen.stroke();
      const middle = Math.min(Math.max(this.x(tick), HALF_LABEL), this.canvas.clientWidth - HALF_LABEL);
      pen.fillText(clock(tick).slice(11, 16), middle, bottom + 16);
    }
    pen.textAlign = "left";
  }

  /** Draws what is known by the hour as rings, with dashes from each to the next point that is an hour away at most. */
  drawHourly(pen, colour) {
    const known = this.known();
    pen.strokeStyle = colour;
    pen.lineWidth = 1;
    known.forEach(([tick, text], index) => {
      if (!this.hourly.has(tick)) return;
      pen.beginPath();
      pen.arc(this.x(tick), this.y(text), 2.5, 0, 2 * Math.PI);
      pen.stroke();
      const [next, value] = known[index + 1] ?? [];
      if (next === undefined || next - tick > HOUR) return;
      pen.setLineDash([3, 3]);
      pen.beginPath();
      pen.moveTo(this.x(tick), this.y(text));
      pen.lineTo(this.x(next), this.y(value));
      pen.stroke();
      pen.setLineDash([]);
    });
  }

  drawCurve(pen, colour) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.5;
    pen.beginPath();
    const minutes = this.points.map(([tick, text]) => [tick, this.hourly.has(tick) ? null : text]);
    minutes.forEach(([tick, text], index) => {
      if (text === null) return;
      const before = minutes[index - 1]?.[1] ?? null, after = minutes[index + 1]?.[1] ?? null;
      if (before === null && after === null) pen.fillRect(this.x(tick) - 1, this.y(text) - 1, 2, 2);
      else if (before === null) pen.moveTo(this.x(tick), this.y(text));
      else pen.lineTo(this.x(tick), this.y(text));
    });
    pen.stroke();
    const chosen = this.points[this.at];
    if (!chosen || chosen[1] === null) return;
    pen.beginPath();
    pen.arc(this.x(chosen[0]), this.y(chosen[1]), 4, 0, 2 * Math.PI);
    pen.fill();
  }

  point(event) {
    if (!this.points.length) return;
    const width = this.canvas.clientWidth - LEFT - RIGHT;
    this.choose(Math.round((event.offsetX - LEFT) / width * (this.points.length - 1)));
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !this.points.length) return;
    event.preventDefault();
    this.choose((this.at ?? this.points.length - 1) + steps[event.key]);
  }

  choose(index) {
    const last = this.points.length - 1;
    this.at = index === null || last < 0 ? null : Math.min(last, Math.max(0, index));
    const [tick, text] = this.points[this.at ?? last] ?? [];
    this.reading.textContent = !this.known().length
      ? "no samples in the last day"
      : `${clock(tick)}: ${text === null ? "no sample" : plain(text)}${this.hourly.has(tick) ? ", the one price known of this hour" : ""}`;
    this.draw();
  }
}
