// Numbers as people read them. They stay text: a double would lose digits that the provider sent.

/** Reads JSON with every number as its text. Where a browser cannot, the text of the double has to do. */
export function read(json) {
  return JSON.parse(json, (_, value, context) =>
    typeof value === "number" ? (context?.source ?? String(value)) : value);
}

/** Writes a number without an exponent: 1.08e-05 is 0.0000108. */
export function plain(text) {
  const [, sign, whole, fraction = "", exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(text) ?? [];
  if (whole === undefined || exponent === undefined) return text;
  const point = whole.length + Number(exponent);
  const digits = (whole + fraction).padEnd(point, "0");
  const padded = point > 0 ? digits : "0".repeat(1 - point) + digits;
  const at = Math.max(point, 1);
  const rest = padded.slice(at);
  return sign + padded.slice(0, at) + (rest && `.${rest}`);
}

/** Writes a computed number with six digits that count, which is what an eye can take in. */
export function short(text) {
  return text === null ? "-" : plain(String(Number(Number(text).toPrecision(6))));
}

/** Writes a received number with all its digits. */
export function whole(text) {
  return text === null ? "-" : plain(text);
}

/** Writes how long ago something was. */
export function since(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** Writes a tick, UTC. */
export function clock(tick) {
  return `${new Date(tick * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
