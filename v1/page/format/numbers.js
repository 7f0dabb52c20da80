// Numbers as people read them. They stay text until they are drawn: a double would lose digits that were received.

const NONE = "–";
const MINUS = "−";
const THIN = "\u202f"; // a narrow space that does not break, between groups of three digits
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const UNITS = [["T", 12], ["B", 9], ["M", 6], ["k", 3]];

/** Return JSON with every number as its text. Where a browser cannot, the text of the double has to do. */
export function readExactly(json) {
  return JSON.parse(json, (_, value, context) =>
    typeof value === "number" ? (context?.source ?? String(value)) : value);
}

/** Return a number without an exponent: 1.08e-05 is 0.0000108. */
export function writePlain(text) {
  const [, sign, whole, fraction = "", exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  if (whole === undefined || exponent === undefined) return text;
  const point = whole.length + Number(exponent);
  const digits = (whole + fraction).padEnd(point, "0");
  const padded = point > 0 ? digits : "0".repeat(1 - point) + digits;
  const at = Math.max(point, 1), rest = padded.slice(at);
  return sign + padded.slice(0, at) + (rest && `.${rest}`);
}

/** Return a received number with all its digits, in groups of three. */
export function writeExact(text) {
  if (text === null || text === undefined || text === "") return NONE;
  const [whole, fraction] = writePlain(String(text)).replace("-", MINUS).split(".");
  return whole.replace(/\B(?=(\d{3})+(?!\d))/g, THIN) + (fraction ? `.${fraction}` : "");
}

/** Return a price in the digits that the market quotes; many zeros after the point are counted: 0.0₈28925. */
export function writePrice(text) {
  const exact = writeExact(text), [, sign, zeros, rest] = /^(−?)0\.(0{4,})(\d+)$/.exec(exact) ?? [];
  return rest ? `${sign}0.0${[...String(zeros.length)].map((digit) => SUBSCRIPTS[digit]).join("")}${rest}` : exact;
}

/** Return a computed number with `places` digits that count. */
export function writeShort(text, places = 6) {
  if (text === null || text === undefined || text === "") return NONE;
  const value = Number(text);
  return Number.isFinite(value) ? writePrice(String(Number(value.toPrecision(places)))) : NONE;
}

/** Return an amount as a wall shows it: 1.23 M. The exact one belongs beside it, as a title. */
export function writeAmount(text) {
  if (text === null || text === undefined || text === "") return NONE;
  const value = Number(text), size = Math.abs(value);
  const unit = UNITS.find(([, power]) => size >= 0.9995 * 10 ** power);
  return unit ? `${writeShort(String(value / 10 ** unit[1]), 3)}${THIN}${unit[0]}` : writeShort(text, 3);
}

/** Return a change in percent with sign and arrow, so that colour is never alone: ▲ +1.25 %. */
export function writePercent(text, places = 2) {
  if (text === null || text === undefined || text === "") return NONE;
  const value = Number(Number(text).toFixed(places));
  const [arrow, sign] = value > 0 ? ["▲", "+"] : value < 0 ? ["▼", MINUS] : ["●", ""];
  return `${arrow}${THIN}${sign}${Math.abs(value).toFixed(places)}${THIN}%`;
}

/** Return a ratio to a mean: 4.2 ×. */
export function writeRatio(text) {
  if (text === null || text === undefined || text === "") return NONE;
  const value = Number(text);
  return `${value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)}${THIN}×`;
}

/** Return `up`, `down` or `flat`: the class of a change. */
export function judgeChange(text) {
  const value = Number(text ?? 0);
  return value > 0 ? "up" : value < 0 ? "down" : "flat";
}
