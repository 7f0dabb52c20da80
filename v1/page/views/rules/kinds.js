// What each kind of rule is, and the fields that a form has for it. What they are used for the API says itself.

const SECONDS = "seconds, or 90s, 15m, 1h";
const MEASURE = { name: "measure", label: "Measure", options: { price: "price", volume: "volume of 24 h", interval_volume: "interval volume", interval_return: "interval return, %", change_percentage: "change of 24 h, %", change_absolute: "change of 24 h" } };
const WINDOW = { name: "window", label: "Window", usual: "1h", unit: SECONDS, isSpan: true, help: "How far it looks back; a day at most." };
const LEAST = { name: "min_samples", label: "Least samples", unit: "a whole number", isCount: true, help: "Numbers that must be there before it speaks; empty: half of what fits, 30 at most." };
const DIRECTION = { name: "direction", label: "Direction", options: { both: "up or down", up: "up", down: "down" } };

export const KINDS = {
  ratio: { label: "Ratio: more than a multiple of its mean", main: "factor",
    fields: [MEASURE, { name: "factor", label: "Factor", usual: "3", unit: "× the mean", help: "It holds above so many times the mean of the window." }, WINDOW, LEAST] },
  threshold: { label: "Threshold: above or below a bound", main: "above",
    fields: [MEASURE, { name: "above", label: "Above", unit: "in the unit of the measure", help: "Give this, or Below." }, { name: "below", label: "Below", unit: "in the unit of the measure", help: "Give this, or Above." }] },
  change: { label: "Change: moved by percent within a window", main: "percent",
    fields: [MEASURE, { name: "percent", label: "Percent", usual: "5", unit: "%", help: "It holds when the value has moved by more than that." }, DIRECTION, WINDOW,
      { name: "since", label: "Counted from", options: { extreme: "the lowest, or the highest, of the window", start: "the first of the window" } }] },
  deviation: { label: "Deviation: far off the mean of the day", main: "score",
    fields: [MEASURE, { name: "score", label: "Score", usual: "3", unit: "standard deviations", help: "It holds when the value is further off the mean of the day before." }, DIRECTION, LEAST] },
  rank: { label: "Rank: enters or leaves the first places", main: "top",
    fields: [MEASURE, { name: "by", label: "Ranked by", options: { stddev: "standard deviation", cv: "coefficient of variation" } }, { name: "top", label: "Places", usual: "10", unit: "places from the first", isCount: true },
      { name: "event", label: "Tells", options: { both: "entering and leaving", enters: "entering", leaves: "leaving" } }, LEAST] },
  stale: { label: "Stale: no samples", main: "intervals", fields: [{ name: "intervals", label: "Intervals", usual: "3", unit: "ticks without a sample", isCount: true }] },
  frozen: { label: "Frozen: the price stands still though volume trades", main: "window", fields: [WINDOW, LEAST] },
};

/** Fields of every kind, before and after its own. */
export const FIRST = [
  { name: "id", label: "Id", isNeeded: true, help: "1 to 64 small letters, digits, '.', '_' and '-'; it stays." },
  { name: "name", label: "Name", help: "For people; without one, the id." },
  { name: "metrics", label: "Metrics", usual: "*", help: "A pattern, as KRAKEN:* or *BTC*; * stands for any letters, ? for one." },
];
export const LAST = [
  { name: "for", label: "Holds for", usual: "0", unit: SECONDS, isSpan: true, help: "How long it must hold before it speaks." },
  { name: "cooldown", label: "Cooldown", usual: "1h", unit: SECONDS, isSpan: true, help: "Silence after it spoke; 30d at most." },
  { name: "step", label: "Step", usual: "3", unit: "×", help: "Within the cooldown it speaks again when it is so many times further off; 0: never." },
  { name: "severity", label: "Severity", options: { info: "info", warning: "warning", critical: "critical" }, usual: "warning" },
  { name: "channels", label: "Channels", isList: true, help: "Names, with commas between; empty: all channels." },
  { name: "mute.start", label: "Muted from", unit: "22:00", help: "Hours in which it is recorded and not sent; empty: none." },
  { name: "mute.end", label: "Muted until", unit: "07:00" },
  { name: "mute.zone", label: "Zone of these hours", unit: "Europe/Berlin; empty: UTC" },
  { name: "resolved", label: "Tell also when it is over", isFlag: true },
  { name: "enabled", label: "On", isFlag: true, usual: true },
];

/** Return the fields of a kind in the order of its form. */
export function listFields(kind) {
  return [...FIRST, ...KINDS[kind].fields, ...LAST];
}
