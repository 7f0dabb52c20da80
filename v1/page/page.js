// The live page: ranks, the newest numbers of each, and the day of one metric; asked anew each tick.

import { address, ask, health, Unanswered } from "./ask.js";
import { Chart } from "./chart.js";
import { clock, short, since, whole } from "./numbers.js";

const LEAF = 25; // rows at once
const DAY = 86400, MINUTE = 60;
const COMMIT = 1; // seconds that a tick may take to arrive
const SOON = 3; // seconds until it is asked again while the day is being filled

const part = (id) => document.getElementById(id);
const choice = part("choice");
const chart = new Chart(part("chart"), part("reading"));
const said = new URLSearchParams(location.search);
const shown = {
  metric: said.get("metric"), isChosen: said.has("metric"), offset: 0, of: 0, at: null, trouble: null, heard: null,
  interval: null, reasons: [], filling: null, // `filling`: percent of the past day, while it is being filled
  replay: null, // what the API says of a replay, and `read`: when it said so, in milliseconds of performance.now()
};
let timer, turn = 0, due = 0; // `due`: when to ask for the next tick, in milliseconds of performance.now()

for (const name of ["measure", "by"]) {
  if ([...choice[name].options].some((option) => option.value === said.get(name))) choice[name].value = said.get(name);
}

/** Asks for everything that is shown. A newer turn makes an older one's answers void. */
async function refresh() {
  const mine = ++turn;
  clearTimeout(timer);
  let wait;
  try {
    wait = await load(() => mine === turn);
    shown.trouble = null;
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    if (mine === turn) shown.trouble = error;
    wait = error.retry;
  }
  const now = await health();
  if (mine !== turn) return;
  heed(now);
  if (isGrowing()) wait = Math.min(wait, SOON - COMMIT);
  tell();
  timer = setTimeout(refresh, Math.max(wait + COMMIT, 2) * 1000);
}

async function load(isCurrent) {
  const measure = choice.measure.value, by = choice.by.value;
  const query = { measure, by, limit: LEAF, offset: shown.offset };
  const { body, good } = await ask("/ranks", query, kept());
  if (!shown.isChosen && !shown.offset) shown.metric = body.ranks[0]?.metric ?? shown.metric;
  const names = body.ranks.map((rank) => rank.metric);
  const details = await Promise.all(names.map(detail));
  const known = details.find(Boolean) ?? (shown.metric && await detail(shown.metric));
  if (known) shown.interval = DAY / Number(known.day.expected);
  if (shown.metric) await draw(measure, isCurrent);
  if (!isCurrent()) return 0;
  expect(body.at === null ? null : Number(body.at), good);
  shown.of = Number(body.of);
  shown.heard = Date.now();
  body.ranks.forEach((rank, index) => fill(row(index), rank, details[index], measure));
  [...part("ranks").rows].slice(body.ranks.length).forEach((spare) => spare.remove());
  return (due - performance.now()) / 1000;
}

/** Gives whether what the browser kept may do. Of an earlier visit it does not say how old it is; a fill changes it. */
function kept() {
  return due && !isGrowing() ? "default" : "no-cache";
}

/** Tells whether there may be more long before the next tick. */
function isGrowing() {
  return shown.filling !== null || !shown.metric;
}

/** Takes in what is wrong, and how far the day is filled. */
function heed(now) {
  shown.reasons = now?.status === "ready" ? [] : now?.reasons ?? [];
  if (now) shown.replay = now.replay && { ...now.replay, age: Number(now.tick.age), read: performance.now() };
  const fills = Object.values(now?.sources ?? {}).map((source) => source.filling).filter(Boolean);
  const sum = (name) => fills.reduce((total, fill) => total + Number(fill[name]), 0);
  shown.filling = fills.length ? Math.floor(100 * sum("done") / Math.max(1, sum("of"))) : null;
}

/** Gives the time of the market, in unix seconds: that of this machine, or of a replay. It goes no further than a tick. */
function marketTime() {
  const { replay } = shown;
  if (!replay || replay.at === null) return Date.now() / 1000;
  const passed = replay.age + (performance.now() - replay.read) / 1000 * Number(replay.speed ?? 0);
  return Math.max(Number(replay.at), shown.at ?? 0) + Math.max(0, Math.min(passed, (shown.interval ?? MINUTE) - 1));
}

/** Notes which tick is shown and when the next one is due. Of the same tick that stays: it may come from a cache. */
function expect(at, good) {
  const now = performance.now();
  if (at !== shown.at || due <= now) due = now + good * 1000;
  shown.at = at;
}

/** Gives what is known of a metric; null of one that has left since the ranks were made. */
async function detail(metric) {
  try {
    return (await ask(`/metrics/${encodeURIComponent(metric)}`, {}, kept())).body;
  } catch (error) {
    if (error instanceof Unanswered && error.status === 404) return null;
    throw error;
  }
}

/** Gives how far apart the points of the day are: where samples and a provider's candles of a minute meet. */
function step(interval) {
  let seconds = interval;
  while (seconds % MINUTE) seconds += interval;
  return seconds;
}

async function draw(measure, isCurrent) {
  const { metric } = shown, path = `/metrics/${encodeURIComponent(metric)}/history`;
  const apart = shown.interval && { step: step(shown.interval) };
  let points = [], hourly = [];
  try {
    ({ points, hourly } = (await ask(path, { measure, fill: "null", ...apart }, kept())).body);
  } catch (error) {
    if (!(error instanceof Unanswered && error.status === 404)) throw error;
  }
  if (!isCurrent()) return;
  part("chosen").textContent = `${metric}, ${choice.measure.selectedOptions[0].text}`;
  part("csv").href = address(path, { measure, format: "csv", ...apart });
  part("csv").download = `${metric.replaceAll(/[^A-Z0-9]+/g, "-")}-${measure}.csv`;
  const hours = new Set(hourly.map(Number));
  chart.show(part("chosen").textContent, points, hours);
  part("hourly").hidden = !hours.size;
  part("hourly").textContent = `Dashed: ${hours.size} hours of which one price is known, that of their end; ` +
    "the source keeps no minutes that old.";
}

function row(index) {
  const there = part("ranks").rows[index];
  if (there) return there;
  const made = part("ranks").insertRow();
  for (let cell = 0; cell < 6; cell++) made.insertCell();
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => choose(made.dataset.metric));
  made.cells[1].append(button);
  return made;
}

function fill(line, rank, now, measure) {
  line.dataset.metric = rank.metric;
  line.dataset.last = now?.at ?? "";
  line.className = now?.state ?? "stale";
  line.setAttribute("aria-current", String(rank.metric === shown.metric));
  const [place, name, price, mean, moved] = line.cells;
  place.textContent = rank.rank;
  name.firstChild.textContent = rank.metric;
  price.textContent = whole(now?.measures.price.value ?? null);
  mean.textContent = short(now?.measures[measure].hour_mean ?? null);
  moved.textContent = short(rank.value);
}

/** Says how old everything is. Runs every second, so that a page that hears nothing does not look alive. */
function tell() {
  const now = marketTime();
  for (const { dataset, className, cells } of part("ranks").rows) {
    const age = dataset.last ? since(now - Number(dataset.last)) : "gone";
    cells[5].textContent = className === "live" ? age : `${className}, ${age}`;
  }
  const old = shown.at === null ? null : now - shown.at;
  // A tick of the future is as bad: this clock, or that of whoever made it, is wrong.
  const late = old !== null && shown.interval !== null && Math.abs(old) > Math.max(3 * shown.interval, 10);
  const status = part("status");
  status.classList.toggle("trouble", Boolean(shown.trouble) || late);
  const text = sentence(old, late);
  // Only a change is written: a screen reader reads each aloud.
  if (status.textContent !== text) status.textContent = text;
  const reasons = part("reasons");
  if ([...reasons.children].map((item) => item.textContent).join("\n") !== shown.reasons.join("\n")) {
    reasons.replaceChildren(...shown.reasons.map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    }));
  }
  reasons.hidden = !shown.reasons.length;
  if (!shown.metric) part("chosen").textContent = "No metric has a sample yet";
  const end = Math.min(shown.offset + LEAF, shown.of);
  part("leaf").textContent = shown.of ? `${shown.offset + 1} to ${end} of ${shown.of}` : "no ranks yet";
  part("before").disabled = shown.offset === 0;
  part("after").disabled = end >= shown.of;
}

function sentence(old, late) {
  const replayed = shown.replay ? `${shown.replay.text[0].toUpperCase()}${shown.replay.text.slice(1)}. ` : "";
  if (shown.trouble) {
    const heard = shown.heard ? ` What is shown is from ${clock(shown.heard / 1000)}.` : "";
    return `No news: ${shown.trouble.message}.${heard}`;
  }
  if (old === null) return "There was no tick yet. Is the worker running?";
  if (late && old < 0) return `The newest tick lies ${since(-old)} in the future. A clock is, or was, wrong.`;
  if (late) return `The newest tick is ${since(old)} old. Is the worker running?`;
  const filling = shown.filling === null ? "" : ` Filling the past day: ${shown.filling} %.`;
  return `${replayed}Tick of ${clock(shown.at)}. ${shown.of} metric${shown.of === 1 ? "" : "s"} ranked.${filling}`;
}

function choose(metric) {
  shown.metric = metric;
  shown.isChosen = true;
  remember();
}

function remember() {
  const query = { measure: choice.measure.value, by: choice.by.value, ...(shown.isChosen && { metric: shown.metric }) };
  history.replaceState(null, "", `?${new URLSearchParams(query)}`);
  refresh();
}

function turnLeaf(by) {
  shown.offset = Math.max(0, shown.offset + by);
  refresh();
}

choice.addEventListener("change", () => { shown.offset = 0; remember(); });
part("before").addEventListener("click", () => turnLeaf(-LEAF));
part("after").addEventListener("click", () => turnLeaf(LEAF));
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(tell, 1000);
refresh();
